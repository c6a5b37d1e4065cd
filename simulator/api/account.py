"""The account itself, and where its events go: webhook endpoints and event destinations."""

import secrets
from datetime import UTC, datetime
from typing import Any

from simulator import ACCOUNT, COMMAND_LINE_ENDPOINT
from simulator.api.calls import LIST, page, route
from simulator.core.errors import refused
from simulator.core.objects import new_id
from simulator.core.params import METADATA, Clearable, merged
from simulator.core.shapes import Object
from simulator.core.world import World

MOST_ENDPOINTS = 16
_IS_SNAPSHOT = "coalesce(json_extract(data, '$._payload'), 'snapshot') = ?"


@route("GET", "/v1/account")
def retrieve_account(world: World, params: Object) -> Object:
    del params
    return {
        "id": world.choice("account") or ACCOUNT,
        "object": "account",
        "charges_enabled": True,
        "country": "GB",
        "default_currency": "gbp",
        "details_submitted": True,
        "email": "finance@news.example",
        "payouts_enabled": True,
        "type": "standard",
    }


ENDPOINT = {
    "enabled_events": [str],
    "description": Clearable(str),
    "metadata": METADATA,
}


@route("POST", "/v1/webhook_endpoints", **{**ENDPOINT, "url!": str, "api_version": str})
def create_endpoint(world: World, params: Object) -> Object:
    made = make_endpoint(world, params)
    # Only this one answer tells the secret.
    return {**made, "secret": made["_secret"]}


def make_endpoint(world: World, params: Object, payload: str = "snapshot") -> Object:
    if not params.get("enabled_events"):
        raise refused(
            "Missing required param: enabled_events.", "enabled_events", "parameter_missing"
        )
    if len(world.store.find("webhook_endpoint", limit=MOST_ENDPOINTS)) == MOST_ENDPOINTS:
        raise refused("You have reached the maximum of 16 test webhook endpoints.")
    return world.store.put(
        {
            "api_version": None,
            **params,
            "id": new_id("webhook_endpoint"),
            "object": "webhook_endpoint",
            "created": world.now(),
            "_secret": f"whsec_{secrets.token_hex(24)}",
            "_payload": payload,
        }
    )


@route("GET", "/v1/webhook_endpoints", **LIST)
def list_endpoints(world: World, params: Object) -> Object:
    """Those that get snapshots; where thin payloads go is known to the second API alone."""
    clauses: list[tuple[str, Any]] = [(_IS_SNAPSHOT, "snapshot")]
    found = page(world, "webhook_endpoint", params, "/v1/webhook_endpoints", clauses=clauses)
    if not world.on("secret_told_once"):
        for one in found["data"]:
            one["secret"] = world.store.one(one["id"])["_secret"]
    return found


@route("GET", "/v1/webhook_endpoints/<endpoint>")
def retrieve_endpoint(world: World, params: Object, endpoint: str) -> Object:
    del params
    return world.must("webhook_endpoint", endpoint)


@route("POST", "/v1/webhook_endpoints/<endpoint>", **ENDPOINT, url=str, disabled=bool)
def update_endpoint(world: World, params: Object, endpoint: str) -> Object:
    found = world.must("webhook_endpoint", endpoint)
    if "disabled" in params:
        params["status"] = "disabled" if params.pop("disabled") else "enabled"
    metadata = merged(found["metadata"], params.pop("metadata", None))
    return world.store.put({**found, **params, "metadata": metadata})


@route("DELETE", "/v1/webhook_endpoints/<endpoint>")
def delete_endpoint(world: World, params: Object, endpoint: str) -> Object:
    del params
    world.must("webhook_endpoint", endpoint)
    world.store.delete(endpoint)
    return {"id": endpoint, "object": "webhook_endpoint", "deleted": True}


@route("GET", "/v2/core/event_destinations", limit=int, page=str, include=[str])
def list_destinations(world: World, params: Object) -> Object:
    """The second API's view of the same endpoints, with the form of what they get."""
    tells = "webhook_endpoint.url" in params.get("include", [])
    found = world.store.find("webhook_endpoint")
    return {
        "data": [_destination(one, tells_url=tells) for one in found],
        "next_page_url": None,
        "previous_page_url": None,
    }


def _destination(endpoint: Object, *, tells_url: bool) -> Object:
    made = datetime.fromtimestamp(endpoint["created"], UTC).isoformat().replace("+00:00", "Z")
    payload = endpoint.get("_payload", "snapshot")
    name = "the command line" if endpoint["id"] == COMMAND_LINE_ENDPOINT else endpoint["id"]
    return {
        "id": endpoint["id"],
        "object": "v2.core.event_destination",
        "created": made,
        "description": endpoint["description"] or "",
        "enabled_events": endpoint["enabled_events"],
        "event_payload": payload,
        "events_from": ["self"],
        "livemode": False,
        "metadata": endpoint["metadata"],
        "name": name,
        "snapshot_api_version": endpoint["api_version"] if payload == "snapshot" else None,
        "status": endpoint["status"],
        "status_details": None,
        "type": "webhook_endpoint",
        "updated": made,
        "webhook_endpoint": {"signing_secret": None, "url": endpoint["url"]} if tells_url else None,
    }
