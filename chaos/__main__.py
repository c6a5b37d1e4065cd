"""`python -m chaos`: the fault run; exits with 0 if everything was right in the end."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos.controls import CONTROLS
from chaos.run import Plan, Report, run
from demo.processes import DemoError


def main() -> int:
    options = _options()
    plan = Plan(
        people=options.people,
        events=options.events or options.people * 4,
        seed=options.seed,
        frozen_seconds=options.frozen,
        within=options.within,
        workers=options.workers,
        without=options.without,
    )
    print(f"seed {plan.seed}: {plan.people:,} people, at least {plan.changes_each} changes each")
    if plan.without:
        print(f"without: {plan.without}; the run has to notice")
    home = Path(tempfile.mkdtemp(prefix="fundraiser-chaos-"))
    _let_each_finish()
    began = time.monotonic()
    try:
        report = run(plan, home, _say)
    except DemoError as error:
        print(error)
        return 2
    _tell(report, time.monotonic() - began)
    if report.passed or plan.without:
        shutil.rmtree(home, ignore_errors=True)
    else:
        print(f"The logs are in {home / 'logs'}")
    return 0 if report.passed is (plan.without is None) else 1


def _let_each_finish() -> None:
    """On a few cores dozens of processes else interrupt each other all the time.

    Each of them inherits it. A tenth more was settled on two cores by it.
    """
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _say(line: str) -> None:
    print(line, flush=True)


def _tell(report: Report, seconds: float) -> None:
    verdict = report.verdict
    print(f"\nfaults:      {_list(report.faults)}")
    print(f"restarted:   {_list(report.restarts)}")
    print(f"changes:     {_list(report.made)}")
    print(f"events:      {_list(report.delivered)}")
    print(f"deliveries:  {_list(report.deliveries)}")
    print(
        f"settlements: {report.settlements:,}, of which {report.in_between:,} saw a customer "
        "who then changed again"
    )
    print(f"e-mails:     {report.emails:,} taken by the mail server")
    print(f"the load:    {report.loaded:.0f} s; the whole run: {seconds:.0f} s")
    print(
        f"compared:    {verdict.people:,} people and {verdict.memberships:,} memberships; "
        f"{verdict.members:,} members"
    )
    for sentence in verdict.wrong:
        print(f"   WRONG: {sentence}")
    if report.passed:
        print(f"RIGHT, {report.converged:.1f} s after the last fault")
    elif report.plan.without:
        print(f"WRONG, as it has to be without {report.plan.without}")
    else:
        print(f"WRONG {report.plan.within:.0f} s after the last fault")
    if report.passed and report.plan.without:
        print(f"The run did not notice that {report.plan.without} was off: it proves too little.")


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--people", type=int, default=25_000)
    parser.add_argument("--events", type=int, default=None, help="at least; 4 a person unless told")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--workers", type=int, default=2, help="worker services")
    parser.add_argument("--frozen", type=float, default=30.0, help="seconds that Valkey is frozen")
    parser.add_argument("--within", type=float, default=60.0, help="seconds to come right in")
    parser.add_argument("--without", choices=sorted(CONTROLS), help="a guard to take away")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
