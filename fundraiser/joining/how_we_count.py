"""The rule "paying-members/2" in words, row by row in the rule's order."""

from __future__ import annotations

from flask_babel import ngettext

from fundraiser.texts import gettext as _


def rule_in_words(grace_days: int) -> list[tuple[str, str]]:
    """Pairs: a kind of membership, and whether it counts."""
    yes, no = _("Yes"), _("No")
    until_the_end = _("Yes, until it ends")
    failed = ngettext(
        "Yes, for %(num)s day after the first of the failed payments; then no, until "
        "a payment goes through",
        "Yes, for %(num)s days after the first of the failed payments; then no, until "
        "a payment goes through",
        grace_days,
    )
    due = ngettext(
        "Yes, for %(num)s day after the due date; then no, until a payment goes through",
        "Yes, for %(num)s days after the due date; then no, until a payment goes through",
        grace_days,
    )
    elsewhere = ngettext(
        "Yes, until that date and for %(num)s day more",
        "Yes, until that date and for %(num)s days more",
        grace_days,
    )
    return [
        (_("Active, with the current period paid"), yes),
        (
            _("Renewed, with the new payment not due yet or being processed by the bank"),
            _("Yes, because the previous period was paid"),
        ),
        (
            _("New, with the first bank debit being processed"),
            _("Yes, unless the bank debit fails"),
        ),
        (_("Overdue: a renewal payment has failed"), failed),
        (_("Overdue: a renewal we invoiced by e-mail hasn’t been paid"), due),
        (_("Paused: no payments are collected"), _("Yes, until the end of what has been paid for")),
        (_("Cancelled, but paid until a later date"), until_the_end),
        (_("In a free period, with an earlier payment for membership"), until_the_end),
        (_("In a free period, without any payment so far"), no),
        (_("Never paid, unpaid, or ended"), no),
        (_("Switched to something that isn’t a membership"), no),
        (
            _("The payment for the current period was refunded in full"),
            _("No, from that day on; yes again if the refund fails"),
        ),
        (
            _("The payment for the current period is disputed with the bank"),
            _("No, from that day on; yes again if we win the dispute"),
        ),
        (
            _("A bank has asked about a payment, or part of it was refunded"),
            _("That changes nothing"),
        ),
        (
            _("A gift that somebody has accepted"),
            _("Yes, for the person who accepted it, until it ends"),
        ),
        (_("Paid elsewhere, until a known date"), elsewhere),
        (_("Paid elsewhere, and cancelled"), until_the_end),
        (_("Paid elsewhere, and refunded; or without a known date"), no),
        (_("Complimentary"), no),
        (_("A one-time contribution"), no),
    ]
