"""Gifts: years of membership that somebody pays for somebody else, and the codes that give them.

A gift is made by its payment's settlement, and becomes a membership of the recipient's when its
code is redeemed: it counts from then on. ``docs/decisions/gifts.md`` says why it is so.
"""

from __future__ import annotations

import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

from itsdangerous import BadData
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.config import current_settings
from fundraiser.db import Base, Currency, Identifier, lock, now
from fundraiser.errors import FundraiserError, NotFoundError, UnprocessableError
from fundraiser.members.counting import recount
from fundraiser.members.eligibility import counting_of
from fundraiser.members.forwarding import forward
from fundraiser.members.models import Cause, Dues, Membership, Source, Status
from fundraiser.members.names import is_plain_name
from fundraiser.members.renewals import renews
from fundraiser.money import Money, format_money
from fundraiser.outbox import enqueue
from fundraiser.security import digest, hmacs, link_signer
from fundraiser.texts import gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member

YEARS = (1, 2, 3)
# What can be read aloud and written down: neither 0 and O nor 1 and I.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH, _GROUP = 16, 4  # 80 bits: as a hash they can't be found by trying
# Typed with a Ukrainian keyboard.
_LOOK_ALIKE = str.maketrans("АВЕКМНРСТУХ", "ABEKMHPCTYX")  # noqa: RUF001 - on purpose
LOOKS_LIKE_CODE = re.compile(r"\w{4}(?:-\w{4}){3}")
_MOST_WRONG = 10
_WRONG_COUNT_FOR = timedelta(hours=1)
_LEAP_DAY = 28
_CARD = "gift-card"


class TooManyCodesError(FundraiserError):
    """So many wrong codes came from one network that no more are looked at for now."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Tell(StrEnum):
    """How the recipient hears of a gift: by e-mail, or by a card that the giver hands over."""

    NOW = "now"
    DAY = "day"
    CARD = "card"


class Gift(Base):
    """Years of a tier, paid for by the giver with one charge, for whoever redeems the code.

    ``tell_at`` is when the recipient is told by e-mail; None where the giver hands over a card.
    ``language`` is the recipient's. ``refunded_at`` and ``disputed_at`` speak of the charge, and
    make it void. Once it is redeemed, the membership of source ``gift`` has the charge's name.
    """

    __tablename__ = "gift"
    __table_args__ = (
        CheckConstraint("years BETWEEN 1 AND 3", name="years"),
        CheckConstraint("(redeemed_at IS NULL) = (recipient_id IS NULL)", name="redeemed"),
        Index("ix_gift_waiting", "tell_at", "paid_at", postgresql_where="redeemed_at IS NULL"),
    )

    id: Mapped[Identifier]
    checkout_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("checkout.id"), unique=True)
    charge_id: Mapped[str] = mapped_column(unique=True)
    code_hash: Mapped[str] = mapped_column(unique=True)
    giver_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    giver_name: Mapped[str]
    recipient_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("member.id"), index=True
    )
    recipient_name: Mapped[str]
    recipient_email: Mapped[str | None]
    message: Mapped[str]
    language: Mapped[str]
    tier: Mapped[str]
    years: Mapped[int]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[Currency]
    campaign: Mapped[str | None]
    tell_at: Mapped[datetime | None]
    paid_at: Mapped[datetime]
    redeemed_at: Mapped[datetime | None]
    refunded_at: Mapped[datetime | None]
    disputed_at: Mapped[datetime | None]

    @property
    def is_void(self) -> bool:
        """Whether its money was given back, or is being taken back."""
        return self.refunded_at is not None or self.disputed_at is not None


class WrongCode(Base):
    """A code that somebody tried and that is no gift's, by the network that it came from."""

    __tablename__ = "wrong_code"
    __table_args__ = (Index("ix_wrong_code_network", "network", "at"),)

    id: Mapped[Identifier]
    network: Mapped[str]
    at: Mapped[datetime]


# The code


def make_code(checkout_id: uuid.UUID) -> str:
    """The code of the gift that is bought by a checkout: always the same, and kept nowhere."""
    return _codes(checkout_id)[0]


def _codes(checkout_id: uuid.UUID) -> list[str]:
    """The same by each of our keys, the newest first."""
    codes = []
    for made in hmacs(f"gift:{checkout_id.hex}"):
        number = int.from_bytes(made)
        characters = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))
        groups = (characters[place : place + _GROUP] for place in range(0, _LENGTH, _GROUP))
        codes.append("-".join(groups))
    return codes


def hash_code(code: str) -> str:
    """What is kept of a code, and what a typed one is looked up by."""
    typed = code.upper().translate(_LOOK_ALIKE)
    return digest("".join(character for character in typed if character in _ALPHABET))


def code_of(gift: Gift) -> str | None:
    """A gift's code; None where the key that made it is lost: then it is in the e-mail alone."""
    for code in _codes(gift.checkout_id):
        if secrets.compare_digest(hash_code(code), gift.code_hash):
            return code
    return None


def find_by_code(session: Session, code: str) -> Gift | None:
    """The gift of a code, as it was typed."""
    return session.scalars(select(Gift).where(Gift.code_hash == hash_code(code))).first()


def giver_of(gift: Gift) -> str:
    """Who gives, as the giver wrote it, until the giver is erased."""
    return gift.giver_name if is_plain_name(gift.giver_name) else _("A reader")


def recipient_of(gift: Gift) -> str:
    """Who the gift is for, as the giver wrote it, until one of the two is erased."""
    return gift.recipient_name if is_plain_name(gift.recipient_name) else _("a reader")


