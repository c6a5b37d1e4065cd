"""Protect against card testing: limit how many payments can start, and ask browsers for a proof.

Card testers start thousands of payments to find out which stolen cards work. A few payments a
minute may start freely. Above that, each browser has to solve a proof of work, which needs nothing
from the reader. Declined cards and unfinished payments switch that on and off for everybody;
networks that start many payments always have to. See docs/security.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import limits
import structlog
from flask import current_app
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter
from redis.exceptions import RedisError
from sqlalchemy import CheckConstraint, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser import incidents
from fundraiser.config import current_settings
from fundraiser.db import Base, now
from fundraiser.incidents import Kind
from fundraiser.networks import near, wide
from fundraiser.payments import proofs
from fundraiser.payments.models import Checkout
from fundraiser.security import keyed_digest, limiter

if TYPE_CHECKING:
    from limits import RateLimitItem
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.db import Database

log = structlog.get_logger()

_STAYS_ON = timedelta(minutes=10)
_DECLINES_WITHIN = timedelta(minutes=10)
_TIME_TO_PAY, _UNPAID_WITHIN = timedelta(minutes=3), timedelta(minutes=30)
_MOSTLY = 0.9  # share of started payments that are unpaid
_SHARE_OF_WIDE = 3  # a wide network's limit is three times that of an address
_LARGEST_SHARE = 3  # one network gets at most a third of the ceiling
_BUSY = 20  # seconds until a browser with a valid proof tries again


class Mode(StrEnum):
    """When all browsers need a proof: automatically, always, or never."""

    AUTOMATIC = "automatic"
    ON = "on"
    OFF = "off"


class CardGuard(Base):
    """The guard's state, one row: the mode, until when it is on automatically, and why."""

    __tablename__ = "card_guard"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    mode: Mapped[Mode]
    on_until: Mapped[datetime | None]
    on_since: Mapped[datetime | None]
    cause: Mapped[str | None]

    @property
    def is_on(self) -> bool:
        """Whether all browsers need a proof now."""
        is_alarmed = self.on_until is not None and self.on_until > now()
        return self.mode is Mode.ON or (self.mode is Mode.AUTOMATIC and is_alarmed)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a browser must do before a payment starts.

    It sends its proof after ``wait`` seconds; a ``ticket`` sent too early stays valid.
    """

    challenge: str
    ticket: str
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The most payments a minute: without a proof, after a wait, with a proof."""

    bare: int
    waited: int
    proved: int

    @property
    def declines(self) -> int:
        """How many declined cards within ten minutes switch the guard on."""
        return self.bare // 2

    @property
    def unpaid(self) -> int:
        """How many unpaid payments within half an hour switch the guard on."""
        return self.bare * 5


