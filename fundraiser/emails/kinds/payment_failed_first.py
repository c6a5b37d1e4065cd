"""The bank refused the first debit of a membership, days after it was agreed to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, NotDueError, Wording, compose
from fundraiser.emails.parts.failed_payments import pay_link, unpaid
from fundraiser.emails.parts.memberships import about_membership, example_about, join_again
from fundraiser.emails.parts.payments import refused
from fundraiser.members.email_links import membership_link
from fundraiser.outbox import OncePer
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundraiser.members.models import Membership


def _read(membership: Membership, values: dict[str, str]) -> Body:
    if membership.paid_at:
        raise NotDueError("The membership was paid before the e-mail could leave.")
    return _body(membership, values)


def _body(membership: Membership, values: dict[str, str]) -> Body:
    """The membership was counted while the debit was processing, and is not counted now."""

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your first payment of %(amount)s failed", amount=v["amount"]),
            _("Your first payment failed"),
            [
                refused(v),
                _(
                    "So you aren’t counted as a member at the moment. You will be as "
                    "soon as a payment goes through."
                ),
            ],
        )

    values |= {"date": date(membership.started_at)}
    again = membership.ended_at is not None
    return replace(
        compose(say, values, unpaid()),
        rows=[(_("You pay"), values["each"]), (_("Authorised on"), values["date"])],
        link=join_again() if again else replace(pay_link(membership), text=_("Pay another way")),
        advice=None
        if again
        else (
            _("If you’d rather cancel"),
            _(
                "Cancel in your account, or reply to this e-mail. Until then we may "
                "try your bank again."
            ),
        ),
        manage=None if again else membership_link(membership),
    )


KIND = Kind(
    label=lambda: _("First bank debit of a membership failed"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=about_membership(_read),
    example=example_about(_body, unpaid=True),
)
