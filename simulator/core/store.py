"""The simulator's store: one SQLite file that outlives a restart.

Objects are JSON rows with a column for whatever they are listed by. One connection and one lock
serve every thread: an answer takes about a millisecond, and a double click can then never do a
thing twice.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulator.core.due import due
from simulator.core.shapes import DEFAULTS, Object, full, sparse

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    object TEXT NOT NULL,
    created INTEGER NOT NULL,
    customer TEXT,
    parent TEXT,
    key TEXT,
    status TEXT,
    due INTEGER,
    data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    created INTEGER NOT NULL,
    object_id TEXT,
    request TEXT,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_time ON events (created);
CREATE INDEX IF NOT EXISTS events_by_type ON events (type, seq);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY,
    event TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    first_due REAL NOT NULL,
    answer TEXT
);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (due, seq) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# A bulk load by another process holds the file for some seconds.
BUSY_SECONDS = 30
INDEXES = {
    "objects_by_type": "(object, created, seq)",
    "objects_by_customer": "(customer, object, created, seq) WHERE customer IS NOT NULL",
    "objects_by_parent": "(parent, object, created, seq) WHERE parent IS NOT NULL",
    "objects_by_key": "(key, object, created, seq) WHERE key IS NOT NULL",
    "objects_by_due": "(due, seq) WHERE due IS NOT NULL",
}
# Most changes leave alone what an object is found by, and then most indexes need no touch.
UPDATE = """
UPDATE objects SET status = ?, due = ?, data = ?
WHERE id = ? AND customer IS ? AND parent IS ? AND key IS ?
"""
INSERT = """
INSERT INTO objects (id, object, created, customer, parent, key, status, due, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, parent = excluded.parent,
    key = excluded.key, status = excluded.status, due = excluded.due, data = excluded.data
"""


def _field(name: str) -> Callable[[Object], Any]:
    return lambda whole: whole.get(name)


def _told(item: Object) -> Object:
    found: Object = (item.get("parent") or {}).get("subscription_details") or {}
    return found


# What `parent` and `key` hold, by type of object.
PARENTS: dict[str, Callable[[Object], Any]] = {
    "price": _field("product"),
    "subscription": lambda whole: whole["items"]["data"][0]["price"]["id"],
    "invoice": lambda whole: _told(whole).get("subscription"),
    "invoice_payment": _field("invoice"),
    "invoiceitem": lambda whole: _told(whole).get("subscription"),
    "promotion_code": lambda whole: whole["promotion"]["coupon"],
    "charge": _field("payment_intent"),
    "refund": _field("charge"),
    "dispute": _field("charge"),
    "balance_transaction": _field("source"),
    "checkout.session": _field("subscription"),
}
KEYS: dict[str, Callable[[Object], Any]] = {
    "price": _field("lookup_key"),
    "customer": lambda whole: (whole.get("email") or "").lower() or None,
    # An old payment has a charge and no intent (see `simulator.core.legacy`).
    "invoice_payment": lambda whole: whole["payment"].get("payment_intent"),
    "invoiceitem": _field("invoice"),
    "promotion_code": lambda whole: whole["code"].lower(),
    "refund": _field("payment_intent"),
    "dispute": _field("payment_intent"),
    "balance_transaction": _field("_payout"),
    "checkout.session": _field("payment_intent"),
}


# One encoder for all: making it is a good part of encoding a small object.
encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _nothing(_whole: Object) -> None:
    return None


def row(stored: Object) -> tuple[Any, ...]:
    """The columns of one object, which may hold only what differs from the defaults."""
    kind = stored["object"]
    return (
        stored["id"],
        kind,
        stored["created"] if "created" in stored else stored.get("date") or stored["start"],
        stored.get("customer"),
        PARENTS.get(kind, _nothing)(stored),
        KEYS.get(kind, _nothing)(stored),
        stored.get("status", DEFAULTS[kind].get("status")),
        due(stored),
        encode(stored),
    )


class Store:
    """Objects, events, deliveries, idempotency keys and settings."""

    def __init__(self, path: Path | str) -> None:
        self.lock = threading.RLock()
        if path != ":memory:":
            # Names and addresses are in it: its owner reads it, and SQLite's log beside it.
            Path(path).touch(mode=0o600)
            Path(path).chmod(0o600)
        self.connection = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None, timeout=BUSY_SECONDS
        )
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode = WAL")
        # The log outlives a killed process; only a power cut could lose the last moment.
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("PRAGMA cache_size = -65536")
        self.connection.execute("PRAGMA wal_autocheckpoint = 8192")
        self.connection.executescript(SCHEMA)
        self._index()

    def close(self) -> None:
        with self.lock:
            self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; nests, and then belongs to the outermost."""
        with self.lock:
            if self.connection.in_transaction:
                yield
                return
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read in it is of one moment; unlike a transaction, it holds up nobody."""
        with self.lock:
            if self.connection.in_transaction:
                yield
                return
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    def execute(self, sql: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        with self.lock:
            return self.connection.execute(sql, tuple(values)).fetchall()

    def load(self, objects: Iterable[Object]) -> int:
        """Put many prepared objects at once (see `simulator.core.objects`); returns how many.

        Meant for an empty store: the indexes are dropped and made again. No events are written.
        """
        with self.lock:
            before = self.connection.total_changes
            self.connection.execute("PRAGMA synchronous = OFF")
            for name in INDEXES:
                self.connection.execute(f"DROP INDEX IF EXISTS {name}")
            with self.transaction():
                self.connection.executemany(INSERT, map(row, objects))
            count = self.connection.total_changes - before
            self._index()
            self.connection.execute("PRAGMA synchronous = NORMAL")
        return count

    def _index(self) -> None:
        for name, columns in INDEXES.items():
            self.connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON objects {columns}")

    def put(self, whole: Object) -> Object:
        """Insert or replace the object; returns it with every field."""
        everything = full(whole)
        values = row(sparse(everything))
        identity, _, _, customer, parent, key, status, due_at, data = values
        with self.transaction():
            changed = self.connection.execute(
                UPDATE, (status, due_at, data, identity, customer, parent, key)
            )
            if changed.rowcount == 0:
                self.connection.execute(INSERT, values)
        return everything

    def get(self, identity: str) -> Object | None:
        found = self.execute("SELECT data FROM objects WHERE id = ?", (identity,))
        return full(json.loads(found[0]["data"])) if found else None

    def one(self, identity: str) -> Object:
        """An object that must be there: one that another object names."""
        found = self.get(identity)
        if found is None:
            raise LookupError(f"The store has no {identity}.")
        return found

    def delete(self, identity: str) -> None:
        with self.transaction():
            self.connection.execute("DELETE FROM objects WHERE id = ?", (identity,))

    def find(
        self,
        kind: str,
        *,
        where: dict[str, Any] | None = None,
        clauses: Iterable[tuple[str, Any]] = (),
        limit: int = -1,
        oldest_first: bool = False,
    ) -> list[Object]:
        """Objects of a kind, newest first; `where` names columns, `clauses` are SQL conditions."""
        conditions, values = ["object = ?"], [kind]
        for column, value in (where or {}).items():
            conditions.append(f"{column} = ?")
            values.append(value)
        for condition, value in clauses:
            conditions.append(condition)
            values.extend(value if isinstance(value, tuple) else (value,))
        order = "ASC" if oldest_first else "DESC"
        rows = self.execute(
            f"SELECT data FROM objects WHERE {' AND '.join(conditions)}"  # noqa: S608 - our own names
            f" ORDER BY created {order}, seq {order} LIMIT ?",
            (*values, limit),
        )
        return [full(json.loads(found["data"])) for found in rows]

    def due(self, now: int, limit: int) -> list[tuple[int, str]]:
        """The next changes that time brings, in order of time: (moment, object's id)."""
        rows = self.execute(
            "SELECT due, id FROM objects WHERE due <= ? ORDER BY due, seq LIMIT ?", (now, limit)
        )
        return [(found["due"], found["id"]) for found in rows]

    def setting(self, name: str, default: str) -> str:
        found = self.execute("SELECT value FROM settings WHERE name = ?", (name,))
        return str(found[0]["value"]) if found else default

    def set_setting(self, name: str, value: str) -> None:
        with self.transaction():
            self.connection.execute(
                "INSERT INTO settings VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )
