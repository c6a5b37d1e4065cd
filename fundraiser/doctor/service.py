"""The checks of ``fundraiser doctor``: one finding for each part of the service."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import TYPE_CHECKING

from alembic.config import Config
from sqlalchemy.exc import SQLAlchemyError

from fundraiser.dashboard.overview.figures import SILENT, read_machinery
from fundraiser.db import now
from fundraiser.doctor.database import (
    examine_account,
    examine_connections,
    examine_encryption,
    examine_redis,
    examine_tables,
    why_not,
)
from fundraiser.doctor.outside import examine_public_address, examine_sender
from fundraiser.doctor.stripe import SET_UP, Finding, examine_stripe, tell_refusals
from fundraiser.emails.smtp import MailServer, UnreachableError
from fundraiser.folders import folder
from fundraiser.incidents import is_proxy_untrusted
from fundraiser.newsroom.secret_key import is_the_known_key
from fundraiser.payments import refused_calls, refused_webhooks
from fundraiser.payments.products import missing_from_catalogue
from fundraiser.sources.live.calls import Trouble
from fundraiser.sources.live.status import examine as examine_live

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.payments import AccountGateway

_TROUBLES = {
    Trouble.SILENT: "does not answer: check its address and the network.",
    Trouble.FAILING: "answers with an error of its own: try again later.",
    Trouble.BUSY: "says that we ask too often: try again later.",
    Trouble.UNAUTHORIZED: "does not accept our key: make a new one and set it (.env.example).",
    Trouble.NOT_RENEWED: "does not renew our token: make new tokens and set them (.env.example).",
    Trouble.UNKNOWN: "does not know what we ask for: check the campaign's number or the address.",
    Trouble.MALFORMED: "answers with something that can't be read: check its address.",
}
_ENOUGH_FILES = 10_000  # connections that rest are open files, and browsers leave many


def examine(settings: Settings, database: Database, gateway: AccountGateway) -> Iterator[Finding]:
    """Check each part in turn."""
    yield from _examine_database(settings, database)
    yield from _examine_secret_key(settings, database)
    yield _examine_file_limit()
    yield examine_redis(settings)
    try:
        yield from examine_stripe(gateway, settings)
    except SQLAlchemyError:  # calls are counted there
        yield Finding(False, "Stripe can't be asked without the database: mend that first.")
    yield _examine_mail(settings)
    yield from examine_sender(settings)
    yield examine_public_address(settings)
    yield _examine_notices(settings)
    yield from _examine_sources(settings, database)


def alembic_config() -> Config:
    """Alembic's configuration, wherever the command is called."""
    config = Config()
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    return config


def _examine_database(settings: Settings, database: Database) -> Iterator[Finding]:
    try:
        with database.transaction() as session:
            tables = examine_tables(session, alembic_config())
            yield tables
            yield examine_connections(session, settings)
            yield from examine_encryption(session, settings)
            if tables.is_well:
                yield examine_account(session)
                yield from _examine_work(session)
    except SQLAlchemyError as error:
        yield why_not(error)


def _examine_work(session: Session) -> Iterator[Finding]:
    missing = missing_from_catalogue(session)
    yield (
        Finding(False, f"{missing} products and prices are not at Stripe: {SET_UP}.")
        if missing
        else Finding(True, "All products and prices are at Stripe.")
    )
    yield (
        Finding(
            False,
            "Requests come through a proxy that isn't trusted, so that limits take all readers for "
            "one: set TRUSTED_PROXIES to how many proxies stand in front.",
        )
        if is_proxy_untrusted(session)
        else Finding(True, "Limits see each reader's own address.")
    )
    yield from tell_refusals(refused_webhooks(session), refused_calls(session))
    machinery = read_machinery(session)
    yield _examine_heartbeats(machinery.heartbeats)
    yield (
        Finding(False, f"{machinery.syncs_failed} customers rest with an error: see /staff.")
        if machinery.syncs_failed
        else Finding(True, f"No customer rests; {machinery.syncs_due} wait to be settled.")
    )


def _examine_heartbeats(heartbeats: Mapping[str, datetime]) -> Finding:
    """Check that workers and beat are alive; silent workers may have no beat."""
    worker, beat = heartbeats.get("worker"), heartbeats.get("beat")
    if worker is not None and (silence := now() - worker) <= SILENT:
        return Finding(True, f"The workers reported {silence.total_seconds():.0f} seconds ago.")
    if beat is None or now() - beat > SILENT:
        return Finding(
            False,
            "Beat does not tick, so that workers hear nothing: start the beat process."
            if worker is not None
            else "No worker has ever reported: start the worker and beat processes.",
        )
    since = f"for {(now() - worker).total_seconds() / 60:.0f} minutes" if worker else "so far"
    return Finding(
        False,
        f"Beat ticks, and the workers have been silent {since}: start them, or see Redis.",
    )


def _examine_secret_key(settings: Settings, database: Database) -> Iterator[Finding]:
    with suppress(SQLAlchemyError):  # said above
        yield (
            Finding(True, "SECRET_KEY holds every key that was in use.")
            if is_the_known_key(settings, database)
            else Finding(
                False,
                "SECRET_KEY lacks a key that was in use before, so we e-mail people who said no, "
                "and authenticators fail: add the old key behind the new one, with a comma "
                "between them. If it is lost, import the suppression list again (fundraiser "
                "bounces import), then run fundraiser accept-secret-key.",
            )
        )


def _examine_file_limit() -> Finding:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY or limit >= _ENOUGH_FILES:
        return Finding(True, "Each process may open enough files.")
    return Finding(
        False,
        f"Each process may open {limit} files, and each reader's connection is one: let it open "
        f"{_ENOUGH_FILES} or more (LimitNOFILE for systemd, ulimits for Compose).",
    )


def _examine_mail(settings: Settings) -> Finding:
    try:
        with MailServer(settings) as server:
            server.open()
    except UnreachableError as error:
        return Finding(False, f"{error} Check SMTP_URL.")
    return Finding(True, "The mail server answers.")


def _examine_notices(settings: Settings) -> Finding:
    """Whether somebody hears of it when something fails; Prometheus does as well."""
    if settings.operator_email or settings.operator_webhook:
        return Finding(True, "The operator is told when something fails: try fundraiser notify.")
    if settings.metrics_token:
        return Finding(True, "Prometheus may read the metrics; without it set OPERATOR_EMAIL.")
    return Finding(
        True, "Nobody is told when something fails: OPERATOR_EMAIL or OPERATOR_WEBHOOK is safer."
    )


def _examine_sources(settings: Settings, database: Database) -> Iterator[Finding]:
    """Check that each connected service outside Stripe answers."""
    with suppress(SQLAlchemyError):  # said above
        for label, trouble in examine_live(database, settings):
            yield (
                Finding(False, f"{label} {_TROUBLES.get(trouble, 'does not answer as it should.')}")
                if trouble
                else Finding(True, f"{label} answers.")
            )
