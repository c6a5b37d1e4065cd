"""Is SECRET_KEY the one that this database's keyed hashes were made with?

With another one the suppression list matches nobody, so that people are e-mailed who said no, and
authenticators and gift codes are worth nothing. Nothing else would say so.
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
    """Whether it is; the first one that is seen is the known one."""
    made = _digest(settings)
    with database.transaction() as session:
        session.execute(insert(SecretKeyCheck).values(id=1, digest=made).on_conflict_do_nothing())
        known = session.scalars(select(SecretKeyCheck.digest)).one()
    return hmac.compare_digest(known, made)


def warn_of_another_key(settings: Settings, database: Database) -> None:
    """Log it when a process starts with another key; a database that is away says nothing."""
    with suppress(SQLAlchemyError):
        if not is_the_known_key(settings, database):
            log.error("secret_key_changed", advice="Run fundraiser doctor.")


def accept(settings: Settings, database: Database) -> None:
    """Take the key of now for the known one."""
    with database.transaction() as session:
        session.merge(SecretKeyCheck(id=1, digest=_digest(settings)))


def _digest(settings: Settings) -> str:
    return hmac.new(settings.secret_key.encode(), b"check of SECRET_KEY", "sha256").hexdigest()
