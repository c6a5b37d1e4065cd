"""Health checks and Prometheus metrics."""

from __future__ import annotations

import hmac
from datetime import timedelta
from http import HTTPStatus
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, TimeoutError as NoConnectionError

from fundraiser import db
from fundraiser.addresses import read_url
from fundraiser.config import LOOPBACK, current_settings
from fundraiser.dashboard.overview.figures import read_machinery
from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.incidents import count_all, current_incidents, is_proxy_untrusted
from fundraiser.measures import current_measures, read_measures
from fundraiser.members.consistency import count_drift
from fundraiser.members.ledger import read_balance
from fundraiser.networks import is_passed_on, sender
from fundraiser.newsroom.maintenance import Stopped, read_maintenance
from fundraiser.outbox import EmailState, oldest_due_email
from fundraiser.payments import Refused, WebhookReason, read_refusals
from fundraiser.payments.card_guard import read_guard
from fundraiser.payments.intents import oldest_open_intent
from fundraiser.payments.queue import oldest_due_sync
from fundraiser.payments.reconcile import last_run
from fundraiser.security import DEPLOYMENT, deployments, public
from fundraiser.webhooks.catch_up import read_found_late
from fundraiser.widget.progress import IS_KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask.typing import ResponseReturnValue
    from prometheus_client import Metric
    from sqlalchemy.orm import Session

blueprint = Blueprint("health", __name__)

_CONNECTIONS = text("""
    SELECT state, count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND state IS NOT NULL
    GROUP BY state
""")
_NO_LONGER_OPEN = {EmailState.SENT, EmailState.WITHDRAWN}


@blueprint.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    """Liveness: the process answers, so don't restart it."""
    return {"status": "ok"}, {DEPLOYMENT: deployments()[0]}


@blueprint.get("/readyz")
@public
def readyz() -> ResponseReturnValue:
    """Readiness: whether the process can serve everything, or at least the number.

    A process whose tables are too old is not ready: proxies go on with those of the version before.
    """
    try:
        with db.current_database().transaction(beside=True) as session:
            is_migrated = db.is_migrated(session)
    except (OperationalError, NoConnectionError):
        if request.environ.get(IS_KNOWN):
            return {"status": "ok", "degraded": "The database is away; the last number is served."}
        return {"status": "The database is away."}, HTTPStatus.SERVICE_UNAVAILABLE
    if not is_migrated:
        sentence = "The database has old tables: run fundraiser migrate."
        return {"status": sentence}, HTTPStatus.SERVICE_UNAVAILABLE
    return {"status": "ok"}


@blueprint.get("/metrics")
@public
def metrics() -> ResponseReturnValue:
    """Prometheus metrics; 404 for everybody else."""
    if not _asks_for_the_operator():
        raise NotFoundError("There is no page at this address.")
    current_incidents().write()
    current_measures().write()
    return Response(
        generate_latest(_read_figures(db.session())), content_type=CONTENT_TYPE_PLAIN_0_0_4
    )


def _asks_for_the_operator() -> bool:
    """Whether the request has the token; without a token, whether it is local and unproxied."""
    token = current_settings().metrics_token
    if token:
        sent = request.headers.get("Authorization", "")
        return hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())
    return (
        not is_passed_on()
        and sender().is_loopback
        and _is_called_here(request.environ["fundraiser.host"])
    )


def _is_called_here(host: str) -> bool:
    """Whether the request names this machine, which a proxy's requests wouldn't."""
    return read_url(f"//{host}").hostname in LOOPBACK


