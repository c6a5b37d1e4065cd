"""The bank wants the member to confirm a payment (3-D Secure): on the day that it failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.failed_payments import unpaid
from fundraiser.emails.parts.memberships import about_membership, example_about, needs
from fundraiser.emails.parts.queries import payment_failed
from fundraiser.members.models import Membership
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _body(membership: Membership, values: dict[str, str]) -> Body:
    needs(values, "date", "until")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Confirm your payment of %(amount)s", amount=v["amount"]),
            _("Your bank wants you to confirm %(amount)s", amount=v["amount"]),
            [
                _(
                    "Banks ask this for some payments, to be sure that they are yours. You haven’t "
                    "been charged yet, and you are still a member."
                ),
                _("Open the invoice and confirm the payment by %(until)s.", until=v["until"]),
            ],
        )

    link = membership.pay_url or f"{current_settings().public_url}/account"
    return replace(
        compose(say, values, unpaid()),
        rows=[(_("You pay"), values["each"]), (_("To be confirmed since"), values["date"])],
        link=Link(_("Confirm the payment"), link),
    )


KIND = Kind(
    label=lambda: _("A payment needs to be confirmed"),
    once_per=OncePer.CAUSE,
    due=payment_failed(0, 3, Membership.needs_confirmation.is_(True)),
    body=about_membership(_body),
    example=example_about(_body, unpaid=True),
)
