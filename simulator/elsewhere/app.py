"""One server for both: Patreon under /patreon, Ghost under /ghost-site, and what a test sets."""

from typing import Any

from flask import Flask, Response, request

from simulator.elsewhere import ghost as ghosts, patreon as patreons
from simulator.elsewhere.faults import as_json
from simulator.elsewhere.ghost import Ghost
from simulator.elsewhere.patreon import Hook, Patreon


def create_app(patreon: Patreon, ghost: Ghost) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(patreons.api(patreon), url_prefix="/patreon")
    app.register_blueprint(ghosts.api(ghost), url_prefix="/ghost-site")

    @app.get("/_simulator")
    def look() -> Response:
        return as_json({"patreon": len(patreon.members), "ghost": len(ghost.members)})

    @app.post("/_simulator/faults/<system>")
    def faults(system: str) -> Response:
        (patreon if system == "patreon" else ghost).faults.set(_sent())
        return as_json({})

    @app.post("/_simulator/hook")
    def hook() -> Response:
        patreon.hook = Hook(**_sent())
        return as_json({})

    @app.post("/_simulator/patreon/<user>")
    def put(user: str) -> Response:
        """Change a member; ``tells`` names the event that the webhook sends of it."""
        changes = _sent()
        trigger = changes.pop("tells", None)
        member = patreon.put(user, **changes)
        return as_json(
            {"id": member.id, "told": patreon.tell(trigger, member) if trigger else None}
        )

    return app


def _sent() -> dict[str, Any]:
    sent = request.get_json(force=True)
    assert isinstance(sent, dict)  # noqa: S101 - a test's
    return sent
