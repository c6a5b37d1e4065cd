"""A yearly membership renews within two weeks: for how much, and how to cancel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Say, Wording, compose, money
from fundraiser.emails.parts.memberships import about_membership, example_about, needs
from fundraiser.emails.parts.payments import paid_with
from fundraiser.emails.parts.queries import RUNS, Due, days, due_to_members, key_of
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Interval, Membership
from fundraiser.members.prices import next_payment_of
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _, last_day

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


def _due(at: datetime) -> Due:
    return due_to_members(
        key_of(Membership.reference, Membership.period_end),
        Membership.interval == Interval.YEAR,
        Membership.period_end <= at + days(14),
        Membership.period_end > at + days(3),
        *RUNS,
    )


def _body(membership: Membership, values: dict[str, str]) -> Body:
    needs(values, "date")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You’ll be charged %(amount)s on %(date)s", amount=v["amount"], date=v["date"]),
            _("Your membership continues for another year"),
            [
                _(
                    "On %(date)s you’ll be charged %(amount)s for the next year, as you agreed "
                    "when you joined. There’s nothing you need to do.",
                    amount=v["amount"],
                    date=v["date"],
                ),
                _("Thank you for a year of %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    reason = _("You’re getting this e-mail because you pay yearly.")
    rest = membership.amount - membership.credit
    if rest > 0:
        body = compose(say, {**values, "amount": money(rest, membership.currency)}, reason)
    else:  # in our own words: staff's say what is charged
        body = replace(compose(_renewal_from_credit(membership), values, reason), original=None)
    rows = [
        (_("You pay"), values["each"]),
        (_("Next payment"), next_payment_of(membership) or values["date"]),
        *paid_with(membership),
    ]
    if membership.cancel_at:
        rows.append((_("Ends on"), last_day(membership.cancel_at)))
    return replace(
        body,
        rows=rows,
        advice=(
            _("If you’d rather cancel"),
            _(
                "Cancel before %(date)s in your account, or reply to this e-mail. You don’t have "
                "to say why, and you won’t be charged.",
                date=values["date"],
            ),
        ),
        link=Link(_("Change or cancel my membership"), membership_link(membership)),
    )


def _renewal_from_credit(membership: Membership) -> Say:
    credit = money(membership.credit, membership.currency)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your membership continues for another year on %(date)s", date=v["date"]),
            _("Your membership continues for another year"),
            [
                _(
                    "Your credit of %(credit)s pays the %(amount)s for the next year on %(date)s, "
                    "so you won’t be charged. There’s nothing you need to do.",
                    credit=credit,
                    amount=v["amount"],
                    date=v["date"],
                ),
                _("Thank you for a year of %(newsroom)s.", newsroom=v["newsroom"]),
            ],
        )

    return say


KIND = Kind(
    label=lambda: _("Yearly renewal coming up"),
    once_per=OncePer.CAUSE,
    due=_due,
    body=about_membership(_body),
    example=example_about(_body, yearly=True),
)
