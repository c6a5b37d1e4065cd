"""`python -m chaos.emails`: e-mails, while workers are killed and the mail server misbehaves.

Half of the e-mails are receipts, which are sent again rather than lost, and half are reminders of a
failed payment, which are rather lost than sent twice. A worker is killed with SIGKILL every few
seconds; the mail server refuses for good and for now, is slow, and goes away before and after it
has taken an e-mail. In the end what it took is compared with what our books say of each e-mail.

``--without key`` takes the unique key away: two sweeps side by side then enqueue reminders twice,
and the run has to notice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from aiosmtpd.controller import Controller

from demo.processes import DemoError, end, family, kill, spawn
from demo.servers import free_port, throwaway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.servers import Postgres, Valkey

ROOT = Path(__file__).parent.parent
KILL_EVERY, WORKERS = 3.0, 3
LONGEST_RUN = 3600.0  # seconds
STEP = timedelta(hours=1)  # by which the clock moves where only waiting e-mails are left
STEPS = 60

# What the server does with so much of what it is sent.
MISBEHAVIOUR = {
    "refused for good": 0.01,
    "refused for now": 0.05,
    "slow": 0.01,
    "gone before it took it": 0.01,
    "gone after it took it": 0.02,
}
# As Celery's own pool: a parent that forks anew whoever dies. Each child runs the tasks themselves.
# The parent does some work first, so that not every child has to learn the statements by itself.
WORKER = f"""
import os, time
from workers.tasks import deliver, enqueue, flask_app
enqueue()
deliver()
flask_app.database.dispose()
alive = set()
while True:
    while len(alive) < {WORKERS}:
        child = os.fork()
        while not child:
            deliver()
            enqueue()
            time.sleep(0.2)
        alive.add(child)
    alive.discard(os.wait()[0])
"""
# Begins when both are there: neither waits so long for the other that it gives up.
SWEEP = """
import os, time
from pathlib import Path
from workers.tasks import enqueue
here = Path(os.environ["CLOCK_OFFSET_FILE"]).parent
(here / f"ready-{os.getpid()}").touch()
while not (here / "begin").exists():
    time.sleep(0.05)
enqueue()
"""
PEOPLE = """
WITH people AS (
    INSERT INTO member (email, address, language, counting, sequence, created_at)
    SELECT email, email, 'en', false, 0, %(at)s FROM (
        SELECT 'reader-' || n || '@letters.example' AS email FROM generate_series(1, %(count)s) n
    ) RETURNING id
), split AS (
    SELECT id, row_number() OVER (ORDER BY id) %% 2 = 0 AS overdue FROM people
), memberships AS (
    INSERT INTO membership (member_id, source, reference, amount, currency, interval, status,
        payment_status, collection_paused, started_at, paid_at, period_end, grace_from)
    SELECT id, 'stripe', 'sub_' || id, 1000, 'EUR', 'month',
        CASE WHEN overdue THEN 'past_due' ELSE 'active' END,
        CASE WHEN overdue THEN 'overdue' ELSE 'paid' END, false,
        %(at)s, %(at)s, %(at)s, CASE WHEN overdue THEN %(at)s END
    FROM split
), switch AS (
    INSERT INTO email_switch (kind, is_on) VALUES ('receipt', true)
)
INSERT INTO payment (charge_id, member_id, customer_id, subscription_id, kind, status, amount,
    refunded, currency, paid_at)
SELECT 'ch_' || id, id, 'cus_' || id, 'sub_' || id, 'membership', 'succeeded', 1000, 0, 'EUR',
    %(at)s
