"""How often and how long: requests, calls to Stripe and e-mails, counted in histograms.

Each process counts in memory and adds its counts to the database every few seconds, so ``/metrics``
of any web process has the figures of all, workers included. Labels are routes, statuses and names
of operations: nothing that says who. What a process counted since the last write is lost if it is
killed.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from contextlib import contextmanager
from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, cast

from flask import current_app
from prometheus_client.core import HistogramMetricFamily
from sqlalchemy import BigInteger, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

# Where a request's environ names its route, once that is known.
ROUTE = "fundraiser.route"
_PAUSE = 5.0  # seconds between two writes
# Seconds, upper bounds; the last bucket has no bound.
BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_NO_BOUND = len(BOUNDS)


class Measured(StrEnum):
    """What is measured; the value is the metric's name without ``fundraiser_``."""

    REQUEST = "request_seconds"
    STRIPE = "stripe_call_seconds"
    EMAIL = "email_sending_seconds"

    @property
    def words(self) -> str:
        """The metric's help text."""
        return {
            Measured.REQUEST: "Requests, from when the body is complete until the answer is made.",
            Measured.STRIPE: "Attempts to call Stripe, by the answer's status; 0: no answer.",
            Measured.EMAIL: "E-mails handed to the mail server, by what became of them.",
        }[self]

    @property
    def labels(self) -> tuple[str, ...]:
        """The metric's label names."""
        return {
            Measured.REQUEST: ("method", "route", "status"),
            Measured.STRIPE: ("operation", "status"),
            Measured.EMAIL: ("result",),
        }[self]


class Measure(Base):
    """One bucket of a histogram: how many observations fell into it, and their sum in seconds.

    ``labels`` is a JSON list of values; ``bucket`` is an index of ``BOUNDS``, or their number.
    """

    __tablename__ = "measure"

    name: Mapped[Measured] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]


class _Key(NamedTuple):
    what: Measured
    labels: tuple[str, ...]
    bucket: int


class Measures:
    """This process's observations; a separate thread writes them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._seen: dict[_Key, tuple[int, float]] = {}
        self._thread: threading.Thread | None = None

    def note(self, what: Measured, seconds: float, *labels: str) -> None:
        """Add one observation and return at once."""
        key = _Key(what, labels, bisect_left(BOUNDS, seconds))
        with self._lock:
            self._add(key, 1, seconds)
            # Begun at the first observation, not at the start: a server may fork in between.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="measures", daemon=True)
                self._thread.start()

    def write(self) -> None:
        """Add what was observed to the database; keeps it if the database is away."""
        with self._lock:
            seen, self._seen = self._seen, {}
        rows = [
            {
                "name": key.what,
                "labels": json.dumps(key.labels),
                "bucket": key.bucket,
                "count": count,
                "seconds": seconds,
            }
            for key, (count, seconds) in sorted(seen.items())  # in one order: nobody waits in turn
        ]
        if not rows:
            return
        statement = insert(Measure)
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=[Measure.name, Measure.labels, Measure.bucket],
                        set_={
                            "count": Measure.count + statement.excluded.count,
                            "seconds": Measure.seconds + statement.excluded.seconds,
                        },
                    ),
                    rows,
                )
        except SQLAlchemyError:
            with self._lock:
                for key, (count, seconds) in seen.items():
                    self._add(key, count, seconds)

    def _add(self, key: _Key, count: int, seconds: float) -> None:
        counted, summed = self._seen.get(key, (0, 0.0))
        self._seen[key] = counted + count, summed + seconds

    def _run(self) -> None:
        while True:
            time.sleep(_PAUSE)
            self.write()


def current_measures() -> Measures:
    """The current app's measures."""
    return cast("Measures", current_app.extensions["measures"])


@contextmanager
def timed(measures: Measures, what: Measured, *labels: str) -> Iterator[list[str]]:
    """Measure a block; it appends labels that it learns, such as the result, to the list."""
    found: list[str] = []
    begun = time.perf_counter()
    try:
        yield found
    finally:
        measures.note(what, time.perf_counter() - begun, *labels, *found)


def read_measures(session: Session) -> Iterable[HistogramMetricFamily]:
    """All histograms, as Prometheus wants them: each bucket includes those below it."""
    found: defaultdict[tuple[Measured, str], list[Measure]] = defaultdict(list)
    for row in session.scalars(select(Measure).order_by(Measure.name, Measure.labels)):
        found[row.name, row.labels].append(row)
    for what in Measured:
        family = HistogramMetricFamily(f"fundraiser_{what.value}", what.words, labels=what.labels)
        for (name, labels), rows in found.items():
            if name is what:
                family.add_metric(
                    json.loads(labels), _cumulate(rows), sum(row.seconds for row in rows)
                )
        yield family


def _cumulate(rows: Iterable[Measure]) -> list[tuple[str, float]]:
    counts = {row.bucket: row.count for row in rows}
    bounds = [*map(str, BOUNDS), "+Inf"]
    totals = accumulate(counts.get(bucket, 0) for bucket in range(len(bounds)))
    return list(zip(bounds, totals, strict=True))
