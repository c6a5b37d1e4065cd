"""The database and Redis checks of ``fundraiser doctor``."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import redis
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from fundraiser import postgres
from fundraiser.db import most_connections
from fundraiser.doctor.stripe import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address, IPv6Address

    import psycopg
    from alembic.config import Config
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings

_PATIENCE = 3.0  # seconds
# What PostgreSQL, libpq or PgBouncer say, and what to do. The first that is found is meant.
_REFUSALS = {
    "no password supplied|authentication failed": (
        "PostgreSQL refuses the user or the password in DATABASE_URL."
    ),
    "no encryption|ssl required|ssl connection is required|requires ssl": (
        "PostgreSQL demands TLS: add ?sslmode=require to DATABASE_URL."
    ),
    "does not support ssl": (
        "PostgreSQL does not offer the TLS that sslmode in DATABASE_URL demands."
    ),
    "certificate": "sslmode in DATABASE_URL does not accept PostgreSQL's certificate.",
    "no pg_hba.conf entry": "PostgreSQL lets nobody in from this host: see its pg_hba.conf.",
    "too many c|connection slots|no more connections|query_wait_timeout": (
        "PostgreSQL or the pooler in front has no connection left: allow more (docs/scale.md)."
    ),
    "starting up|shutting down|not yet accepting|recovery mode": (
        "PostgreSQL is starting or stopping: ask again in a minute."
    ),
    "could not translate host name|name or service not known|resolve host": (
        "The host in DATABASE_URL is unknown: correct it."
    ),
    "read-only|read only|session is not read-write": (
        "PostgreSQL is read-only here: DATABASE_URL leads to a standby."
    ),
    "permission denied": "The user in DATABASE_URL may not read our tables: grant it the right.",
    'role "': "PostgreSQL does not know the user in DATABASE_URL.",
    'database "|no such database': (
        "There is no such database: correct its name in DATABASE_URL, or create it."
    ),
}

# What of PostgreSQL's own is left for us, and what it lets our user or our database have (-1: all).
_CONNECTIONS = text("""
    SELECT current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
        (SELECT datconnlimit FROM pg_database WHERE datname = current_database())
""")
_LIMITS = ("PostgreSQL (max_connections)", "our user’s limit", "our database’s limit")


def why_not(error: SQLAlchemyError) -> Finding:
    """Explain why we can't use the database."""
    said = str(getattr(error, "orig", None) or error).lower()
    for words, sentence in _REFUSALS.items():
        if any(word in said for word in words.split("|")):
            return Finding(False, sentence)
    return Finding(False, "The database does not answer: check DATABASE_URL, and whether it runs.")


def examine_tables(session: Session, config: Config) -> Finding:
    """Check that the tables exist, match this version, and are writable."""
    connection = session.connection()
    if session.scalar(text("SHOW transaction_read_only")) == "on":
        return Finding(False, _REFUSALS["read-only|read only|session is not read-write"])
    found = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(config)
    if found is None:
        if tables := inspect(connection).get_table_names():
            return Finding(
                False,
                f"The database in DATABASE_URL belongs to another program: it has {len(tables)} "
                "tables, and none of ours.",
            )
        return Finding(False, "The database is empty: run fundraiser migrate.")
    if found == scripts.get_current_head():
        return Finding(True, "The database answers, and its tables are up to date.")
    if found in {script.revision for script in scripts.walk_revisions()}:
        return Finding(False, "The database has old tables: run fundraiser migrate.")
    return Finding(False, "The database has the tables of a newer version: upgrade this host too.")


def examine_connections(session: Session, settings: Settings) -> Finding:
    """Check that PostgreSQL allows as many connections as this configuration may open."""
    wanted = most_connections(settings)
    if postgres.is_pooled(session.connection()):
        return Finding(
            True,
            f"This configuration opens up to {wanted} connections to PgBouncer: its "
            "max_client_conn must allow them.",
        )
    limits = session.execute(_CONNECTIONS).one()
    limit, name = min(
        (found, name) for found, name in zip(limits, _LIMITS, strict=True) if found >= 0
    )
    opens = f"This configuration opens up to {wanted} connections, and {name} allows {limit}"
    if wanted <= limit:
        return Finding(True, f"{opens}.")
    return Finding(
        False,
        f"{opens}: raise that, or lower WEB_CONCURRENCY, WORKER_CONCURRENCY or SETTLE_THREADS, or "
        "put PgBouncer in front (docs/scale.md).",
    )


