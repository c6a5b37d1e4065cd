"""The Celery tasks, one for each job: each works until nothing is due or its time is up."""

from __future__ import annotations

import os
import random
import time
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import structlog
from celery import shared_task
from celery.signals import before_task_publish
from sqlalchemy.exc import SQLAlchemyError

from fundraiser import jobs
from fundraiser.account import retention
from fundraiser.account.erasure import finish_next_erasure
from fundraiser.campaigns.milestones import look_for_milestones, tell_next
from fundraiser.config import current_settings
from fundraiser.dashboard.bulk import running as bulk
from fundraiser.dashboard.overview.daily import refresh_if_due
from fundraiser.dashboard.retention import stays
from fundraiser.db import try_lock
from fundraiser.emails.delivery import deliver_some
from fundraiser.emails.smtp import MailServer
from fundraiser.emails.sweep import sweep
from fundraiser.incidents import forget_old
from fundraiser.jobs import Job
from fundraiser.members import consistency
from fundraiser.members.addresses import enqueue_codes
from fundraiser.members.counting import recount_due
from fundraiser.payments import (
    Budget,
    StripeUnavailableError,
    balance,
    current_gateway,
    member_gateway,
    money_gateway,
)
from fundraiser.payments.carry_out import finish_next
from fundraiser.payments.cases import look_at_due_cases
from fundraiser.payments.products import check_catalogue, publish_next
from fundraiser.payments.queue import backlog
from fundraiser.payments.reconcile import begin_if_due, recheck_next, take_step
from fundraiser.payments.settlement import settle_due
from fundraiser.sources import batches, overview
from fundraiser.sources.live import asking
from fundraiser.sources.people import forget_undone
from fundraiser.watch.notices import watch
from fundraiser.webhooks import catch_up as catching_up
from workers.app import flask_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

log = structlog.get_logger()

_BUSY_FOR = 10.0  # seconds a task runs before it lets other work run
_BRIEFLY = 3.0  # the same for e-mails: a mailing takes an hour, and syncs can't wait that long
_EACH_SENDS = 20  # e-mails a second, about


@shared_task(name=Job.SETTLE)
def settle() -> None:
    """Sync customers with due requests, and retry due money cases."""
    with flask_app.app_context():
        with flask_app.database.transaction() as session:
            look_at_due_cases(session)
        _share_the_work()
        settings = current_settings()
        if settle_due(
            flask_app.database,
            current_gateway(),
            settings.grace,
            threads=settings.settle_threads,
            # Not the same for all: else all processes would turn to other work at once.
            seconds=_BUSY_FOR * random.uniform(0.5, 1.5),  # noqa: S311 - guards nothing
        ):
            _share_the_work()


@shared_task(name=Job.INTENTS)
def intents() -> None:
    """Carry out what was asked of Stripe where the process died, or Stripe was silent."""
    with flask_app.app_context():
        grace = current_settings().grace
        _while_there_is_work(lambda: finish_next(member_gateway(), grace))
        _while_there_is_work(lambda: finish_next_erasure(member_gateway()))


@shared_task(name=Job.DELIVER)
def deliver() -> None:
    """Send due e-mails, over this process's open SMTP connection.

    Only as many processes take part as the rate limit needs; others would wait for it and sync
    nobody.
    """
    with flask_app.app_context(), flask_app.database.transaction() as session:
        rate = current_settings().emails_per_second
        if rate and not _takes_part(session, rate):
            return
        server, budget = _mail_server(os.getpid()), Budget(flask_app.database.side_engine, rate)
        if _while_there_is_work(lambda: _deliver_some(server, budget), _BRIEFLY):
            jobs.hint(session, Job.DELIVER)


@shared_task(name=Job.ENQUEUE)
def enqueue() -> None:
    """Enqueue scheduled e-mails that are due."""
    with flask_app.app_context(), flask_app.database.transaction() as session:
        sweep(session)


@shared_task(name=Job.RECOUNT)
def recount() -> None:
    """Recount people whose status may have changed with time."""
    with flask_app.app_context():
        _while_there_is_work(_recount_some)


@shared_task(name=Job.CATCH_UP)
def catch_up() -> None:
    """Fetch events that no webhook delivered."""
    with flask_app.app_context():
        _while_there_is_work(_catch_up_some)


@shared_task(name=Job.RECONCILE)
def reconcile() -> None:
    """Compare our database with everything that Stripe lists, each night, page by page."""
    with flask_app.app_context():
        with flask_app.database.transaction() as session:
            begin_if_due(session, current_settings().newsroom_timezone)
        _while_there_is_work(_compare_some)


@shared_task(name=Job.PUBLISH)
def publish() -> None:
    """Publish staff's changes of tiers and prices at Stripe."""
    with flask_app.app_context():
        try:
            with flask_app.database.transaction() as session:
                _check_hourly(session)
            _while_there_is_work(_publish_one)
        except StripeUnavailableError as error:
            log.warning("catalogue_waits", error=str(error))


@shared_task(name=Job.PROVE)
def check_consistency() -> None:
    """Check that ledger, balance and rule match, and recheck earlier differences."""
    with flask_app.app_context():
        with flask_app.database.transaction() as session:
            found = consistency.check_consistency(session, current_settings().grace)
        with flask_app.database.transaction() as session:
            consistency.write_drift(session, found)
        _while_there_is_work(_recheck_each())


@shared_task(name=Job.FIGURES)
def figures() -> None:
    """Update the overview's daily figures, and those of retention."""
    with flask_app.app_context():
        zone, grace = current_settings().newsroom_timezone, current_settings().grace
        with flask_app.database.transaction() as session:
            refresh_if_due(session, zone, grace)
        with flask_app.database.transaction() as session:
            stays.refresh_if_due(session, zone, grace)


