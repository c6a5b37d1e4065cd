"""Connect to PostgreSQL with the same time-outs, directly or through PgBouncer.

A direct connection gets its time-outs once. PgBouncer in transaction mode uses another server
connection for each transaction, and refuses or forgets session settings: through it we set them in
each transaction and prepare no statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from sqlalchemy import Connection

_Answer = TypeVar("_Answer")
LONGEST_ANSWER = 35.0  # seconds: the server itself ends a statement after 30

_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",  # to compile a statement takes PostgreSQL longer than any of ours runs
}
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
_SET_LOCAL = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items())


class _Connection(psycopg.Connection[Any]):
    """A connection that can give up a server which hangs, and whose own time-outs hang too."""

    longest: float | None = None  # seconds

    def wait(
        self, gen: PQGen[_Answer], interval: float = 0.1, timeout: float | None = None
    ) -> _Answer:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: none came in the longest time; the connection is closed.
        """
        try:
            return super().wait(gen, interval, self.longest if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - it has no public name
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError("The server hangs.") from error


class _PooledConnection(_Connection):
    """A connection through PgBouncer."""


def connect(url: str, longest: float | None = None) -> psycopg.Connection[Any]:
    """Open a connection; libpq parses ``url``, so it may name several hosts or a Unix socket.

    ``longest`` is how many seconds it waits for each answer: by default, for ever.

    Raises:
        psycopg.OperationalError: the server doesn't answer or refuses us.
    """
    connection = _open(url)
    connection.longest = longest
    return connection


def _open(url: str) -> _Connection:
    try:
        connection = _connect(_Connection, url, options=_OPTIONS)
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


def _connect(kind: type[_Connection], url: str, options: str = "") -> _Connection:
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