def telling(tell_at: datetime) -> str:
    """The key of the e-mail that tells of a gift: another time is another e-mail."""
    return f"{tell_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def tell_again(session: Session, gift: Gift, email: str) -> None:
    """Tell the recipient now, at this address.

    Raises:
        UnprocessableError: the gift was accepted or is void.
        TooOftenError: the giver, or the address, has had its e-mails of the day.
    """
    session.refresh(gift, with_for_update=True)
    check_redeemable(gift)
    forward(session, f"member {gift.giver_id}", email)
    gift.recipient_email, gift.tell_at = email, now()
    enqueue(session, "gift_told", to=gift.id, key=telling(gift.tell_at))


def gift_of(session: Session, membership: Membership) -> Gift | None:
    """The gift that became this membership."""
    if membership.source is not Source.GIFT:
        return None
    return session.scalars(select(Gift).where(Gift.charge_id == membership.reference)).first()


def check_tries(session: Session, network: str) -> None:
    """Look at no more codes of a network that sent too many wrong ones.

    Raises:
        TooManyCodesError: it has to wait for an hour.
    """
    lock(session, "gift-codes", network)
    since = now() - _WRONG_COUNT_FOR
    session.execute(delete(WrongCode).where(WrongCode.at < since))
    wrong = session.scalar(
        select(func.count()).where(WrongCode.network == network, WrongCode.at >= since)
    )
    if (wrong or 0) >= _MOST_WRONG:
        raise TooManyCodesError(
            _("Too many codes were tried from your network. Try again in an hour, or write to us.")
        )


def note_wrong_code(session: Session, network: str) -> None:
    """Count a wrong code."""
    session.add(WrongCode(network=network, at=now()))


# The page with the card to print


def card_address(gift: Gift) -> str:
    """Where the giver sees and prints the card, without signing in."""
    return f"{current_settings().public_url}/gift/card/{link_signer(_CARD).dumps(gift.id)}"


def read_card(session: Session, key: str) -> Gift:
    """The gift that a card's address was made for.

    Raises:
        NotFoundError: we have not made it, or it is cut.
    """
    try:
        found = session.get(Gift, link_signer(_CARD).loads(key))
    except BadData:
        found = None
    if found is None:
        raise NotFoundError(_("This address is not whole. Open it from the letter again."))
    return found


# Redeeming


def check_redeemable(gift: Gift, member: Member | None = None) -> None:
    """Whether a gift can be redeemed, by this person if it is known who.

    Raises:
        UnprocessableError: it was redeemed, is void, or the person is its giver.
    """
    if gift.redeemed_at is not None:
        if member is not None and gift.recipient_id == member.id:
            raise UnprocessableError(_("You have accepted this gift already. It is yours."))
        raise UnprocessableError(
            _("This gift was accepted already. A code can be used once; ask who gave it to you.")
        )
    if gift.refunded_at is not None:
        raise UnprocessableError(
            _("This gift was paid back to its giver, so the code is good no longer.")
        )
    if gift.disputed_at is not None:
        raise UnprocessableError(
            _("The payment for this gift is disputed at the bank. Until that is decided, wait.")
        )
    if member is not None and gift.giver_id == member.id:
        raise UnprocessableError(
            _("You paid for this gift yourself. Pass the code on to the person it is for.")
        )


def begins_at(memberships: Iterable[Membership], grace: timedelta) -> datetime:
    """When a gift would begin for who has these memberships: now, or when what is paid for ends.

    Raises:
        UnprocessableError: the person goes on paying, so that the gift would be wasted.
    """
    at = begins = now()
    for found in counting_of(memberships, at, grace):
        if found.source is Source.STRIPE:
            end = None if renews(found) else found.cancel_at
        else:
            end = found.counts_until
        if end is None and found.source is Source.STRIPE:
            amount = format_money(Money(found.amount, found.currency), language())
            raise UnprocessableError(
                _(
                    "You are a member already and pay %(amount)s yourself. Stop that first, on "
                    "your account’s page: you keep what you have paid for, and the gift begins "
                    "when it ends. Or pass the code on: it stays good.",
                    amount=amount,
                )
            )
        if end is None:
            raise UnprocessableError(
                _("You are a member already, without an end. Pass the code on: it stays good.")
            )
        begins = max(begins, end)
    return begins


def ends_at(begins: datetime, years: int) -> datetime:
    """The same day so many years later; of a leap day, the one before."""
    year = begins.year + years
    try:
        return begins.replace(year=year)
    except ValueError:
        return begins.replace(year=year, day=_LEAP_DAY)


def redeem(session: Session, gift: Gift, member: Member, grace: timedelta) -> Membership:
    """Make a gift the membership of this person, and count them; both rows are locked here.

    Raises:
        UnprocessableError: it can't be redeemed, or not by this person now; nothing has changed.
    """
    session.refresh(gift, with_for_update=True)
    session.refresh(member, with_for_update=True)
    check_redeemable(gift, member)
    memberships = session.scalars(select(Membership).where(Membership.member_id == member.id)).all()
    at, begins = now(), begins_at(memberships, grace)
    ends = ends_at(begins, gift.years)
    membership = Membership(
        member_id=member.id,
        source=Source.GIFT,
        reference=gift.charge_id,
        tier=gift.tier,
        amount=gift.amount,
        currency=gift.currency,
        status=Status.ACTIVE,
        payment_status=Dues.PAID,
        started_at=begins,
        cancel_at=ends,
        counts_until=ends,
        campaign=gift.campaign,
    )
    session.add(membership)
    gift.redeemed_at, gift.recipient_id = at, member.id
    entry = recount(session, member, grace, cause=Cause.GIFT, cause_ref=gift.charge_id)
    if entry is not None:
        enqueue(session, "welcome", to=member.id, key=str(entry.sequence))
    enqueue(
        session,
        "gift_redeemed",
        to=gift.giver_id,
        key=gift.charge_id,
        context={"gift": gift.id},
    )
    return membership