@shared_task(name=Job.MILESTONES)
def milestones() -> None:
    """Record reached milestones, and notify sites by webhook."""
    with flask_app.app_context():
        with flask_app.database.transaction() as session:
            look_for_milestones(session)
        _while_there_is_work(lambda: tell_next(flask_app.database))


@shared_task(name=Job.MONEY)
def money() -> None:
    """Import Stripe's balance transactions; continue a running scan."""
    with flask_app.app_context():
        try:
            _while_there_is_work(_look_at_the_money)
        except StripeUnavailableError as error:
            log.warning("money_waits", error=str(error))


@shared_task(name=Job.RETAIN)
def retain() -> None:
    """Delete expired personal data, each night."""
    with flask_app.app_context():
        with flask_app.database.transaction() as session:
            if not retention.is_due(session, current_settings().newsroom_timezone):
                return
        _while_there_is_work(_retain_some)


@shared_task(name=Job.IMPORT)
def import_members() -> None:
    """Read, apply and undo imported files."""
    with flask_app.app_context():
        grace = current_settings().grace
        if _while_there_is_work(lambda: batches.step_any(flask_app.database, grace)):
            with flask_app.database.transaction() as session:
                jobs.hint(session, Job.IMPORT)
        with flask_app.database.transaction() as session:
            overview.refresh_if_due(session, grace)


@shared_task(name=Job.LIVE)
def ask_live_sources() -> None:
    """Fetch members from connected services: all each night, some when a webhook names them."""
    with flask_app.app_context():
        settings = current_settings()
        if _while_there_is_work(lambda: asking.ask_any(flask_app.database, settings)):
            with flask_app.database.transaction() as session:
                jobs.hint(session, Job.LIVE)


@shared_task(name=Job.BULK)
def change_many() -> None:
    """Make and undo changes of many members."""
    with flask_app.app_context():
        settings = current_settings()
        if _while_there_is_work(lambda: bulk.step_any(flask_app.database, settings)):
            with flask_app.database.transaction() as session:
                jobs.hint(session, Job.BULK)


@shared_task(name=Job.WATCH)
def watch_over() -> None:
    """Tell the operator what fails and what is over."""
    with flask_app.app_context():
        watch(flask_app.database, current_settings())


@shared_task(name=Job.BEAT)
def beat() -> None:
    """Record the workers' heartbeat: only a worker that receives tasks through Redis gets here."""
    with flask_app.database.transaction() as session:
        jobs.beat(session, "worker")


@before_task_publish.connect(sender=Job.BEAT.value)
def _beat_is_alive(**_: object) -> None:
    """Record beat's heartbeat when it sends its tick, whether or not Redis accepts it."""
    try:
        with flask_app.database.transaction() as session:
            jobs.beat(session, "beat")
    except SQLAlchemyError as error:
        log.warning("heartbeat_not_noted", error=type(error).__name__)


@cache
def _mail_server(_process: int) -> MailServer:
    """This process's mail server connection, kept across tasks: TLS handshakes are slow.

    A forked process gets its own.
    """
    return MailServer(flask_app.extensions["settings"])


def _takes_part(session: Session, rate: int) -> bool:
    """Take one of the sending places, until the transaction ends; False if all are taken."""
    return any(try_lock(session, "deliver", str(place)) for place in range(1 + rate // _EACH_SENDS))


def _deliver_some(server: MailServer, budget: Budget) -> bool:
    with flask_app.database.transaction() as session:
        enqueue_codes(session)
    return deliver_some(flask_app.database, server, budget)


def _recount_some() -> bool:
    with flask_app.database.transaction() as session:
        return recount_due(session, current_settings().grace) > 0


def _catch_up_some() -> bool:
    settings = current_settings()
    with flask_app.database.transaction() as session:
        return catching_up.catch_up(
            session,
            current_gateway(),
            every=timedelta(seconds=settings.catch_up_seconds),
        )


def _check_hourly(session: Session) -> None:
    """Once an hour, check whether somebody archived prices or products at Stripe."""
    if jobs.is_due(session, "catalogue", timedelta(hours=1)):
        check_catalogue(session, current_gateway())
        jobs.beat(session, "catalogue")


def _publish_one() -> bool:
    with flask_app.database.transaction() as session:
        return publish_next(session, current_gateway())


def _look_at_the_money() -> bool:
    zone = current_settings().newsroom_timezone
    with flask_app.database.transaction() as session:
        return balance.scan_on(session, money_gateway(), zone, every=balance.EVERY)


def _retain_some() -> bool:
    with flask_app.database.transaction() as session:
        forget_old(session)
        forget_undone(session)
        return retention.enforce_some(session)


def _compare_some() -> bool:
    with flask_app.database.transaction() as session:
        run = take_step(session, current_gateway(), current_settings().grace)
        return run is not None and run.finished_at is None


def _recheck_each() -> Callable[[], bool]:
    """A function that rechecks the next customer that differed; False after the last."""
    after: int | None = 0

    def recheck() -> bool:
        nonlocal after
        with flask_app.database.transaction() as session:
            after = recheck_next(session, current_gateway(), after or 0)
        return after is not None

    return recheck


def _share_the_work() -> None:
    """Hint to another worker if there is a lot to do."""
    with flask_app.database.transaction() as session:
        if backlog(session) > 1:
            jobs.hint(session, Job.SETTLE)


def _while_there_is_work(one: Callable[[], bool], busy_for: float = _BUSY_FOR) -> bool:
    """Repeat a step until there is no work; True if time ran out first."""
    until = time.monotonic() + busy_for
    while one():
        if time.monotonic() > until:
            return True
    return False