def ceilings(settings: Settings) -> Ceilings:
    """The limits: at most 30 a minute without a proof, unless one address may start more."""
    by_address = limits.parse_many(settings.join_limit)
    bare = max(20, min(2 * one.amount * 60 // one.get_expiry() for one in by_address))
    return Ceilings(bare, bare // 2, settings.checkouts_per_minute)


def read_guard(session: Session) -> CardGuard:
    """The guard's current state."""
    return session.get(CardGuard, 1) or CardGuard(id=1, mode=Mode.AUTOMATIC)


def set_mode(session: Session, mode: Mode) -> None:
    """Set the mode chosen by staff, and clear earlier alarms."""
    values = {"mode": mode, "on_until": None, "on_since": None, "cause": None}
    session.execute(
        insert(CardGuard)
        .values(id=1, **values)
        .on_conflict_do_update(index_elements=[CardGuard.id], set_=values)
    )


def admit(session: Session, *, solution: str, ticket: str) -> Ask | None:
    """None if this request may start a payment; otherwise what its browser must do first.

    Call it after all other checks, because it uses up the proof.
    """
    most, counters = ceilings(current_settings()), _Counters()
    if solution:
        return _admit_proved(most, counters, solution)
    if ticket:
        return _admit_waited(most, counters, ticket)
    if _may_go_at_once(session, most, counters):
        return None
    incidents.note(Kind.PROOF_ASKED)
    return _ask(most, counters)


def _admit_proved(most: Ceilings, counters: _Counters, solution: str) -> Ask | None:
    name = proofs.name_of_proof(solution)
    if name is None or not counters.is_first(name):
        incidents.note(Kind.PROOF_WRONG)
        return _ask(most, counters)
    share = most.proved // _LARGEST_SHARE
    if counters.roll(share, "proved", wide()) and counters.roll(most.proved, "proved"):
        return None
    incidents.note(Kind.CEILING)
    return _ask(most, counters, wait=_BUSY)


def _admit_waited(most: Ceilings, counters: _Counters, ticket: str) -> Ask | None:
    left = proofs.seconds_to_wait(ticket)
    if left is None:
        incidents.note(Kind.PROOF_WRONG)
        return _ask(most, counters)
    if left == 0 and counters.is_first(ticket, keep=False):
        share = max(1, most.waited // _LARGEST_SHARE)
        if counters.roll(share, "waited", near()) and counters.roll(most.waited, "waited"):
            if counters.is_first(ticket):
                return None
        else:
            # Keep the ticket valid, so that the browser can try again.
            incidents.note(Kind.CEILING)
            return _ask(most, counters, ticket=ticket, wait=_BUSY)
    incidents.note(Kind.PROOF_ASKED)
    return _ask(most, counters, ticket=ticket if left else "")


def _may_go_at_once(session: Session, most: Ceilings, counters: _Counters) -> bool:
    if not counters.add(most.bare, "attempts"):
        _switch_on("attempts")
        return False
    guard = read_guard(session)
    if guard.is_on:
        return False
    for limit in limits.parse_many(current_settings().join_limit):
        for network, times in ((near(), 1), (wide(), _SHARE_OF_WIDE)):
            if not counters.add_to(limit, network, times):
                return False
    if not counters.roll(most.bare, "bare"):
        _switch_on("attempts")
        return False
    if cause := _alarm(session, most):
        _switch_on(cause)
        return guard.mode is Mode.OFF
    return True


def _alarm(session: Session, most: Ceilings) -> str | None:
    """The reason to switch on (declined cards or unfinished payments in our data), or None."""
    if incidents.count(session, Kind.DECLINED, _DECLINES_WITHIN) >= most.declines:
        return "declines"
    at = now()
    started, unpaid = session.execute(
        select(func.count(), func.count().filter(Checkout.reference.is_(None))).where(
            Checkout.created_at.between(at - _UNPAID_WITHIN, at - _TIME_TO_PAY),
        )
    ).one()
    return "unpaid" if unpaid >= most.unpaid and unpaid > started * _MOSTLY else None


def _switch_on(cause: str) -> None:
    """Switch on for ten minutes, in a separate transaction because the response is a 429."""
    database, at = cast("Database", current_app.extensions["database"]), now()
    with database.transaction(beside=True) as own:
        guard = read_guard(own)
        if guard.mode is not Mode.AUTOMATIC:
            return
        if guard.on_until and guard.on_until > at + _STAYS_ON - timedelta(minutes=1):
            return  # extended less than a minute ago
        since = guard.on_since if guard.is_on else at
        values = {"on_until": at + _STAYS_ON, "on_since": since, "cause": cause}
        own.execute(
            insert(CardGuard)
            .values(id=1, mode=Mode.AUTOMATIC, **values)
            .on_conflict_do_update(
                index_elements=[CardGuard.id], set_=values, where=CardGuard.mode == Mode.AUTOMATIC
            )
        )
    log.warning("card_guard_on", cause=cause, minutes=_STAYS_ON.total_seconds() // 60)


def _ask(most: Ceilings, counters: _Counters, *, ticket: str = "", wait: int = 0) -> Ask:
    """Make the challenge: the more proofs in this minute, the longer it takes, up to four times."""
    used = most.proved - counters.left(most.proved, "proved")
    harder = 1 + 3 * used // max(most.proved, 1)
    return Ask(proofs.new_challenge(harder), ticket or proofs.new_ticket(), wait)


class _Counters:
    """Counters in Redis, under keyed hashes that expire in minutes; in memory if Redis is down."""

    _memory = MemoryStorage()

    def __init__(self) -> None:
        self._storage = limiter.storage

    def add(self, most: int, name: str) -> bool:
        """Count one for this minute, even above the limit; False above it."""
        return self._hit(FixedWindowRateLimiter, limits.parse(f"{most} per minute"), name)

    def add_to(self, limit: RateLimitItem, network: str, times: int) -> bool:
        """Count one for a network; False above the limit."""
        several = limits.parse(f"{limit.amount * times} per {limit.get_expiry()} seconds")
        return self._hit(FixedWindowRateLimiter, several, f"network {network}")

    def roll(self, most: int, *names: str) -> bool:
        """Use one of this many in any sixty seconds; False if none is left."""
        return self._hit(
            MovingWindowRateLimiter, limits.parse(f"{most} per minute"), " ".join(names)
        )

    def left(self, most: int, name: str) -> int:
        """How many are left of those."""
        item, key = limits.parse(f"{most} per minute"), keyed_digest("guard", name)
        try:
            return MovingWindowRateLimiter(self._storage).get_window_stats(item, key).remaining
        except RedisError:
            return most

    def is_first(self, name: str, *, keep: bool = True) -> bool:
        """Whether this proof is new; marks it as used unless ``keep`` is False."""
        item = limits.parse(f"1 per {proofs.LIVES} seconds")
        return self._hit(FixedWindowRateLimiter, item, f"proof {name}", only_ask=not keep)

    def _hit(
        self,
        strategy: type[FixedWindowRateLimiter | MovingWindowRateLimiter],
        item: RateLimitItem,
        name: str,
        *,
        only_ask: bool = False,
    ) -> bool:
        key = keyed_digest("guard", name)
        try:
            counter = strategy(self._storage)
            return counter.test(item, key) if only_ask else counter.hit(item, key)
        except RedisError:
            self._storage = self._memory
            return self._hit(strategy, item, name, only_ask=only_ask)
