"""Proof that a person reads the e-mails of an address: a link's token and a code of six digits.

Whoever asks leaves a row, known or not, so that the answer and its time are the same for both; who
it is, and whether an e-mail is due, a worker finds out. Token and code are made when the e-mail is
sent, kept as hashes, and good once and for ten minutes.
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
from fundraiser.members.models import Member, fold_address
from fundraiser.outbox import enqueue
from fundraiser.security import digest, is_one_of, keyed_digests, new_secret
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

LIVES = timedelta(minutes=10)
MOST_TRIES = 5
# From one network, and from all together: one stranger can't use up what others may ask for.
_MOST_AN_HOUR, _MOST_A_DAY = 5, 10
_ALL_AN_HOUR, _ALL_A_DAY = 10, 20
_ONE_CLICK = timedelta(seconds=30)
_ONE_USE = timedelta(seconds=10)
_WORTH_SENDING = timedelta(hours=1)


class Purpose(StrEnum):
    """What the proof is for: to sign in, to accept a gift, or to change an address at both ends."""

    SIGN_IN = "sign_in"
    LEAVE_ADDRESS = "leave_address"
    NEW_ADDRESS = "new_address"
    GIFT = "gift"


# These go to an address that who asks need not own.
_TO_STRANGERS = {Purpose.NEW_ADDRESS, Purpose.GIFT}


class AddressCheck(Base):
    """One request for an e-mail with a code; ``browser_hash`` is of the secret of who asked.

    ``member_id`` is known from the start where somebody signed in asks; ``gift_id`` is the gift
    that is to be accepted, by who may be nobody of ours yet. ``enqueued_at``: a worker has
    seen it. ``network`` is a keyed hash of where the request came from. ``tries``: how many codes
    were compared with it, right ones included.
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
    """What an e-mail carries, and the address it goes to."""

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
    """Ask for an e-mail to this address; a second click is the same request.

    Each network may ask for a few, and all together for more. Above that there is one whenever the
    one before has expired: its link and code work in any browser, so that the address's owner can
    always sign in, whoever else asks.

    Raises:
        TooOftenError: too many were asked for.
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
            _("You’ve asked for too many e-mails. Use the latest one, or ask again in an hour.")
        )
    if _are_too_many(of_today, _ALL_AN_HOUR, _ALL_A_DAY) and of_today[0].created_at > at - LIVES:
        raise TooOftenError(
            _(
                "We’ve just e-mailed this address. Open the link in the latest e-mail: it works "
                "here too, with the code. Or ask again in ten minutes."
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
    """Enqueue the e-mails that were asked for, to those who are somebody."""
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
        # As if an e-mail had left: a code for an unknown address is wrong, not impossible.
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
        member_id = check.member_id or session.scalar(
            select(Member.id).where(Member.address == check.email)
        )
        if member_id is not None:
            enqueue(
                session,
                "sign_in" if check.purpose is Purpose.SIGN_IN else "change_of_address",
                to=member_id,
                key=str(check.id),
                context=context,
            )


def mint(session: Session, check_id: int) -> Minted | None:
    """Make the token and the code of an e-mail that is about to leave; None if it is too late."""
    check = session.get(AddressCheck, check_id)
    if check is None or check.used_at or now() > check.created_at + _WORTH_SENDING:
        return None
    return _mint(check)


def address_to_check(session: Session, check_id: int) -> str | None:
    """The address that the e-mail of this request is to prove, if it is not a person's own.

    An e-mail to sign in goes to the address as we have it, not as somebody typed it.
    """
    check = session.get(AddressCheck, check_id)
    is_new = check is not None and check.purpose in {Purpose.NEW_ADDRESS, Purpose.GIFT}
    return check.email if check and is_new else None


def newest_check(session: Session, purpose: Purpose, browser: str) -> AddressCheck | None:
    """What this browser asked for last."""
    return session.scalars(
        select(AddressCheck)
        .where(AddressCheck.browser_hash == digest(browser), AddressCheck.purpose == purpose)
        .order_by(AddressCheck.id.desc())
        .limit(1)
    ).first()


def find_check(session: Session, purpose: Purpose, token: str) -> AddressCheck | None:
    """The request whose e-mail carried this token."""
    return session.scalars(
        select(AddressCheck).where(
            AddressCheck.token_hash == digest(token), AddressCheck.purpose == purpose
        )
    ).first()


def is_over(check: AddressCheck) -> bool:
    """Whether its ten minutes have passed, or it was used."""
    at = now()
    used = check.used_at is not None and check.used_at < at - _ONE_USE
    return used or (check.ends_at is not None and check.ends_at <= at)


def take_try(session: Session, check_id: int) -> bool:
    """Count a try before the code is looked at, so that no two tries are counted as one."""
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
    """Whether these are the six digits of the e-mail."""
    return is_one_of(check.code_hash or "", _hashes_of_code(check.id, code))


def use(session: Session, check: AddressCheck, browser: str | None) -> bool:
    """Use it up; True for the one who did, and for the second click of the same browser."""
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
    """Six digits are soon tried through: without our keys their hashes say nothing."""
    return keyed_digests("code", f"{check_id}:{code}")
