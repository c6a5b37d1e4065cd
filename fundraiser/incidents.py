"""Security events: refused requests, counted by kind and place each minute, without personal data.

Each event is a log line, a metric and an entry on a staff page. We store no address, name or
network. Floods are cheap: a process writes its counts once a second.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import structlog
from flask import current_app, g, request
from sqlalchemy import Index, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Engine
    from sqlalchemy.orm import Session

log = structlog.get_logger()

KEPT = timedelta(days=90)
_PAUSE = 1.0  # seconds in which many events become one row
_LONGEST = 64
_HOUR = timedelta(hours=1)
_MANY = 100


class Kind(StrEnum):
    """A kind of security event."""

    PASSWORD = "password"  # noqa: S105 - a wrong password of staff
    SECOND_STEP = "second_step"  # a wrong code, or a passkey that does not fit
    MEMBER_CODE = "member_code"  # a wrong code or link at a member's sign-in
    GIFT_CODE = "gift_code"
    LIMIT = "limit"  # a limit was met
    STRIPE_WEBHOOK = "stripe_webhook"
    EMAIL_WEBHOOK = "email_webhook"
    SOURCE_WEBHOOK = "source_webhook"  # of a live source, such as Patreon
    PROOF_ASKED = "proof_asked"  # a payment was to be started, and a proof of work asked for first
    PROOF_WRONG = "proof_wrong"
    CEILING = "ceiling"  # as many payments were started as may be in a minute
    DECLINED = "declined"  # a card of somebody who is no member yet
    BUSY = "busy"  # all connections to the database were in use, and somebody was turned away
    FOREIGN_FORM = "foreign_form"  # a form of another site, or without its token
    FORBIDDEN = "forbidden"  # something that a role, or somebody who isn't signed in, may not do
    PROXY = "proxy"  # a forwarded header from a private address while no proxy is trusted
    FORWARDED = "forwarded"  # the same from a public address, which may be anybody's invention


class SecurityEvent(Base):
    """How often something happened within a minute; ``place`` is a route or a reason."""

    __tablename__ = "security_event"
    __table_args__ = (Index("ix_security_event_minute", "minute"),)

    kind: Mapped[Kind] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(primary_key=True)
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    count: Mapped[int]


@dataclass(frozen=True, slots=True)
class Entry:
    """How often something happened at one place within a time, and when first and last."""

    kind: Kind
    place: str
    count: int
    first: datetime
    last: datetime


class Incidents:
    """Counts events in memory, logs them at once, and writes them from a separate thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counted: Counter[tuple[Kind, str]] = Counter()
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None

    def note(self, kind: Kind, place: str) -> None:
        """Count one event and return at once."""
        key = (kind, place[:_LONGEST])
        with self._lock:
            self._counted[key] += 1
            is_first = self._counted[key] == 1
            # Begun at the first event, not at the start: a server may fork in between.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="incidents", daemon=True)
                self._thread.start()
            self._lock.notify()
        if is_first:
            log.warning("security_event", kind=kind.value, place=key[1])

    def write(self) -> None:
        """Write the counts so far to the database."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
        for (kind, place), count in counted.items():
            if count > 1:
                log.warning("security_event", kind=kind.value, place=place, more=count - 1)
        rows = [
            {"kind": kind, "place": place, "minute": _this_minute(), "count": count}
            for (kind, place), count in sorted(counted.items())
        ]
        if not rows:
            return
        statement = insert(SecurityEvent)
        keys = [SecurityEvent.kind, SecurityEvent.place, SecurityEvent.minute]
        total = SecurityEvent.count + statement.excluded.count
        # Where the database is away there are louder alarms, and the log has the lines.
        with suppress(SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=keys, set_={"count": total}), rows
            )

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._counted:
                    self._lock.wait()
            time.sleep(_PAUSE)
            self.write()


def current_incidents() -> Incidents:
    """The current app's security events."""
    return cast("Incidents", current_app.extensions["incidents"])


def note(kind: Kind, place: str | None = None) -> None:
    """Count a security event; its place is the current route by default."""
    rule = request.url_rule.rule if request.url_rule else "-"
    g.has_noted_incident = True
    current_incidents().note(kind, place or rule)


def has_noted() -> bool:
    """Whether the current request has counted an event."""
    return "has_noted_incident" in g


def count(session: Session, kind: Kind, within: timedelta) -> int:
    """How often this happened within a time."""
    found = session.scalar(
        select(func.sum(SecurityEvent.count)).where(
            SecurityEvent.kind == kind, SecurityEvent.minute > now() - within
        )
    )
    return int(found or 0)


def proxy_is_untrusted() -> ColumnElement[bool]:
    """Whether requests arrive through an untrusted proxy, so that all readers share one limit.

    One request from a private address is enough for an hour. Requests from public addresses could
    be forged, so that takes a hundred an hour.
    """
    at = now() - _HOUR

    def happened(kind: Kind) -> ColumnElement[int]:
        rows = select(func.coalesce(func.sum(SecurityEvent.count), 0)).where(
            SecurityEvent.kind == kind, SecurityEvent.minute > at
        )
        return rows.scalar_subquery()

    return or_(happened(Kind.PROXY) > 0, happened(Kind.FORWARDED) >= _MANY)


def is_proxy_untrusted(session: Session) -> bool:
    """``proxy_is_untrusted``, read from the database."""
    return bool(session.scalar(select(proxy_is_untrusted())))


def count_all(session: Session, within: timedelta) -> dict[Kind, int]:
    """How often each kind happened within a time."""
    rows = session.execute(
        select(SecurityEvent.kind, func.sum(SecurityEvent.count))
        .where(SecurityEvent.minute > now() - within)
        .group_by(SecurityEvent.kind)
    )
    found = {kind: int(total) for kind, total in rows}
    return {kind: found.get(kind, 0) for kind in Kind}


def read_entries(session: Session, within: timedelta, most: int) -> Iterable[Entry]:
    """The events by kind, place and day (UTC), latest first."""
    day = func.date_trunc("day", SecurityEvent.minute)
    last = func.max(SecurityEvent.minute)
    rows = session.execute(
        select(
            SecurityEvent.kind,
            SecurityEvent.place,
            func.sum(SecurityEvent.count),
            func.min(SecurityEvent.minute),
            last,
        )
        .where(SecurityEvent.minute > now() - within)
        .group_by(SecurityEvent.kind, SecurityEvent.place, day)
        .order_by(last.desc(), SecurityEvent.kind, SecurityEvent.place)
        .limit(most)
    )
    return [Entry(*row) for row in rows]


def forget_old(session: Session) -> int:
    """Delete events older than 90 days; returns how many rows."""
    gone = session.execute(delete(SecurityEvent).where(SecurityEvent.minute < now() - KEPT))
    return cast("int", gone.rowcount)  # type: ignore[attr-defined]  # a cursor's result


def _this_minute() -> datetime:
    return now().replace(second=0, microsecond=0)
