"""The database: declarative base, column types, the clock, pools, and the only commit."""

from __future__ import annotations

import enum
import math
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, cast

import psycopg
from flask import current_app
from sqlalchemy import (
    BigInteger,
    DateTime,
    Engine,
    Enum,
    Identity,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

from fundraiser import postgres
from fundraiser.folders import folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import ExceptionContext

    from fundraiser.config import Settings

_OF_A_WEB_PROCESS, _OF_A_COMMAND, _OF_LIMITS = 8, 3, 2
_WORKERS_AT_ONCE = 11  # threads of a worker that share a connection: they mostly wait for Stripe

Identifier = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
Currency = Annotated[str, mapped_column(String(3))]
Read = TypeVar("Read")


class Base(DeclarativeBase):
    """Base class of all tables: naming convention, time zones, enums as text."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this attribute as it stands
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        dict[str, str]: JSONB,
        list[str]: JSONB,
        enum.StrEnum: Enum(
            enum.StrEnum,
            native_enum=False,
            create_constraint=True,
            length=32,
            values_callable=lambda members: [member.value for member in members],
        ),
    }


class Clock:
    """The service's clock; a demonstration may move it forward by a file's number of seconds."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._read_at = -1
        self._offset = timedelta()

    def follow(self, file: Path | None) -> None:
        """Read the offset from this file from now on (None: use the machine's time)."""
        self._file, self._read_at, self._offset = file, -1, timedelta()

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        if self._file is not None:
            self._look_at(self._file)
        return self.machine() + self._offset

    def machine(self) -> datetime:
        """The machine's own time: a demonstration's jump of a month must not expire sessions."""
        return datetime.now(UTC)

    def _look_at(self, file: Path) -> None:
        try:
            changed = file.stat().st_mtime_ns
            if changed != self._read_at:
                self._offset = timedelta(seconds=int(file.read_text() or 0))
                self._read_at = changed
        except FileNotFoundError:
            self._offset = timedelta()


clock = Clock()
now = clock.now

_current: ContextVar[Session] = ContextVar("session")


def session() -> Session:
    """The current request's or task's session."""
    return _current.get()


class Pool(NamedTuple):
    """A process's most connections, and how long (seconds) to wait for one.

    ``longest`` is how many seconds it waits for each of PostgreSQL's answers: by default, for ever.
    """

    connections: int = _OF_A_WEB_PROCESS
    patience: float = 10.0
    longest: float | None = None

    @property
    def in_all(self) -> int:
        """With the small pool's connections."""
        return self.connections + _OF_LIMITS


def web_pool(settings: Settings) -> Pool:
    """The pool of a web process: threads share it, and hold none during calls to Stripe."""
    return Pool(min(settings.web_threads, _OF_A_WEB_PROCESS))


def worker_pool(settings: Settings) -> Pool:
    """The pool of a worker or beat process: two for the task, and some for its threads' writes."""
    return Pool(2 + math.ceil(settings.settle_threads / _WORKERS_AT_ONCE), patience=20.0)


def command_pool() -> Pool:
    """The pool of a command."""
    return Pool(_OF_A_COMMAND)


def most_connections(settings: Settings) -> int:
    """The most connections to PostgreSQL that this configuration may open.

    Counts the web and worker processes, beat, and one command.
    """
    return (
        settings.web_processes * web_pool(settings).in_all
        + (settings.worker_processes + 1) * worker_pool(settings).in_all
        + command_pool().in_all
    )


class Database:
    """The engine, and transactions on it.

    ``after_commit`` gets what the transaction wants to announce once it is committed (see
    ``jobs.hint``).
    """

    def __init__(
        self,
        settings: Settings,
        after_commit: Callable[[set[str]], None] = lambda _: None,
        pool: Pool = Pool(),  # noqa: B008 - it can't be changed
    ) -> None:
        self.engine = make_engine(settings.database_url, pool)
        # For what is written or read beside the rest, and never waits for it: limits, tries that
        # stay counted, the public number. Whoever holds a connection of one pool never waits for a
        # second of the same.
        self.side_engine = make_engine(
            settings.database_url, Pool(_OF_LIMITS, longest=pool.longest)
        )
        self._after_commit = after_commit

    def dispose(self) -> None:
        """Close all connections: forked processes must not share them."""
        self.engine.dispose()
        self.side_engine.dispose()

    @contextmanager
    def transaction(self, *, beside: bool = False) -> Iterator[Session]:
        """Run one transaction: commit at the end of the block, roll back on an exception.

        ``beside`` uses a connection of the small pool, for short work that must not wait.
        """
        engine = self.side_engine if beside else self.engine
        with Session(engine, expire_on_commit=False) as session:
            token = _current.set(session)
            try:
                yield session
                session.commit()
            finally:
                _current.reset(token)
        if hints := session.info.get("hints"):
            self._after_commit(hints)


def checkpoint(session: Session) -> None:
    """Commit now, and hold no connection until the next statement.

    For code that waits for others, above all Stripe, within a request or task.
    """
    session.commit()


@cache
def newest_migration() -> str:
    """The number of this version's newest migration."""
    return max(file.name[:4] for file in folder("migrations").glob("versions/[0-9]*.py"))


def is_migrated(session: Session) -> bool:
    """Whether the tables are as new as this code, or newer.

    Code must work with the next version's tables, so that web processes can restart one after the
    other after the migrations; it can't work with older ones.
    """
    try:
        found = session.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:  # not one table yet
        return False
    return found is not None and found >= newest_migration()


def current_database() -> Database:
    """The current app's database."""
    return cast("Database", current_app.extensions["database"])


def make_engine(url: str, pool: Pool = Pool()) -> Engine:  # noqa: B008 - it can't be changed
    """An engine with statement time-outs, whose errors contain no personal data."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=partial(postgres.connect, url, pool.longest),
        hide_parameters=True,
        pool_size=pool.connections,
        max_overflow=0,
        pool_timeout=pool.patience,
        pool_pre_ping=True,
    )
    event.listen(engine, "handle_error", _forget_values)
    event.listen(engine, "handle_error", _leave_read_only_server)
    event.listen(engine, "begin", postgres.begin)
    return engine


def _leave_read_only_server(context: ExceptionContext) -> None:
    """After a failover, drop all connections to the old server, which is now read-only.

    Raises:
        OperationalError: in place of the original error; the app answers it with 503.
    """
    error = context.original_exception
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True
        raise OperationalError("The server is read-only.", None, error, hide_parameters=True)


def _forget_values(context: ExceptionContext) -> None:
    """Keep only an error's first line: PostgreSQL's DETAIL and CONTEXT quote whole rows."""
    error = context.original_exception
    if not isinstance(error, psycopg.Error) or not error.diag.message_primary:
        return
    before, error.args = str(error), (error.diag.message_primary,)
    if context.sqlalchemy_exception is not None:
        text = str(context.sqlalchemy_exception.args[0])
        context.sqlalchemy_exception.args = (text.replace(before, str(error)),)


def memoize(session: Session, name: object, read: Callable[[], Read]) -> Read:
    """Cache a value for the rest of the transaction."""
    known: dict[object, Read] = session.info.setdefault("read", {})
    if name not in known:
        known[name] = read()
    return known[name]


def upsert(session: Session, model: type[Base], row: dict[str, Any], *key: str) -> None:
    """Insert a row, or update the one with the same ``key``; without a key, keep that row."""
    session.execute(_put(cast("Table", model.__table__), tuple(row), key), row)


@cache
def _put(table: Table, columns: tuple[str, ...], key: tuple[str, ...]) -> Insert:
    """Build and cache the statement: with many columns, building takes longer than sending."""
    statement = insert(table).inline()
    if not key:
        return statement.on_conflict_do_nothing()
    changed = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


_KEY = func.hashtextextended(bindparam("name", type_=String), 0)
_LOCK = select(func.pg_advisory_xact_lock(_KEY))
_TRY_LOCK = select(func.pg_try_advisory_xact_lock(_KEY))


def lock(session: Session, kind: str, name: str) -> None:
    """Wait for the lock on a named thing, and hold it until the transaction ends."""
    session.execute(_LOCK, {"name": f"{kind}:{name}"})


def try_lock(session: Session, kind: str, name: str) -> bool:
    """Take the same lock if it is free, and say whether it was."""
    return bool(session.scalar(_TRY_LOCK, {"name": f"{kind}:{name}"}))