FROM split WHERE NOT overdue
"""


@dataclass
class Postbox:
    """``taken`` counts by address and Message-ID what the server took."""

    random: random.Random
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self,
        server: Any,  # noqa: ANN401 - aiosmtpd is untyped
        _session: Any,  # noqa: ANN401
        envelope: Any,  # noqa: ANN401
    ) -> str:
        name = str(message_from_bytes(envelope.content)["Message-ID"])
        what = self._choose()
        self.did[what] += 1
        if what == "slow":
            await asyncio.sleep(self.random.uniform(0.5, 3))
        if what == "refused for good":
            return "550 5.1.1 There is nobody of this name"
        if what == "refused for now":
            return "451 4.7.1 Come back later"
        if what != "gone before it took it":
            self.taken[envelope.rcpt_tos[0], name] += 1
        if what.startswith("gone"):
            server.transport.abort()
        return "250 OK"

    def _choose(self) -> str:
        dice = self.random.random()
        for what, share in MISBEHAVIOUR.items():
            dice -= share
            if dice < 0:
                return what
        return "taken"


@dataclass(frozen=True)
class Run:
    """One run: its servers, its workers' environment, and the clock's file."""

    url: str
    env: dict[str, str]
    clock: Path
    folder: Path

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    def start(self, program: str) -> subprocess.Popen[bytes]:
        log = self.folder / "worker.log"
        return spawn([sys.executable, "-c", program], log=log, cwd=ROOT, env=self.env)

    def count_open(self) -> tuple[int, int]:
        """How many e-mails are not over yet, and how many of them are due."""
        offset = int(self.clock.read_text())
        with self.connect() as database:
            found = database.execute(
                "SELECT count(*), count(*) FILTER (WHERE due_at <= now() + %s * interval '1 s')"
                " FROM email WHERE state IN ('queued', 'sending')",
                (offset,),
            ).fetchone()
        assert found
        return found[0], found[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos.emails", description=__doc__)
    parser.add_argument("--emails", type=int, default=25_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--without", choices=["key"], help="a guard to take away")
    options = parser.parse_args()
    print(f"seed {options.seed}: {options.emails:,} e-mails", flush=True)
    began = time.monotonic()
    box = Postbox(random.Random(options.seed))  # noqa: S311 - a fault must be repeatable
    with tempfile.TemporaryDirectory() as folder, throwaway() as servers, _listening(box) as smtp:
        run = _prepare(Path(folder), *servers, smtp)
        if options.without:
            _take_the_key_away(run)
        killed = _work(run, options.emails)
        wrong = judge(run, box)
    print(f"seconds: {time.monotonic() - began:.0f}; workers killed: {killed}")
    for what, count in sorted(box.did.items()):
        print(f"{what}: {count:,}")
    for sentence in wrong:
        print(f"   WRONG: {sentence}")
    print("WRONG" if wrong else "RIGHT")
    return int(bool(wrong) is not bool(options.without))


def judge(run: Run, box: Postbox) -> list[str]:
    """What is wrong, a sentence each; prints what became of the e-mails."""
    with run.connect() as database:
        emails = database.execute(
            "SELECT l.id, m.email, l.kind, l.state, l.unknown_at FROM email l"
            " JOIN member m ON m.id = l.member_id"
        ).fetchall()
        (people,) = database.execute("SELECT count(*) FROM member").fetchone() or (0,)
    by_name = {name: count for (_address, name), count in box.taken.items()}
    receipts: Counter[str] = Counter()
    reminders: Counter[str] = Counter()
    doubted: defaultdict[str, bool] = defaultdict(bool)
    wrong: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for number, address, kind, state, unknown_at in emails:
        taken = by_name.get(f"<letter-{number}@127.0.0.1>", 0)
        is_receipt = kind == "receipt"
        states[f"{kind} {state}{', first unknown' if unknown_at and state == 'sent' else ''}"] += 1
        if is_receipt:
            wrong["a receipt is missing"] += taken == 0 and state not in {"failed", "unknown"}
            receipts[address] += taken
            doubted[address] |= unknown_at is not None
        else:
            reminders[address] += taken
        wrong["the server took an e-mail that we hold for not sent"] += bool(
            taken and state != "sent" and not unknown_at
        )
        wrong["we hold an e-mail for sent that the server never took"] += (
            state == "sent" and taken == 0
        )
        wrong["an e-mail is not over"] += state in {"queued", "sending"}
    wrong["somebody is due an e-mail and has none"] += people - len({*receipts, *reminders})
    wrong["a receipt came twice, and nothing says so"] += sum(
        count > 1 and not doubted[address] for address, count in receipts.items()
    )
    wrong["a reminder came twice"] += sum(count > 1 for count in reminders.values())
    for what, count in sorted(states.items()):
        print(f"{what}: {count:,}")
    return [f"{what}: {count:,} times" for what, count in wrong.items() if count]


def _prepare(folder: Path, postgres: Postgres, valkey: Valkey, smtp: str) -> Run:
    clock = folder / "clock"
    at = datetime.now(UTC)
    morning = (at + timedelta(days=1)).replace(hour=9, minute=0, second=0)
    clock.write_text(str(int((morning - at).total_seconds())))
    env = os.environ | {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "STRIPE_API_KEY": "sk_test_simulator",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": "whsec_chaos",
        "SMTP_URL": smtp,
        "SECRET_KEY": "only-for-the-fault-run-0123456789-abcdef",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "MAIL_FROM": "members@127.0.0.1",
        "CLOCK_OFFSET_FILE": str(clock),
        "EMAILS_PER_SECOND": "0",
        "LOG_LEVEL": "CRITICAL",
        "PYTHONPATH": str(ROOT),
    }
    alembic = Path(sys.executable).with_name("alembic")
    subprocess.run([alembic, "upgrade", "head"], cwd=ROOT, env=env, check=True)  # noqa: S603 - ours
    return Run(postgres.url, env, clock, folder)


def _take_the_key_away(run: Run) -> None:
    with run.connect() as database:
        database.execute("ALTER TABLE email DROP CONSTRAINT uq_email_kind_key")


def _work(run: Run, count: int) -> int:
    """Until every e-mail is over; returns how many workers were killed."""
    with run.connect() as database:
        at = datetime.now(UTC) + timedelta(seconds=int(run.clock.read_text()))
        database.execute(PEOPLE, {"count": count, "at": at - timedelta(minutes=1)})
    _sweep_side_by_side(run)
    pool = run.start(WORKER)
    began = next_kill = time.monotonic()
    killed = steps = 0
    try:
        while time.monotonic() - began < LONGEST_RUN:
            time.sleep(0.25)
            waiting, due = run.count_open()
            if waiting == 0:
                return killed
            if due == 0:
                steps += 1
                if steps > STEPS:
                    return killed
                _advance(run)
            if time.monotonic() - next_kill > KILL_EVERY:
                next_kill = time.monotonic()
                killed += _kill_one(pool)
    finally:
        end([pool], signal.SIGKILL)
    return killed


def _kill_one(pool: subprocess.Popen[bytes]) -> int:
    """Kill the worker that lives longest, if the pool has begun."""
    workers = sorted(family(pool.pid), key=lambda worker: worker.create_time())
    if len(workers) < WORKERS:
        return 0
    kill(workers[:1])
    return 1


def _sweep_side_by_side(run: Run) -> None:
    """Two ticks that come at one time: what the unique key is there for.

    Each waits for a lock that is let go when both are there, so that neither sees the other's rows.
    """
    sweeps = [run.start(SWEEP) for _ in range(2)]
    until = time.monotonic() + 60
    while time.monotonic() < until and len([*run.folder.glob("ready-*")]) < len(sweeps):
        time.sleep(0.1)
    with psycopg.connect(run.url) as holder:
        holder.execute("ANALYZE")
        holder.execute("LOCK TABLE email IN ACCESS EXCLUSIVE MODE")
        (run.folder / "begin").touch()
        while time.monotonic() < until and _waiting_for_a_lock(run) < len(sweeps):
            time.sleep(0.1)
        holder.rollback()
    for sweep in sweeps:
        if sweep.wait(60):
            raise DemoError(f"A sweep failed: {(run.folder / 'worker.log').read_text()[-2000:]}")


def _waiting_for_a_lock(run: Run) -> int:
    with run.connect() as database:
        found = database.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    assert found
    return int(found[0])


def _advance(run: Run) -> None:
    run.clock.write_text(str(int(run.clock.read_text()) + int(STEP.total_seconds())))


@contextmanager
def _listening(box: Postbox) -> Iterator[str]:
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop()


if __name__ == "__main__":
    sys.exit(main())
