"""The negative controls: one guard of the product is taken away, and the run has to notice.

``patches/sitecustomize.py`` calls ``switch_off`` in each process of the service, before anything
else; nothing in the product knows of it. Where the database holds the same guard a second time, the
run takes that away too (``CONSTRAINTS``), or the control would show only that one is enough. Where
the guard is a lock, the moment that it guards is made longer, so that a small run meets it too.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

CONSTRAINTS = {
    "dedupe": "ALTER TABLE event DROP CONSTRAINT pk_event",
    "head-lock": "ALTER TABLE ledger DROP CONSTRAINT pk_ledger",
}


def switch_off(name: str) -> None:
    """Take one guard away from this process."""
    CONTROLS[name]()


def _without_dedupe() -> None:
    """An event that comes again is stored again."""
    from sqlalchemy import text

    from fundraiser.webhooks import inbox

    def deaf(receive: Any) -> Any:  # noqa: ANN401 - a statement of the product's
        before, guard, after = receive.text.partition("ON CONFLICT (id) DO NOTHING")
        assert guard, "A control that takes nothing away is a mistake."
        return text(before + after)

    _replace(inbox, "_STORE", deaf)


def _without_lease() -> None:
    """Several workers may look at one customer at a time, and each writes what it saw."""
    from sqlalchemy import text

    from fundraiser.payments import queue, sync

    def deaf(take: Any) -> Any:  # noqa: ANN401 - a statement of the product's
        guard = "WHERE lease.until <= :at"
        assert guard in take.text, "A control that takes nothing away is a mistake."
        taken = take.text.replace(guard, f"{guard} OR true")
        return text(taken.replace("AND until > :at", "AND until > :at AND false"))

    _replace(queue, "_TAKE_URGENT", deaf)
    _replace(queue, "_TAKE_ANY", deaf)
    _replace(queue, "_TAKE_ONE", deaf)
    _replace(queue, "hold", lambda _: lambda *_: None)
    # Between the look at Stripe and the writing of what was seen, while nothing is held.
    _replace(sync, "fetch", _slow(one_in=4, least=1.0, most=5.0))
    # Where the run meets a night, the comparison with Stripe's list repairs what the lock did not
    # prevent: it is the same guard once more.
    _without_ticks("reconcile")


def _without_sweep() -> None:
    """Only hints make the workers settle."""
    _without_ticks("settle")


def _without_reconcile() -> None:
    """Nobody looks through Stripe's own lists."""
    _without_ticks("catch_up", "reconcile", "prove")


def _without_head_lock() -> None:
    """The ledger's newest balance is read without waiting for whoever is about to change it."""
    from sqlalchemy import select

    from fundraiser.members import ledger
    from fundraiser.members.models import LedgerHead

    def deaf(head: Any) -> Any:  # noqa: ANN401 - a statement of the product's
        assert "FOR UPDATE" in str(head), "A control that takes nothing away is a mistake."
        return select(LedgerHead).execution_options(populate_existing=True)

    _replace(ledger, "_HEAD", deaf)
    # Called between the reading of the head and the writing.
    _replace(ledger, "now", _slow(one_in=1, least=0.0, most=0.1))


CONTROLS: dict[str, Callable[[], None]] = {
    "dedupe": _without_dedupe,
    "lease": _without_lease,
    "sweep": _without_sweep,
    "reconcile": _without_reconcile,
    "head-lock": _without_head_lock,
}


def _without_ticks(*names: str) -> None:
    from workers import timetable

    for name in names:
        del timetable.TIMETABLE[name]


def _replace(module: ModuleType, name: str, change: Callable[[Any], Any]) -> None:
    setattr(module, name, change(getattr(module, name)))


def _slow(*, one_in: int, least: float, most: float) -> Callable[[Any], Any]:
    """Change a function into one that now and then takes so many seconds longer."""

    def change(function: Any) -> Any:  # noqa: ANN401 - a function of the product's
        def slow(*what: Any) -> Any:  # noqa: ANN401 - as it is
            found = function(*what)
            if random.randrange(one_in) == 0:  # noqa: S311 - guards nothing
                time.sleep(random.uniform(least, most))  # noqa: S311 - guards nothing
            return found

        return slow

    return change
