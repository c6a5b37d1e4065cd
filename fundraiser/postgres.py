"""Connect to PostgreSQL with the same time-outs, directly or through PgBouncer.

A direct connection gets its time-outs once. PgBouncer in transaction mode uses another server
connection for each transaction, and refuses or forgets session settings: through it we set them in
each transaction and prepare no statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",  # to compile a statement takes PostgreSQL longer than any of ours runs
}
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
_SET_LOCAL = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items())


class _PooledConnection(psycopg.Connection[Any]):
    """A connection through PgBouncer."""


def connect(url: str) -> psycopg.Connection[Any]:
    """Open a connection; libpq parses ``url``, so it may name several hosts or a Unix socket.

    Raises:
        psycopg.OperationalError: the server doesn't answer or refuses us.
    """
    try:
        connection = _connect(psycopg.Connection, url, options=_OPTIONS)
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" not in str(error):
            raise
        return _connect(_PooledConnection, url)
    try:
        # A pooler tells a process number of its own making.
        told = connection.info.backend_pid
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        connection.rollback()
    except psycopg.Error:
        connection.close()
        raise
    if row == (told,):
        return connection
    connection.close()
    return _connect(_PooledConnection, url)


def is_pooled(connection: Connection) -> bool:
    """Whether a connection goes through PgBouncer."""
    opened: object = connection.connection.dbapi_connection
    return isinstance(opened, _PooledConnection)


def begin(connection: Connection) -> None:
    """Set the time-outs of a transaction through PgBouncer; direct connections have them."""
    if is_pooled(connection):
        connection.exec_driver_sql(_SET_LOCAL)


def _connect(
    kind: type[psycopg.Connection[Any]], url: str, options: str = ""
) -> psycopg.Connection[Any]:
    return kind.connect(
        url,
        connect_timeout=5,
        application_name="fundraiser",
        prepare_threshold=None if kind is _PooledConnection else 5,
        # A server that is gone without a word is noticed within half a minute.
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=30_000,
        options=options,
    )