def _read_figures(session: Session) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"fundraiser_{name}", words, labels, registry=registry)

    at = now()
    balance, machinery = read_balance(session), read_machinery(session)
    gauge("members", "The number: people who count.").set(balance.members)
    gauge("ledger_version", "Rows of the ledger.").set(balance.version)
    requests = gauge("sync_requests", "Customers to sync with Stripe.", "state")
    requests.labels("due").set(machinery.syncs_due)
    requests.labels("failed").set(machinery.syncs_failed)
    oldest = machinery.oldest_unsettled
    gauge("oldest_unsettled_event_seconds", "How long the oldest event has waited.").set(
        (at - oldest).total_seconds() if oldest else 0
    )
    drift = gauge("drift", "What should agree and does not: see docs/drift.md.", "kind")
    for kind, count in count_drift(session).items():
        drift.labels(kind.value).set(count)
    gauge("events_found_late", "Events that no webhook brought.").set(read_found_late(session))
    refused = gauge("webhooks_refused_total", "Webhooks that were refused.", "reason")
    recent = gauge("webhooks_refused_lately", "The same since one was accepted.", "reason")
    for reason in WebhookReason:
        refused.labels(reason.value).set(0)
        recent.labels(reason.value).set(0)
    calls = gauge("stripe_calls_forbidden_total", "Calls that our key may not make.", "right")
    for refusal in read_refusals(session):
        if refusal.kind is Refused.CALL:
            calls.labels(refusal.reason).set(refusal.total)
            continue
        refused.labels(refusal.reason).set(refusal.total)
        recent.labels(refusal.reason).set(refusal.recent)
    run = last_run(session)
    gauge("reconciled_seconds", "Since all that Stripe lists was last compared.").set(
        (at - run.started_at).total_seconds() if run else -1
    )
    emails = gauge("emails", "E-mails that are not sent.", "state")
    for state in EmailState:
        if state not in _NO_LONGER_OPEN:
            emails.labels(state.value).set(machinery.emails.get(state, 0))
    ages = gauge("heartbeat_age_seconds", "Since this part last did work.", "part")
    for part, beat_at in machinery.heartbeats.items():
        ages.labels(part).set((at - beat_at).total_seconds())
    events = gauge("security_events", "What was refused in the last hour.", "kind")
    for what, count in count_all(session, timedelta(hours=1)).items():
        events.labels(what.value).set(count)
    gauge("card_guard_on", "Whether each browser is checked before a payment starts.").set(
        read_guard(session).is_on
    )
    gauge("proxy_untrusted", "Whether all readers share one limit: see TRUSTED_PROXIES.").set(
        is_proxy_untrusted(session)
    )
    _tell_what_waits(session, registry)
    _tell_what_runs(session, registry)
    registry.register(_Histograms(session))
    return registry


class _Histograms(Collector):
    """What all processes measured, as Prometheus's client asks for it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def collect(self) -> Iterable[Metric]:
        return read_measures(self._session)


def _tell_what_runs(session: Session, registry: CollectorRegistry) -> None:
    build = Gauge(
        "fundraiser_build_info",
        "Always 1; the labels say which version runs, on which tables.",
        ["version", "python", "tables"],
        registry=registry,
    )
    tables = session.scalar(text("SELECT version_num FROM alembic_version"))
    build.labels(version("fundraiser"), python_version(), tables or "-").set(1)
    connections = Gauge(
        "fundraiser_connections",
        "Connections of our user to the database, or the pooler's if one is between.",
        ["state"],
        registry=registry,
    )
    for state in ("active", "idle", "idle in transaction"):
        connections.labels(state).set(0)
    for state, count in session.execute(_CONNECTIONS):
        connections.labels(state).set(count)
    Gauge(
        "fundraiser_connections_most",
        "The most that this host's configuration may open.",
        registry=registry,
    ).set(db.most_connections(current_settings()))


def _tell_what_waits(session: Session, registry: CollectorRegistry) -> None:
    for name, words, since in (
        (
            "fundraiser_oldest_due_email_seconds",
            "How long an urgent e-mail has been due.",
            oldest_due_email(session),
        ),
        (
            "fundraiser_oldest_due_sync_seconds",
            "How long a customer has been due to be synced with Stripe.",
            oldest_due_sync(session),
        ),
        (
            "fundraiser_oldest_open_intent_seconds",
            "How long a change that a person asked for has waited for Stripe.",
            oldest_open_intent(session),
        ),
    ):
        waited = (now() - since).total_seconds() if since else 0
        Gauge(name, words, registry=registry).set(waited)
    maintenance = read_maintenance(session)
    stopped = Gauge("fundraiser_stopped", "What the operator stopped.", ["what"], registry=registry)
    for what in Stopped:
        stopped.labels(what.value).set(what in maintenance)
