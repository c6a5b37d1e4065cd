"""What the demonstration's parts are told: ports, addresses, and secrets made once and kept."""

import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from demo.processes import DemoError

CHECKOUT = Path(__file__).resolve().parent.parent
STAFF_EMAIL = "editor@example.org"
CAMPAIGN = "25000"
APPEAL = "winter-appeal"  # the campaign before it
PARTS = ("app", "newspaper", "mailbox", "simulator", "PostgreSQL", "Valkey", "mail (SMTP)")
LOWEST_PORT, HIGHEST_PORT = 1024, 65535 - len(PARTS) + 1


@dataclass(frozen=True)
class DemoSettings:
    """``home`` keeps all state; ``port`` is the first of seven in a row."""

    home: Path
    port: int
    members: int

    @property
    def app_url(self) -> str:
        return self.url_of("app")

    @property
    def store(self) -> Path:
        """The simulator's database."""
        return self.home / "simulator.sqlite"

    @property
    def clock_file(self) -> Path:
        return self.home / "clock"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    def port_of(self, part: str) -> int:
        return self.port + PARTS.index(part)

    def url_of(self, part: str) -> str:
        return f"http://127.0.0.1:{self.port_of(part)}"

    @cached_property
    def secrets(self) -> dict[str, str]:
        """The kept secrets; what is missing is made and kept."""
        path = self.home / "secrets.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        made = {
            "secret_key": secrets.token_urlsafe(48),
            "database_password": secrets.token_urlsafe(24),
            "webhook_secret": f"whsec_{secrets.token_urlsafe(24)}",
            "staff_password": "-".join(secrets.token_hex(2) for _ in range(3)),
        } | kept
        if made != kept:
            unfinished = path.with_suffix(".new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps(made, indent=2))
            unfinished.replace(path)
        return made

    def environment(self, database_url: str, redis_url: str) -> dict[str, str]:
        """The whole environment of the service's processes."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy")  # all of it stays on this machine
        }
        return inherited | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "STRIPE_API_KEY": "sk_test_simulator",
            "STRIPE_API_BASE": self.url_of("simulator"),
            "STRIPE_WEBHOOK_SECRET": self.secrets["webhook_secret"],
            "STRIPE_CALLS_PER_SECOND": "0",
            "CLOCK_OFFSET_FILE": str(self.clock_file),
            "SMTP_URL": f"smtp://127.0.0.1:{self.port_of('mail (SMTP)')}",
            "SECRET_KEY": self.secrets["secret_key"],
            "PUBLIC_URL": self.app_url,
            "NEWSROOM_NAME": "The Northern Ledger",
            "NEWSROOM_ADDRESS": "The Northern Ledger Ltd\\n4 Tide Gauge Row\\nHarbour End NE66 3TL",
            "NEWSROOM_TIMEZONE": "Europe/London",
            "NEWSROOM_URL": self.url_of("newspaper"),
            "MAIL_FROM": "members@northern-ledger.example",
            # Everybody here has one address.
            "JOIN_LIMIT": os.environ.get("JOIN_LIMIT") or "600 per minute",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
        }


def read_settings(environ: Mapping[str, str] = os.environ) -> DemoSettings:
    """Read PORT, DEMO_HOME and DEMO_MEMBERS."""
    port = _number(environ, "PORT", 8000, LOWEST_PORT, HIGHEST_PORT)
    members = _number(environ, "DEMO_MEMBERS", 16_000, 1, 1_000_000)
    home = Path(environ.get("DEMO_HOME") or CHECKOUT / ".demo")
    return DemoSettings(home.resolve(), port, members)


def check_ports(settings: DemoSettings) -> None:
    """Raise ``DemoError`` where another program listens on one of the seven ports."""
    for part in PARTS:
        port = settings.port_of(part)
        with socket.socket() as listener:
            # Connections of the last start that are still closing don't count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                raise DemoError(
                    f"Port {port}, meant for the {part}, can't be used: {error.strerror}. "
                    f"Choose other ports, seven in a row from the one you name: PORT=9000 make run"
                ) from error


def _number(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
        raise DemoError(f"{name} must be a whole number from {low} to {high}, not {text!r}.")
    return int(text)
