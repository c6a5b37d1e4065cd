"""What is wrong right now; deploy/alerts.yml has the same for Prometheus."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.dashboard.overview.figures import LATE, read_machinery
from fundraiser.db import now
from fundraiser.incidents import is_proxy_untrusted
from fundraiser.members.consistency import count_drift
from fundraiser.newsroom.maintenance import read_maintenance
from fundraiser.outbox import Email, EmailState, oldest_due_email
from fundraiser.payments import WebhookReason, refused_calls, refused_webhooks
from fundraiser.payments.intents import oldest_open_intent
from fundraiser.payments.reconcile import last_run
from fundraiser.watch.models import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.dashboard.overview.figures import Machinery

_SILENT = timedelta(minutes=2)
_EMAIL_LATE, _CHANGE_LATE = timedelta(minutes=15), timedelta(minutes=30)
_TWO_NIGHTS, _A_DAY, _LONG = timedelta(hours=50), timedelta(days=1), timedelta(hours=4)
_A_FEW_WEBHOOKS, _A_FEW_EMAILS = 3, 5

# How long each must last before we tell anybody.
PATIENCE = {
    Trouble.WORKERS: timedelta(minutes=2),
    Trouble.BEAT: timedelta(minutes=2),
    Trouble.DRIFT: timedelta(minutes=10),
    Trouble.EVENTS: timedelta(minutes=5),
    Trouble.SYNCS: timedelta(minutes=30),
    Trouble.CHANGES: timedelta(minutes=10),
    Trouble.WEBHOOKS: timedelta(minutes=5),
    Trouble.KEY: timedelta(minutes=5),
    Trouble.RECONCILIATION: timedelta(hours=1),
    Trouble.EMAILS_WAIT: timedelta(minutes=5),
    Trouble.EMAILS_FAIL: timedelta(minutes=5),
    Trouble.PROXY: timedelta(minutes=10),
    Trouble.STOPPED: timedelta(),
}


def find_troubles(session: Session) -> dict[Trouble, str]:
    """Everything that is wrong, each with a sentence that says what to do. No personal data."""
    machinery = read_machinery(session)
    return dict((*_of_machinery(machinery), *_of_stripe(session), *_of_emails(session)))


def _of_machinery(machinery: Machinery) -> Iterator[tuple[Trouble, str]]:
    at, beats = now(), machinery.heartbeats
    if _is_before(beats.get("worker"), at - _SILENT):
        yield Trouble.WORKERS, "No worker reports: start the workers, or see Redis."
    if _is_before(beats.get("beat"), at - _SILENT):
        yield Trouble.BEAT, "Beat doesn't tick: start the beat process."
    if machinery.oldest_unsettled and machinery.oldest_unsettled < at - LATE:
        yield (
            Trouble.EVENTS,
            (
                "Events from Stripe wait for minutes: there are too few workers, or Stripe doesn't "
                "answer. See the workers' log."
            ),
        )
    if machinery.syncs_failed:
        yield (
            Trouble.SYNCS,
            (
                f"{machinery.syncs_failed} customers could not be synced with Stripe: /staff lists "
                "them, with the reason and a button to try again."
            ),
        )


def _of_stripe(session: Session) -> Iterator[tuple[Trouble, str]]:
    if drift := {kind.value: count for kind, count in count_drift(session).items() if count}:
        counts = ", ".join(f"{kind}: {count}" for kind, count in drift.items())
        yield (
            Trouble.DRIFT,
            f"The number doesn't agree with its proofs ({counts}): docs/drift.md says what to do.",
        )
    refused = refused_webhooks(session)
    # Anybody can send something unsigned, and nothing is wrong with us then.
    refused.pop(WebhookReason.NO_SIGNATURE.value, None)
    if sum(refused.values()) > _A_FEW_WEBHOOKS:
        yield (
            Trouble.WEBHOOKS,
            (
                f"We refuse Stripe's webhooks ({', '.join(refused)}) and have accepted none since: "
                "fundraiser doctor says what is wrong."
            ),
        )
    if rights := refused_calls(session):
        yield (
            Trouble.KEY,
            f"Stripe refuses calls by STRIPE_API_KEY ({', '.join(rights)}): run fundraiser doctor.",
        )
    waiting = oldest_open_intent(session)
    if waiting and waiting < now() - _CHANGE_LATE:
        yield (
            Trouble.CHANGES,
            (
                "A refund or change that somebody asked for has waited for Stripe for long: "
                "see the workers' log."
            ),
        )
    run = last_run(session)
    if run and run.started_at < now() - _TWO_NIGHTS:
        yield (
            Trouble.RECONCILIATION,
            (
                "The nightly comparison with Stripe has not run for two nights: run fundraiser "
                "reconcile and read what it says."
            ),
        )


def _of_emails(session: Session) -> Iterator[tuple[Trouble, str]]:
    waiting = oldest_due_email(session)
    if waiting and waiting < now() - _EMAIL_LATE:
        yield (
            Trouble.EMAILS_WAIT,
            (
                "Urgent e-mails, like sign-in codes, wait for minutes: fundraiser doctor "
                "checks the mail server."
            ),
        )
    failed = session.scalar(
        select(func.count()).where(Email.state == EmailState.FAILED, Email.due_at > now() - _A_DAY)
    )
    if failed and failed >= _A_FEW_EMAILS:
        yield (
            Trouble.EMAILS_FAIL,
            f"{failed} e-mails failed within a day: /staff/emails says why.",
        )
    before = now() - _LONG
    stopped = [what.value for what, row in read_maintenance(session).items() if row.since < before]
    if stopped:
        yield (
            Trouble.STOPPED,
            (
                f"Still stopped after hours: {', '.join(sorted(stopped))}. If somebody forgot it, "
                "fundraiser maintenance resume starts it again."
            ),
        )
    if is_proxy_untrusted(session):
        yield (
            Trouble.PROXY,
            (
                "All readers share one limit, because a proxy in front isn't trusted: set "
                "TRUSTED_PROXIES."
            ),
        )


def _is_before(beat: datetime | None, moment: datetime) -> bool:
    """Whether a part that has ever reported is silent; at the first start none has."""
    return beat is not None and beat < moment
