"""Parts of e-mails about a gift, to its giver or recipient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from flask_babel import ngettext
from sqlalchemy.orm import Session

from fundraiser.campaigns.progress import current_campaign
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.parts.body import Body, NotDueError, money
from fundraiser.members.gifts import Gift, code_of, giver_of, hash_code, make_code, recipient_of
from fundraiser.payments.models import Tier
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.members.models import Member
    from fundraiser.outbox import Email

# Paid for, and nobody has accepted it.
IS_WAITING = (Gift.redeemed_at.is_(None), Gift.refunded_at.is_(None), Gift.disputed_at.is_(None))
GiftBody = Callable[[Session, Gift], Body]


def about_gift(body: GiftBody) -> Callable[[Session, Email], Body]:
    """The body of an e-mail to the giver, while the gift is paid for."""

    def read(session: Session, email: Email) -> Body:
        gift = session.get_one(Gift, email.context["gift"])
        if gift.is_void:
            raise NotDueError("The gift was paid back or disputed before the e-mail could leave.")
        return body(session, gift)

    return read


def example_about_gift(body: GiftBody) -> Callable[[Session, Member | None], Body]:
    """An example with a gift that opens nothing."""
    return lambda session, member: body(session, example_gift(session, member))


def gift_without_money(session: Session, email: Email) -> tuple[Gift, datetime]:
    """The e-mail's gift, and when it was refunded or disputed.

    Raises:
        NotDueError: the money has come back.
    """
    gift = session.get_one(Gift, email.context["gift"])
    taken = [at for at in (gift.refunded_at, gift.disputed_at) if at]
    if not taken:
        raise NotDueError("The money had come back before the e-mail could leave.")
    return gift, min(taken)


def gift_values(session: Session, gift: Gift) -> dict[str, str]:
    """The names for e-mails about a gift."""
    tier = session.get(Tier, gift.tier)
    return {
        "newsroom": current_settings().newsroom_name,
        "giver": giver_of(gift),
        "recipient": recipient_of(gift),
        "tier": by_language(tier.names) if tier else gift.tier,
        "amount": money(gift.amount, gift.currency),
    }


def what_is_given(gift: Gift, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Rows with the tier and the years."""
    return [
        (_("Membership"), values["tier"]),
        (_("Length"), ngettext("%(num)s year", "%(num)s years", gift.years)),
    ]


def code_row(gift: Gift) -> list[tuple[str, str]]:
    """A row with the code, if we can still compute it."""
    code = code_of(gift)
    return [(_("Gift code"), code)] if code else []


def amount_of(values: Mapping[str, str]) -> dict[str, str]:
    return {"amount": values["amount"]}


def name_of(values: Mapping[str, str]) -> dict[str, str]:
    return {"name": values["recipient"]}


def join_page(gift: Gift) -> str:
    """The join page's URL for the gift's tier."""
    return f"{current_settings().public_url}/join?tier={gift.tier}&interval=year"


def example_gift(session: Session, member: Member | None) -> Gift:
    """An unpaid gift by the member, whose code and card open nothing."""
    nobody = UUID(int=0)
    name, at = (member.name if member else None) or "Olena", now()
    campaign = current_campaign(session)
    return Gift(
        id=0,
        checkout_id=nobody,
        code_hash=hash_code(make_code(nobody)),
        giver_name=name,
        recipient_name="Petro",
        message="",
        tier=campaign.default_tier if campaign else "",
        years=1,
        amount=10_000,
        currency="EUR",
        tell_at=at,
        paid_at=at,
    )
