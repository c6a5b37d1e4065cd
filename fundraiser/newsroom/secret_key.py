"""Check that SECRET_KEY contains every key that this database's hashes were made with.

Without one of them we would e-mail people who unsubscribed, because the suppression list wouldn't
match them, and authenticators and gift codes would stop working, all without an error.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from fundraiser.newsroom.models import SecretKeyCheck

if TYPE_CHECKING:
    from fundraiser.config import Settings
    from fundraiser.db import Database

log = structlog.get_logger()


def is_the_known_key(settings: Settings, database: Database) -> bool:
    """Whether all known keys are there; a new first key beside them becomes known."""
    made = _digests(settings)
    with database.transaction() as session:
        session.execute(
            insert(SecretKeyCheck).values(id=1, digest=made[0]).on_conflict_do_nothing()
        )
        check = session.scalars(select(SecretKeyCheck).with_for_update()).one()
        known = check.digest.split()
        if not set(known) <= set(made):
            return False
        if made[0] not in known:
            check.digest = " ".join([made[0], *known])
    return True


def warn_of_another_key(settings: Settings, database: Database) -> None:
    """Log a missing key when a process starts; does nothing if the database is down."""
    with suppress(SQLAlchemyError):
        if not is_the_known_key(settings, database):
            log.error("secret_key_changed", advice="Run fundraiser doctor.")


def accept(settings: Settings, database: Database) -> None:
    """Treat the newest key as the only known one."""
    with database.transaction() as session:
        session.merge(SecretKeyCheck(id=1, digest=_digests(settings)[0]))


def _digests(settings: Settings) -> list[str]:
    return [
        hmac.digest(key.encode(), b"check of SECRET_KEY", "sha256").hex()
        for key in settings.secret_keys
    ]
