"""Verify e-mail addresses: an e-mailed link and six-digit code prove that a person reads them.

Every request leaves a row, whether we know the address or not, so that both get the same answer in
the same time. A worker later finds the person and decides whether to send an e-mail. We make the
token and code when the e-mail is sent, and store hashes. They work once, within ten minutes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, ForeignKey, Index, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from fundraiser.db import Base, Identifier, lock, now
from fundraiser.jobs import Job, hint
from fundraiser.members.forwarding import TooOftenError, forward
from fundraiser.members.models import Member, MemberAlias, fold_address
from fundraiser.outbox import enqueue
from fundraiser.security import digest, is_one_of, keyed_digests, new_secret
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

LIVES = timedelta(minutes=10)
MOST_TRIES = 5
# Limits for one network and for all, so that one stranger can't use up everybody's requests.
_MOST_AN_HOUR, _MOST_A_DAY = 5, 10
_ALL_AN_HOUR, _ALL_A_DAY = 10, 20
_ONE_CLICK = timedelta(seconds=30)
_ONE_USE = timedelta(seconds=10)
_WORTH_SENDING = timedelta(hours=1)


class Purpose(StrEnum):
    """The purpose of a verified address: signing in, accepting a gift, or changing an address."""

    SIGN_IN = "sign_in"
    LEAVE_ADDRESS = "leave_address"
    NEW_ADDRESS = "new_address"
    GIFT = "gift"


# The requester may not own these addresses.
_TO_STRANGERS = {Purpose.NEW_ADDRESS, Purpose.GIFT}


class AddressCheck(Base):
    """A request for an e-mail with a code; ``browser_hash`` is the hash of the browser's secret.

    ``member_id`` is set from the start if the person is signed in; ``gift_id`` is the gift to
    accept, perhaps by somebody we don't know yet. ``enqueued_at`` is when a worker handled the
    request. ``network`` is a keyed hash of the requester's network. ``tries`` counts the codes
    tried, right ones included.
    """

    __tablename__ = "address_check"
    __table_args__ = (
        Index("ix_address_check_email", "email", "created_at"),
        Index("ix_address_check_browser_hash", "browser_hash"),
        Index("ix_address_check_waiting", "id", postgresql_where="enqueued_at IS NULL"),
    )

    id: Mapped[Identifier]
    purpose: Mapped[Purpose]
    email: Mapped[str]
    browser_hash: Mapped[str]
    network: Mapped[str | None]
    member_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    gift_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("gift.id"), index=True)
    created_at: Mapped[datetime]
    enqueued_at: Mapped[datetime | None]
    token_hash: Mapped[str | None] = mapped_column(unique=True)
    code_hash: Mapped[str | None]
    ends_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    used_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token and code, and the address to e-mail them to."""

    email: str
    token: str
    code: str


def ask(
    session: Session,
    purpose: Purpose,
    email: str,
    browser: str,
    *,
    network: str,
    member_id: int | None = None,
    gift_id: int | None = None,
) -> AddressCheck:
    """Request an e-mail with a link and code to this address; a second click is the same request.

    Each network may ask for a few, and all together for more. Above that, an address gets one
    e-mail whenever the previous one has expired: its link and code work in any browser, so the
    owner can always sign in, however often others ask.

    Raises:
        TooOftenError: there were too many requests.
    """
    email, at = fold_address(email.strip()), now()
    lock(session, "address", email)
    of_today = session.scalars(
        select(AddressCheck)
        .where(AddressCheck.email == email, AddressCheck.created_at > at - timedelta(days=1))
        .order_by(AddressCheck.created_at.desc(), AddressCheck.id.desc())
    ).all()
    newest = of_today[0] if of_today else None
    if (
        newest
        and (newest.purpose, newest.gift_id) == (purpose, gift_id)
        and newest.browser_hash == digest(browser)
        and newest.used_at is None
        and newest.tries < MOST_TRIES
        and newest.created_at > at - _ONE_CLICK
    ):
        return newest
    if _are_too_many(
        [check for check in of_today if check.network == network], _MOST_AN_HOUR, _MOST_A_DAY
    ):
        raise TooOftenError(
            Named(
                "limit-of-network",
                _(
                    "You’ve asked for too many e-mails. Use the latest one, or ask again in an "
                    "hour."
                ),
            )
        )
    if _are_too_many(of_today, _ALL_AN_HOUR, _ALL_A_DAY) and of_today[0].created_at > at - LIVES:
        raise TooOftenError(
            Named(
                "just-emailed",
                _(
                    "We’ve just e-mailed this address. Open the link in the latest e-mail: it "
                    "works here too, with the code. Or ask again in ten minutes."
                ),
            )
        )
    if purpose in _TO_STRANGERS:
        forward(session, f"member {member_id}" if member_id else f"gift {gift_id}", email)
    check = AddressCheck(
        purpose=purpose,
        email=email,
        browser_hash=digest(browser),
        network=network,
        member_id=member_id,
        gift_id=gift_id,
        created_at=at,
    )
    session.add(check)
    session.flush()
    hint(session, Job.DELIVER)
    return check


