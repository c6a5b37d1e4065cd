"""Gifts: years of membership that one person buys for another, and the codes that redeem them.

The sync of its payment creates a gift. When somebody redeems the code, it becomes their membership
and counts from then on. ``docs/decisions/gifts.md`` explains why.
"""

from __future__ import annotations

import hmac
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
from fundraiser.members.models import Cause, Dues, Membership, Source, Status, fold_address
from fundraiser.members.names import is_plain_name
from fundraiser.members.renewals import renews
from fundraiser.money import Money, format_money
from fundraiser.outbox import enqueue
from fundraiser.security import digest, hmacs, link_signer
from fundraiser.texts import Named, gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member

YEARS = (1, 2, 3)
# Characters that are easy to read aloud and write down: no 0, O, 1 or I.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH, _GROUP = 16, 4  # 80 bits, too many to guess even from a hash
# Cyrillic letters that look Latin.
_LOOK_ALIKE = str.maketrans("АВЕКМНРСТУХ", "ABEKMHPCTYX")  # noqa: RUF001 - on purpose
LOOKS_LIKE_CODE = re.compile(r"\w{4}(?:-\w{4}){3}")
_MOST_WRONG = 10
_WRONG_COUNT_FOR = timedelta(hours=1)
_LEAP_DAY = 28
_CARD, _ADDRESS = "gift-card", "gift-address"


class TooManyCodesError(FundraiserError):
    """Too many wrong codes came from one network; it has to wait."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Tell(StrEnum):
    """How the recipient learns of a gift: by e-mail, or from a card that the giver hands over."""

    NOW = "now"
    DAY = "day"
    CARD = "card"


class Gift(Base):
    """Years of a tier that the giver paid for with one charge; redeemed with a code.

    ``tell_at`` is when we e-mail the recipient; None if the giver hands over a card. ``language``
    is the recipient's. ``refunded_at`` and ``disputed_at`` concern the charge and make the gift
    void. Once redeemed, its membership of source ``gift`` has the charge's ID as its reference.
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
        """Whether the gift's payment was refunded or disputed."""
        return self.refunded_at is not None or self.disputed_at is not None


class WrongCode(Base):
    """An attempt with a code that no gift has, by network."""

    __tablename__ = "wrong_code"
    __table_args__ = (Index("ix_wrong_code_network", "network", "at"),)

    id: Mapped[Identifier]
    network: Mapped[str]
    at: Mapped[datetime]


# The code


def make_code(checkout_id: uuid.UUID) -> str:
    """Compute the gift code of a checkout: always the same, and never stored."""
    return _codes(checkout_id)[0]


def _codes(checkout_id: uuid.UUID) -> list[str]:
    """The gift codes of a checkout with each of our keys, newest first."""
    codes = []
    for made in hmacs(f"gift:{checkout_id.hex}"):
        number = int.from_bytes(made)
        characters = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))
        groups = (characters[place : place + _GROUP] for place in range(0, _LENGTH, _GROUP))
        codes.append("-".join(groups))
    return codes


def hash_code(code: str) -> str:
    """Hash a code, for storing and for looking up a typed one."""
    typed = code.upper().translate(_LOOK_ALIKE)
    return digest("".join(character for character in typed if character in _ALPHABET))


def code_of(gift: Gift) -> str | None:
    """A gift's code; None if its key is lost, so that only the e-mail has the code."""
    for code in _codes(gift.checkout_id):
        if secrets.compare_digest(hash_code(code), gift.code_hash):
            return code
    return None


def find_by_code(session: Session, code: str) -> Gift | None:
    """Find a gift by its code as typed."""
    return session.scalars(select(Gift).where(Gift.code_hash == hash_code(code))).first()


def giver_of(gift: Gift) -> str:
    """The giver's name as the giver wrote it, until the giver is erased."""
    return gift.giver_name if is_plain_name(gift.giver_name) else _("A reader")


def recipient_of(gift: Gift) -> str:
    """The recipient's name as the giver wrote it, until one of the two is erased."""
    return gift.recipient_name if is_plain_name(gift.recipient_name) else _("a reader")


