"""A code for whom a gift is for, to prove the address before accepting it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose
from fundraiser.emails.parts.codes import EXAMPLE_CODE, address_of_check, minted_of
from fundraiser.emails.parts.gifts import example_gift
from fundraiser.members.gifts import Gift, giver_of
from fundraiser.outbox import Email, OncePer, Recipient
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.addresses import Minted


def _read(session: Session, email: Email) -> Body:
    return _body(session.get_one(Gift, email.gift_id), minted_of(session, email))


def _body(gift: Gift, minted: Minted) -> Body:
    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your six-digit code to accept the gift: %(code)s", code=v["code"]),
            v["code"],
            [
                _(
                    "Enter these six digits on the page where you’re accepting the "
                    "gift from %(name)s. They work once, within ten minutes.",
                    name=v["giver"],
                ),
                _("If that wasn’t you, there’s nothing to do: the gift stays as it is."),
            ],
        )

    reason = _("You’re getting this e-mail because somebody entered your address to accept a gift.")
    values = {"code": minted.code, "giver": giver_of(gift)}
    return replace(compose(say, values, reason), has_account=False)


KIND = Kind(
    label=lambda: _("Gift: code to confirm an address"),
    to=Recipient.GIFT,
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=_read,
    example=lambda session, member: _body(example_gift(session, member), EXAMPLE_CODE),
    address=address_of_check,
    always_on=True,
    despite_complaint=True,
)