def _are_too_many(checks: Sequence[AddressCheck], most_an_hour: int, most_a_day: int) -> bool:
    since = now() - timedelta(hours=1)
    of_this_hour = sum(check.created_at > since for check in checks)
    return of_this_hour >= most_an_hour or len(checks) >= most_a_day


def enqueue_codes(session: Session) -> None:
    """Enqueue the requested e-mails whose address belongs to a member."""
    at = now()
    waiting = session.scalars(
        select(AddressCheck)
        .where(AddressCheck.enqueued_at.is_(None))
        .order_by(AddressCheck.id)
        .limit(100)
        .with_for_update(skip_locked=True)
    ).all()
    for check in waiting:
        check.enqueued_at = at
        # As if we had sent an e-mail: for an unknown address every code is simply wrong.
        _mint(check)
        context = {"check": check.id}
        if check.gift_id is not None:
            enqueue(
                session,
                "gift_code",
                to=check.gift_id,
                key=str(check.id),
                context=context,
            )
            continue
        member_id = check.member_id or find_member_id(session, check.email)
        if member_id is not None:
            enqueue(
                session,
                "sign_in" if check.purpose is Purpose.SIGN_IN else "change_of_address",
                to=member_id,
                key=str(check.id),
                context=context,
            )


def find_member_id(session: Session, address: str) -> int | None:
    """The person with this folded address, or with whom its owner was merged."""
    return session.scalar(select(Member.id).where(Member.address == address)) or session.scalar(
        select(MemberAlias.member_id).where(MemberAlias.address == address)
    )


def mint(session: Session, check_id: int) -> Minted | None:
    """Make the token and code just before an e-mail is sent; None if the request is too old."""
    check = session.get(AddressCheck, check_id)
    if check is None or check.used_at or now() > check.created_at + _WORTH_SENDING:
        return None
    return _mint(check)


def address_to_check(session: Session, check_id: int) -> str | None:
    """The address that the e-mail must go to, or None to use the person's own.

    A sign-in e-mail goes to the address in our database, not to the one that somebody typed.
    """
    check = session.get(AddressCheck, check_id)
    is_new = check is not None and check.purpose in {Purpose.NEW_ADDRESS, Purpose.GIFT}
    return check.email if check and is_new else None


def newest_check(session: Session, purpose: Purpose, browser: str) -> AddressCheck | None:
    """The latest request from this browser, or None."""
    return session.scalars(
        select(AddressCheck)
        .where(AddressCheck.browser_hash == digest(browser), AddressCheck.purpose == purpose)
        .order_by(AddressCheck.id.desc())
        .limit(1)
    ).first()


def find_check(session: Session, purpose: Purpose, token: str) -> AddressCheck | None:
    """Find the request whose e-mail had this token."""
    return session.scalars(
        select(AddressCheck).where(
            AddressCheck.token_hash == digest(token), AddressCheck.purpose == purpose
        )
    ).first()


def is_over(check: AddressCheck) -> bool:
    """Whether the request is older than ten minutes, or was used."""
    at = now()
    used = check.used_at is not None and check.used_at < at - _ONE_USE
    return used or (check.ends_at is not None and check.ends_at <= at)


def take_try(session: Session, check_id: int) -> bool:
    """Count an attempt before comparing the code, so that parallel attempts all count."""
    return (
        session.scalar(
            update(AddressCheck)
            .where(AddressCheck.id == check_id, AddressCheck.tries < MOST_TRIES)
            .values(tries=AddressCheck.tries + 1)
            .returning(AddressCheck.id)
        )
        is not None
    )


def is_code(check: AddressCheck, code: str) -> bool:
    """Whether these six digits match the e-mail's code."""
    return is_one_of(check.code_hash or "", _hashes_of_code(check.id, code))


def use(session: Session, check: AddressCheck, browser: str | None) -> bool:
    """Mark the request as used; True if this call did, or on a second click in one browser."""
    at = now()
    used = session.scalar(
        update(AddressCheck)
        .where(AddressCheck.id == check.id, AddressCheck.used_at.is_(None))
        .values(used_at=at)
        .returning(AddressCheck.id)
    )
    if used is not None:
        return True
    session.refresh(check)
    is_same = browser is not None and digest(browser) == check.browser_hash
    return is_same and check.used_at is not None and check.used_at > at - _ONE_USE


def _mint(check: AddressCheck) -> Minted:
    token, code = new_secret(), f"{secrets.randbelow(10**6):06}"
    check.token_hash = digest(token)
    check.code_hash = _hashes_of_code(check.id, code)[0]
    check.ends_at = now() + LIVES
    return Minted(check.email, token, code)


def _hashes_of_code(check_id: int, code: str) -> list[str]:
    """Hash a code with each of our keys; an unkeyed hash of six digits would be easy to reverse."""
    return keyed_digests("code", f"{check_id}:{code}")
