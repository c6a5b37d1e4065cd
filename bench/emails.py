"""E-mails: how many are rendered and handed over a second, and how long the sweep takes.

A local SMTP server takes all that comes (``mail_sink``, which costs next to nothing: it is not what
is measured, and has the same two cores). The yardstick is the same messages, prepared beforehand,
over one connection. The sweep looks through as many members as are named: 1,000,000 unless
EMAILS_MEMBERS says otherwise, of whom one in a thousand is due an e-mail.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import select

from bench.servers import ROOT, environment, migrate
from demo.servers import free_port, throwaway
from fundraiser.app import create_app
from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.config import load_settings
from fundraiser.db import now
from fundraiser.emails.smtp import MailServer
from fundraiser.emails.sweep import sweep
from fundraiser.emails.writing import write
from fundraiser.outbox import Email
from fundraiser.payments.models import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.app import FundraiserApp
    from fundraiser.emails.message import Message

EMAILS, PROCESSES = 2000, 2
MEMBERS = int(os.environ.get("EMAILS_MEMBERS", "1000000"))
WANTED, WITHIN = 200, 5.0  # e-mails a second on two cores; seconds for the sweep

_PEOPLE = """
INSERT INTO member (email, address, language, counting, sequence, created_at)
SELECT email, email, 'en', true, 1, now() FROM (
    SELECT 'reader-' || n || '@letters.example' AS email FROM generate_series(%s::int, %s::int) n
)
"""
_MEMBERSHIPS = """
INSERT INTO membership (member_id, source, reference, amount, currency, interval, status,
    payment_status, collection_paused, started_at, paid_at, period_end, grace_from, card_last4,
    card_expires_at,
    tier, campaign)
SELECT id, 'stripe', 'sub_' || id, 1000, 'EUR', CASE WHEN id %% 3 = 0 THEN 'year' ELSE 'month' END,
    CASE WHEN id %% 1000 = 1 THEN 'past_due' ELSE 'active' END,
    CASE WHEN id %% 1000 = 1 THEN 'overdue' ELSE 'paid' END, false, now(),
    now() - interval '5 days', now() + (20 + id %% 300) * interval '1 day',
    CASE WHEN id %% 1000 = 1 THEN now() - interval '1 hour' END, '4242',
    now() + (40 + id %% 900) * interval '1 day', 'member', '25000'
FROM member WHERE NOT EXISTS (SELECT FROM membership WHERE member_id = member.id)
"""
# Writes and sends all, once it is told to begin; its first look is before that.
_WORKER = """
import sys, time
from fundraiser.emails.delivery import deliver_some
from fundraiser.emails.smtp import MailServer
from workers.app import flask_app
with flask_app.app_context(), MailServer(flask_app.extensions["settings"]) as server:
    print("ready", flush=True)
    sys.stdin.read()
    began = time.process_time()
    while deliver_some(flask_app.database, server):
        pass
    print(time.process_time() - began)
"""
_WELCOMES = """
INSERT INTO email (member_id, kind, key, context, urgent, state, due_at, created_at, attempts)
SELECT id, 'welcome', 'member ' || id || ' 1', '{}', true, 'queued', now(), now(), 0
FROM member ORDER BY id LIMIT %s
"""


def main() -> None:
    with throwaway() as (postgres, valkey), _mail_sink() as url:
        env = environment(postgres, valkey, free_port()) | {"SMTP_URL": url}
        migrate(env)
        app = create_app(load_settings(env))
        with app.app_context():
            _measure_emails(app, env)
            _measure_sweep(app, postgres.url)
        app.database.dispose()


@contextmanager
def _mail_sink() -> Iterator[str]:
    """The server that takes every e-mail, in a process of its own; gives its address."""
    sink = subprocess.Popen(
        [sys.executable, "-m", "bench.mail_sink"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert sink.stdout
        yield f"smtp://127.0.0.1:{int(sink.stdout.readline())}"
    finally:
        sink.kill()
        sink.wait()


def _measure_emails(app: FundraiserApp, env: dict[str, str]) -> None:
    at = now()
    with app.database.transaction() as session:
        session.add(Tier(slug="member", position=1, names={"en": "Member"}, descriptions={}))
        session.add(
            Campaign(
                slug="25000",
                headlines={},
                messages={},
                counts=Counts.ALL,
                starts_at=at,
                deadline=at + timedelta(days=30),
                timezone="UTC",
                tiers=["member"],
                default_tier="member",
                default_currency="EUR",
                sites=[],
                created_at=at,
                goals=[Goal(members=25_000, set_at=at)],
            )
        )
    with psycopg.connect(env["DATABASE_URL"]) as database:
        database.execute(_PEOPLE, (1, EMAILS))
        database.execute(_MEMBERSHIPS, ())
        database.execute(_WELCOMES, (EMAILS,))
    prepared: list[Message] = []
    with app.database.transaction() as session:
        for email in session.scalars(select(Email).order_by(Email.id)).all():
            prepared.append(write(session, email))  # noqa: PERF401 - it is what takes the time
    with MailServer(app.extensions["settings"]) as server:
        server.open()
        began = time.perf_counter()
        for message in prepared:
            server.send(message)
        yardstick = EMAILS / (time.perf_counter() - began)
    ours, busy = _hand_over_all(env)
    print(
        f"e-mails: {ours:,.0f} a second by {PROCESSES} processes ({WANTED} wanted of two cores), "
        f"which took {busy:.1f} ms of a processor for each; "
        f"messages prepared beforehand, by one {yardstick:,.0f}; ratio {ours / yardstick:.2f}"
    )


def _hand_over_all(env: dict[str, str]) -> tuple[float, float]:
    """E-mails a second, by as many processes as a worker of the Procfile has.

    And how many milliseconds of a processor they took for one: what the machine does beside it
    changes the first figure more.
    """
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == b"ready\n"
    began = time.perf_counter()
    for worker in workers:
        assert worker.stdin
        worker.stdin.close()
    busy = 0.0
    for worker in workers:
        assert worker.stdout
        busy += float(worker.stdout.read())
        assert worker.wait() == 0
    seconds = time.perf_counter() - began
    with psycopg.connect(env["DATABASE_URL"]) as database:
        found = database.execute("SELECT count(*) FROM email WHERE state = 'sent'").fetchone()
    assert found == (EMAILS,), found
    return EMAILS / seconds, busy * 1000 / EMAILS


def _measure_sweep(app: FundraiserApp, url: str) -> None:
    with psycopg.connect(url) as database:
        database.execute(_PEOPLE, (EMAILS + 1, MEMBERS))
        database.execute(_MEMBERSHIPS, ())
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("VACUUM ANALYZE")
    for what in ("the first sweep", "the next, which finds nothing new"):
        began = time.perf_counter()
        with app.database.transaction() as session:
            due = sweep(session)
        seconds = time.perf_counter() - began
        print(f"{what}, {MEMBERS:,} members: {seconds:.2f} s ({WITHIN:g} wanted), {due:,} due")


if __name__ == "__main__":
    main()
