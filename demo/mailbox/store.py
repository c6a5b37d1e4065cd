"""The e-mails, in one SQLite file."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default as modern
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS letters (
    id INTEGER PRIMARY KEY,
    received_at TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,  -- addresses in lower case, one a line, a newline at both ends
    subject TEXT NOT NULL,
    source BLOB NOT NULL
)
"""
MOST_SHOWN = 200


class Store:
    """Each call opens the file anew, so any thread may ask."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Other people's e-mails: its owner alone reads it, and SQLite's log beside it.
        path.touch(mode=0o600)
        path.chmod(0o600)
        with closing(self._open()) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(SCHEMA)

    def keep(self, sender: str, recipients: list[str], source: bytes) -> None:
        email = message_from_bytes(source, policy=modern)
        with closing(self._open()) as database, database:
            database.execute(
                "INSERT INTO letters (received_at, sender, recipients, subject, source)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    sender,
                    "".join(f"\n{address.lower()}" for address in recipients) + "\n",
                    str(email["subject"] or ""),
                    source,
                ),
            )

    def newest(self, address: str = "", after: int = 0) -> list[sqlite3.Row]:
        """List e-mails above a number, newest first; ``address`` is any part of a recipient's."""
        with closing(self._open()) as database:
            return database.execute(
                "SELECT * FROM letters WHERE instr(recipients, ?) AND id > ?"
                " ORDER BY id DESC LIMIT ?",
                (address.strip().lower(), after, MOST_SHOWN),
            ).fetchall()

    def email(self, number: int) -> sqlite3.Row | None:
        with closing(self._open()) as database:
            found: sqlite3.Row | None = database.execute(
                "SELECT * FROM letters WHERE id = ?", (number,)
            ).fetchone()
            return found

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=10)
        database.row_factory = sqlite3.Row
        return database