def telling(tell_at: datetime) -> str:
    """The outbox key of the gift's announcement; another time makes another e-mail."""
    return f"{tell_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def tell_again(session: Session, gift: Gift, email: str) -> None:
    """E-mail the recipient about the gift now, at this address.

    Raises:
        UnprocessableError: the gift was accepted or is void.
        TooOftenError: the giver or the address has reached the daily limit.
    """
    session.refresh(gift, with_for_update=True)
    check_redeemable(gift)
    forward(session, f"member {gift.giver_id}", email)
    gift.recipient_email, gift.tell_at = email, now()
    enqueue(session, "gift_told", to=gift.id, key=telling(gift.tell_at))


def gift_of(session: Session, membership: Membership) -> Gift | None:
    """The gift that became this membership, or None."""
    if membership.source is not Source.GIFT:
        return None
    return session.scalars(select(Gift).where(Gift.charge_id == membership.reference)).first()


def check_tries(session: Session, network: str) -> None:
    """Refuse codes from a network that sent too many wrong ones.

    Raises:
        TooManyCodesError: the network has to wait for an hour.
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
    """The URL where the giver sees and prints the card without signing in."""
    return f"{current_settings().public_url}/gift/card/{link_signer(_CARD).dumps(gift.id)}"


def read_card(session: Session, key: str) -> Gift:
    """Find the gift of a card's URL.

    Raises:
        NotFoundError: the URL is forged or truncated.
    """
    try:
        found = session.get(Gift, link_signer(_CARD).loads(key))
    except BadData:
        found = None
    if found is None:
        raise NotFoundError(_("This link is incomplete. Open it from our e-mail again."))
    return found


def redeem_address(gift: Gift) -> str:
    """The URL in the recipient's own e-mail, which shows that the address is theirs.

    Code and key are in the fragment, which no server's log sees.
    """
    address = f"{current_settings().public_url}/gift/redeem#{code_of(gift) or ''}"
    return f"{address}.{_address_key(gift)}" if gift.recipient_email else address


def is_address_key(gift: Gift, key: str) -> bool:
    """Whether the key is from an e-mail that went to the gift's current address."""
    return bool(gift.recipient_email) and hmac.compare_digest(
        key.encode(), _address_key(gift).encode()
    )


def _address_key(gift: Gift) -> str:
    about = [gift.id, fold_address(gift.recipient_email or "")]
    return str(link_signer(_ADDRESS).dumps(about)).rpartition(".")[2]


# Redeeming


def check_redeemable(gift: Gift, member: Member | None = None) -> None:
    """Check that a gift can be redeemed, by this person if known.

    Raises:
        UnprocessableError: it was redeemed, is void, or the person is its giver.
    """
    if gift.redeemed_at is not None:
        if member is not None and gift.recipient_id == member.id:
            raise UnprocessableError(_("You’ve already accepted this gift. It’s yours."))
        sentence = _(
            "This gift has already been accepted. A gift code works once; ask the "
            "person who gave it to you."
        )
        raise UnprocessableError(Named("accepted-already", sentence))
    if gift.refunded_at is not None:
        raise UnprocessableError(
            _("This gift was refunded to the person who gave it, so the code no longer works.")
        )
    if gift.disputed_at is not None:
        raise UnprocessableError(
            _("The payment for this gift is disputed with the bank. Wait until that is decided.")
        )
    if member is not None and gift.giver_id == member.id:
        raise UnprocessableError(
            _("You paid for this gift yourself. Pass the code on to the recipient.")
        )


def begins_at(memberships: Iterable[Membership], grace: timedelta) -> datetime:
    """When a gift would start for the owner of these memberships: now, or at the paid period's end.

    Raises:
        UnprocessableError: the person keeps paying, so the gift would be wasted.
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
                    "You’re already a member and pay %(amount)s yourself. Cancel that "
                    "in your account first: you stay a member until the end of what "
                    "you’ve paid for, and the gift starts then. Or pass the code on: "
                    "it stays valid.",
                    amount=amount,
                )
            )
        if end is None:
            raise UnprocessableError(
                _("You’re already a member with no end date. Pass the code on: it stays valid.")
            )
        begins = max(begins, end)
    return begins


def ends_at(begins: datetime, years: int) -> datetime:
    """The same date some years later; for 29 February, the day before if needed."""
    year = begins.year + years
    try:
        return begins.replace(year=year)
    except ValueError:
        return begins.replace(year=year, day=_LEAP_DAY)


def redeem(session: Session, gift: Gift, member: Member, grace: timedelta) -> Membership:
    """Turn a gift into this person's membership and count the person; locks both rows.

    Raises:
        UnprocessableError: it can't be redeemed, or not by this person now; nothing has
            changed.
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
