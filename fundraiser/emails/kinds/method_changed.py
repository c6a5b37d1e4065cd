"""A member's new payment method is saved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, NotDueError, Wording, compose
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.payments import paid_with
from fundraiser.members.models import ENDED
from fundraiser.members.prices import next_payment_of
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundraiser.members.models import Membership


def _body(membership: Membership, values: dict[str, str]) -> Body:
    if membership.status in ENDED:
        raise NotDueError("The membership has ended.")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your new payment method is saved"),
            _("Your new payment method is saved"),
            [
                _(
                    "We’ll use it for any future payments to %(newsroom)s. If you didn’t "
                    "change it, reply to this e-mail.",
                    newsroom=v["newsroom"],
                )
            ],
        )

    rows = paid_with(membership)
    if following := next_payment_of(membership):
        rows.append((_("Next payment"), following))
    return replace(
        compose(
            say,
            values,
            _("You’re getting this e-mail because your payment method has changed."),
        ),
        rows=rows,
    )


KIND = Kind(
    label=lambda: _("Payment method changed"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=about_membership(_body),
    example=example_about(_body),
)
