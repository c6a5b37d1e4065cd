"""The rule "paying-members/1" in words, row by row as the rule itself applies it."""

from __future__ import annotations

from flask_babel import ngettext

from fundraiser.texts import gettext as _


def rule_in_words(grace_days: int) -> list[tuple[str, str]]:
    """What the membership is, and whether it counts."""
    yes, no = _("Yes"), _("No")
    until_the_end = _("Yes, until it ends")
    grace = ngettext(
        "Yes, for %(num)s day after the first payment that failed; then no",
        "Yes, for %(num)s days after the first payment that failed; then no",
        grace_days,
    )
    grace_more = ngettext(
        "Yes, until that date and for %(num)s day more",
        "Yes, until that date and for %(num)s days more",
        grace_days,
    )
    return [
        (_("Active, and its newest payment has arrived"), yes),
        (_("Active and renewed, with the new payment still on its way"), yes),
        (_("New, with its first bank debit still on its way"), _("Yes, until the debit fails")),
        (_("Active, but we are not collecting its payments"), no),
        (_("Stopped by the member, and paid until a date to come"), until_the_end),
        (_("Overdue: a payment has failed"), grace),
        (_("A trial"), _("No, until the first payment")),
        (_("Never paid, unpaid, paused, or over"), no),
        (_("Its newest payment was paid back in full"), _("No, from that day on")),
        (
            _("Its newest payment is disputed with the bank"),
            _("No, from that day on; yes again if the dispute is won"),
        ),
        (
            _("A gift that somebody has accepted"),
            _("Yes, for the person who accepted it, until it ends"),
        ),
        (_("Brought from elsewhere, with a date until which it is paid"), grace_more),
        (_("Free of charge"), no),
        (_("A one-time contribution"), no),
    ]
