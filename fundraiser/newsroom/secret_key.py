"""Does SECRET_KEY still hold each key that this database's keyed hashes were made with?

Without one of them we e-mail people who said no, because the suppression list doesn't match them,
and authenticators and gift codes stop working. Nothing else would say so.
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
    """Whether it does; a newest key beside all that are known becomes one of them."""
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
    """Log it when a process starts with another key; a database that is away says nothing."""
    with suppress(SQLAlchemyError):
        if not is_the_known_key(settings, database):
            log.error("secret_key_changed", advice="Run fundraiser doctor.")


def accept(settings: Settings, database: Database) -> None:
    """Take the newest key for the only known one."""
    with database.transaction() as session:
        session.merge(SecretKeyCheck(id=1, digest=_digests(settings)[0]))


def _digests(settings: Settings) -> list[str]:
    return [
        hmac.digest(key.encode(), b"check of SECRET_KEY", "sha256").hex()
        for key in settings.secret_keys
    ]
