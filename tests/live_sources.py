"""Patreon and Ghost, simulated, for tests: served in a thread, and asked as a worker would."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from werkzeug.serving import make_server

from fundraiser.config import GhostAccess, PatreonAccess, Settings
from fundraiser.sources import batches
from fundraiser.sources.live import asking
from simulator.elsewhere.app import create_app
from simulator.serving import Handler
from tests.sources import GRACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.db import Database
    from simulator.elsewhere.ghost import Ghost
    from simulator.elsewhere.patreon import Patreon

HOOK_SECRET = "hook-secret-of-the-tests"
TIME = "T10:00:00.000+00:00"


@contextmanager
def serving(patreon: Patreon, ghost: Ghost) -> Iterator[str]:
    server = make_server(
        "127.0.0.1", 0, create_app(patreon, ghost), threaded=True, request_handler=Handler
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def patreon_access(url: str, patreon: Patreon, *, is_renewed: bool = True) -> PatreonAccess:
    return PatreonAccess(
        api=f"{url}/patreon",
        campaign=patreon.campaign,
        currency="USD",
        access_token=patreon.access,
        webhook_secret=HOOK_SECRET,
        refresh_token=patreon.refresh if is_renewed else None,
        client_id=patreon.client[0] if is_renewed else None,
        client_secret=patreon.client[1] if is_renewed else None,
    )


def ghost_access(url: str, ghost: Ghost) -> GhostAccess:
    name, secret = ghost.key.split(":")
    return GhostAccess(f"{url}/ghost-site", name, bytes.fromhex(secret))


def with_patreon(settings: Settings, url: str, patreon: Patreon, **values: Any) -> Settings:
    return replace(settings, patreon=patreon_access(url, patreon, **values))


def work(database: Database, settings: Settings) -> None:
    """What the workers do, until nothing is left for now."""
    while (
        asking.ask_any(database, settings)
        or batches.step_any(database, GRACE)
        or asking.ask_any(database, settings)
    ):
        pass


def paying(number: int, until: str = "2026-12-12", **values: Any) -> dict[str, Any]:
    """What Patreon says of somebody who pays."""
    return {
        "email": f"p{number}@example.org",
        "full_name": f"P {number}",
        "patron_status": "active_patron",
        "last_charge_status": "Paid",
        "last_charge_date": f"2026-11-12{TIME}",
        "next_charge_date": f"{until}{TIME}",
        "pledge_cadence": 1,
        "currently_entitled_amount_cents": 500,
        "campaign_lifetime_support_cents": 1500,
        "pledge_relationship_start": f"2026-09-12{TIME}",
        **values,
    }


def subscription(until: str = "2026-12-12", **values: Any) -> dict[str, Any]:
    return {
        "id": "sub_INVENTED",
        "status": "active",
        "start_date": "2026-01-12T10:00:00.000Z",
        "current_period_end": f"{until}T10:00:00.000Z",
        "cancel_at_period_end": False,
        "price": {"amount": 500, "interval": "month", "currency": "usd"},
        **values,
    }
