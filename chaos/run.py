"""One fault run from its start to its verdict."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from chaos.controls import CONSTRAINTS
from chaos.faults import Faults
from chaos.load import Load
from chaos.service import Service, running_service, start_programs
from chaos.shop import open_shop
from chaos.verdict import Verdict, deliveries_waiting, is_quiet, judge

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

_LEAST_CHANGES = 3
_EVENTS_OF_A_JOIN = 2
# Some calls hang for a quarter of a minute: while one process waits for Stripe, others go on.
_PROCESSES = 6
_VALKEY_AWAY = 15.0  # seconds: longer than a hint lives, and than a task goes on
_TO_BE_TOLD = 60.0  # seconds for every event to be known before Valkey goes for the last time


@dataclass(frozen=True)
class Plan:
    """``within`` is how many seconds after the last fault everything has to be right."""

    people: int
    events: int
    seed: int
    within: float = 60.0
    frozen_seconds: float = 30.0
    workers: int = 2
    without: str | None = None

    @property
    def changes_each(self) -> int:
        return max(_LEAST_CHANGES, math.ceil(self.events / self.people) - _EVENTS_OF_A_JOIN)

    @property
    def last_people(self) -> int:
        """Who join while Valkey is away for the last time: only the sweep finds them."""
        return max(5, min(50, self.people // 50))

    @property
    def change_last(self) -> int:
        """Who change in a row at the very end, and as many who then end unheard."""
        return max(5, min(40, self.people // 4))


@dataclass
class Report:
    """What happened; ``converged`` is seconds after the last fault, None if it never came to be."""

    plan: Plan
    verdict: Verdict
    converged: float | None
    loaded: float
    faults: Counter[str]
    made: Counter[str]
    delivered: Counter[str]
    restarts: dict[str, int]
    settlements: int
    in_between: int
    emails: int
    deliveries: dict[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.verdict.wrong


def run(plan: Plan, home: Path, say: Callable[[str], None]) -> Report:
    """Run the plan with its state under ``home``; everything is ended before it returns."""
    with running_service(
        home, workers=plan.workers, without=plan.without, processes=_PROCESSES
    ) as service:
        open_shop(service, people=plan.people, seed=plan.seed)
        if plan.without in CONSTRAINTS:
            with service.connect() as database:
                database.execute(CONSTRAINTS[plan.without])
        start_programs(service)
        load = Load(
            service=service,
            people=plan.people - plan.last_people,
            changes_each=plan.changes_each,
            seed=plan.seed,
            most_behind=max(30, min(3_000, plan.people // 3)),
            behind=lambda: _behind(service),
        )
        faults = Faults(service, load, plan.seed, plan.frozen_seconds)
        try:
            return _run(plan, service, load, faults, say)
        finally:
            load.stop()


def _run(
    plan: Plan, service: Service, load: Load, faults: Faults, say: Callable[[str], None]
) -> Report:
    began = time.monotonic()
    faults.begin()
    load.start()
    said = 0.0
    while not (load.is_over and faults.are_over):
        _pass_time(service, faults)
        if time.monotonic() - said > 10:  # noqa: PLR2004 - a line now and then
            said = time.monotonic()
            say(f"{said - began:6.0f} s  {load.share_done:6.1%} of the changes are made")
    _fail_with(load)
    loaded = time.monotonic() - began
    say(f"{loaded:6.0f} s  all changes but the last are made")
    _last_changes(plan, service, load)
    _last_fault(plan, service, load, faults)
    last_fault = time.monotonic()
    say(f"{last_fault - began:6.0f} s  the last fault is over")
    verdict, converged = _wait_until_right(plan, service, load, last_fault)
    return _report(plan, service, load, faults, verdict=verdict, converged=converged, loaded=loaded)


def _pass_time(service: Service, faults: Faults | None = None) -> None:
    service.watch()
    if faults:
        faults.tick()
    time.sleep(0.05)


def _fail_with(load: Load) -> None:
    if load.error:
        raise RuntimeError(f"The load failed: {load.error}")


def _last_changes(plan: Plan, service: Service, load: Load) -> None:
    """Changes that nothing repairs later: what came before is settled, and nobody is killed."""
    _wait(lambda: is_quiet(service), _TO_BE_TOLD, service)
    load.start_last_changes(plan.change_last)
    while not load.is_over:
        _pass_time(service)
    _fail_with(load)


def _last_fault(plan: Plan, service: Service, load: Load, faults: Faults) -> None:
    """Valkey stops, people join whose hints are lost, and it comes back with nothing in it.

    Before that every event has to be known, and none is lost any more: what the look through
    Stripe's list finds would call the workers by itself, and nobody needed the sweep.
    """
    load.post.lost = 0.0
    faults.end()
    _wait(lambda: _all_known(service), _TO_BE_TOLD, service, faults)
    service.valkey.stop()
    faults.happened["Valkey stopped"] += 1
    _wait(lambda: False, _VALKEY_AWAY, service, faults)
    load.live(range(plan.people - plan.last_people, plan.people), most_behind=None)
    _wait(lambda: deliveries_waiting(service) == 0, _TO_BE_TOLD, service, faults)
    service.valkey.start()
    service.flush_valkey()
    faults.happened["Valkey flushed"] += 1


def _wait(
    true: Callable[[], bool], seconds: float, service: Service, faults: Faults | None = None
) -> None:
    """Until it is true, or for so long; with ``faults`` the workers are killed on meanwhile."""
    until = time.monotonic() + seconds
    asked = 0.0
    while time.monotonic() < until:
        _pass_time(service, faults)
        if time.monotonic() - asked > 1:
            asked = time.monotonic()
            if true():
                return


def _all_known(service: Service) -> bool:
    stripe = service.stripe()
    try:
        told = {event for (event,) in stripe.execute("SELECT DISTINCT event FROM deliveries")}
    finally:
        stripe.close()
    with service.connect() as database:
        return told <= {event for (event,) in database.execute("SELECT id FROM event")}


def _wait_until_right(
    plan: Plan, service: Service, load: Load, last_fault: float
) -> tuple[Verdict, float | None]:
    while True:
        _pass_time(service)
        waited = time.monotonic() - last_fault
        out_of_time = waited > plan.within
        if out_of_time or is_quiet(service):
            verdict = judge(service, load.world.now())
            if not verdict.wrong:
                return verdict, waited
            if out_of_time:
                return verdict, None
        time.sleep(0.5)


def _behind(service: Service) -> int:
    """How many deliveries and customers wait; a database that is away tells nothing."""
    waiting = deliveries_waiting(service)
    try:
        with service.connect() as database:
            found = database.execute("SELECT count(*) FROM sync_request").fetchone()
    except psycopg.OperationalError:
        return waiting
    return waiting + (found[0] if found else 0)


def _report(
    plan: Plan,
    service: Service,
    load: Load,
    faults: Faults,
    *,
    verdict: Verdict,
    converged: float | None,
    loaded: float,
) -> Report:
    with service.connect() as database:
        settled = database.execute(
            "SELECT customer_id, extract(epoch FROM at)::float8 FROM chaos_settlement"
        ).fetchall()
    stripe = service.stripe()
    deliveries = dict(stripe.execute("SELECT state, count(*) FROM deliveries GROUP BY state"))
    stripe.close()
    return Report(
        plan=plan,
        verdict=verdict,
        converged=converged,
        loaded=loaded,
        faults=faults.happened,
        made=load.made,
        delivered=load.post.counts,
        restarts=service.restarts,
        settlements=len(settled),
        in_between=sum(at < load.last_change.get(customer, 0) for customer, at in settled),
        emails=service.postbox.taken,
        deliveries=deliveries,
    )