def examine_account(session: Session) -> Finding:
    """Whether the account that serves readers could change or drop the tables."""
    is_owner = session.scalar(
        text(
            "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class "
            "WHERE oid = 'member'::regclass"
        )
    )
    if is_owner:
        return Finding(
            True,
            "The account in DATABASE_URL owns the tables. One that may only read and write rows "
            "is safer (docs/deployment.md).",
        )
    return Finding(True, "The account in DATABASE_URL reads and writes rows, and owns no tables.")


def examine_encryption(session: Session, settings: Settings) -> Iterator[Finding]:
    """Whether the ways to PostgreSQL and Redis are encrypted, and lead to whom they should.

    Within a machine or a private network they may do without, which is said; in the clear over
    public addresses is a fault.
    """
    connection = cast("psycopg.Connection", session.connection().connection.driver_connection)
    said = {one.keyword: one.val for one in connection.pgconn.info}
    yield _examine_way(
        "PostgreSQL",
        (said.get(b"host") or b"").decode().split(",")[0],
        is_encrypted=connection.pgconn.ssl_in_use,
        is_verified=said.get(b"sslmode") == b"verify-full",
        advice="add sslmode=verify-full to DATABASE_URL",
    )
    redis_at = urlsplit(settings.redis_url)
    yield _examine_way(
        "Redis",
        redis_at.hostname or "",
        is_encrypted=redis_at.scheme == "rediss",
        is_verified=redis_at.scheme == "rediss" and "ssl_cert_reqs=required" in redis_at.query,
        advice="let REDIS_URL begin with rediss://, without REDIS_SELF_SIGNED",
    )


def _examine_way(
    name: str, host: str, *, is_encrypted: bool, is_verified: bool, advice: str
) -> Finding:
    if is_verified:
        return Finding(True, f"{name} is reached by TLS, and its certificate is verified.")
    places = _addresses(host)
    if all(place.is_loopback for place in places):
        return Finding(True, f"{name} is on this machine.")
    if not is_encrypted and any(place.is_global for place in places):
        return Finding(False, f"{name} is reached in the clear over a public address: {advice}.")
    return Finding(
        True,
        f"{name} is reached without a verified certificate: fine in a private network that is "
        f"yours alone, else {advice}.",
    )


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    """Where a host is; nowhere else than here, if it is a socket's folder or unknown."""
    if not host or host.startswith(("/", "@")):
        return []
    with suppress(OSError, UnicodeError):
        return [ip_address(str(place[4][0]).partition("%")[0]) for place in _resolve(host)]
    return []


def _resolve(host: str) -> list[Any]:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)


def examine_redis(settings: Settings) -> Finding:
    """Check that Redis accepts and keeps what we send."""
    try:
        with redis.Redis.from_url(
            settings.redis_url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
        ) as client:
            client.set("fundraiser:doctor", "1", ex=60)
            policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except redis.AuthenticationError:
        return Finding(False, "Redis refuses the user or the password in REDIS_URL.")
    except redis.TimeoutError:
        return Finding(False, "Redis is silent: it hangs, or a firewall is between.")
    except redis.ResponseError as error:
        if "maxmemory" in str(error):
            return Finding(False, "Redis is full: give it more memory, or look what fills it.")
        return Finding(False, "Redis refuses to write: see its log (its disk may be full).")
    except redis.RedisError:
        return Finding(False, "Redis does not answer: check REDIS_URL.")
    if policy != "noeviction":
        return Finding(
            False,
            f"Redis throws away what it holds when it is full ({policy}): set its "
            "maxmemory-policy to noeviction.",
        )
    return Finding(True, "Redis answers, and keeps what it is given.")
