"""A refund that somebody was told to wait for, or had asked for, was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose, money
from fundraiser.emails.parts.memberships import example_membership
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member


def _body(amount: int, currency: str) -> Body:
    values = {"newsroom": current_settings().newsroom_name, "amount": money(amount, currency)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("We’ve refunded %(amount)s", amount=v["amount"]),
            _("We’ve refunded %(amount)s", amount=v["amount"]),
            [_("Your bank may need up to ten days to show it.")],
        )

    return replace(
        compose(say, values, _("You get this e-mail because we owed you a refund.")),
        rows=[(_("Refunded"), values["amount"])],
    )


def _example(session: Session, member: Member | None) -> Body:
    membership = example_membership(session, member)
    return _body(membership.amount, membership.currency)


KIND = Kind(
    label=lambda: _("Refund sent"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=lambda _session, email: _body(email.context["amount"], email.context["currency"]),
    example=_example,
    resendable=True,
)
