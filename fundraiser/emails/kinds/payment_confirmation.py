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
            _("Confirm your %(amount)s payment", amount=v["amount"]),
            _("Your bank wants you to confirm %(amount)s", amount=v["amount"]),
            [
                _(
                    "Banks ask for this now and then, to be sure that it’s you. You "
                    "haven’t been charged yet, and you’re still a member."
                ),
                _(
                    "Open the invoice and confirm the payment by %(until)s to stay a member.",
                    until=v["until"],
                ),
            ],
        )

    link = membership.pay_url or f"{current_settings().public_url}/account"
    return replace(
        compose(say, values, unpaid()),
        rows=[(_("You pay"), values["each"]), (_("Waiting for you since"), values["date"])],
        link=Link(_("Confirm the payment"), link),
    )


KIND = Kind(
    label=lambda: _("Payment needs confirming"),
    once_per=OncePer.CAUSE,
    due=payment_failed(0, 3, Membership.needs_confirmation.is_(True)),
    body=about_membership(_body),
    example=example_about(_body, unpaid=True),
)
