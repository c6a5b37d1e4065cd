"""The way of every API call: key, faults, idempotency, parameters, one transaction, answer."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from flask import Request, Response

from simulator import API_VERSION
from simulator.core.errors import StripeError, refused
from simulator.core.expand import expand, listing
from simulator.core.keys import authenticate, authorise
from simulator.core.limits import rate_limited
from simulator.core.params import RANGE, Shape, check, parse
from simulator.core.shapes import Object, public
from simulator.core.store import encode
from simulator.core.world import World

Handler = Callable[..., Object]
LIST = {
    "limit": int,
    "starting_after": str,
    "ending_before": str,
    "created": RANGE,
}
MOST = 100
KEY_LIVES = 86400
LONGEST_KEY = 255


@dataclass(frozen=True)
class Route:
    """One operation of the API; `path` is Flask's, with the ids as names in angle brackets."""

    method: str
    path: str
    shape: dict[str, Shape]
    handler: Handler


ROUTES: list[Route] = []


def route(method: str, path: str, **shape: Shape) -> Callable[[Handler], Handler]:
    """Declare an operation; the handler gets the world, the parameters and the ids of the path."""

    def declare(handler: Handler) -> Handler:
        ROUTES.append(Route(method, path, {**shape, "expand": [str]}, handler))
        return handler

    return declare


def answer(world: World, found: Route | None, request: Request, ids: dict[str, str]) -> Response:
    """What the API answers to this request."""
    request_id = f"req_{uuid4().hex[:14]}"
    headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    try:
        key = authenticate(request)
        if found:
            # Before the wait: Stripe refuses at the door, not after the work
            # (stripe.com/blog/rate-limiters).
            world.limiter.let_in(world.choice("rate_limits"), f"{found.method} {found.path}")
        time.sleep(world.faults.latency())
        if found:
            authorise(world, key, request.method, request.path)
        fault = world.faults.api()
        meet(fault)
        status, body, replayed = _once(world, found or UNKNOWN, request, ids, request_id)
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        if fault == "api_timeout":
            time.sleep(world.faults.settings.timeout_seconds)
    except StripeError as error:
        status, body = error.status, encode(error.body())
        if error.code == "rate_limit":
            headers["Stripe-Rate-Limited-Reason"] = error.limit or "global-rate"
    return Response(body, status=status, headers=headers, content_type="application/json")


FAULTS = {
    "api_429": rate_limited("global-rate"),
    "api_500": StripeError(
        "An unknown error occurred (a fault of the simulator).", status=500, kind="api_error"
    ),
}


def meet(fault: str | None) -> None:
    """A fault that comes before any work."""
    if fault in FAULTS:
        raise FAULTS[fault]


def _unknown(world: World, params: Object, **ids: str) -> Object:
    del world, params, ids
    raise StripeError("Unrecognized request URL, to Stripe or to its simulator.", status=404)


UNKNOWN = Route("", "", {}, _unknown)


def _once(
    world: World, found: Route, request: Request, ids: dict[str, str], request_id: str
) -> tuple[int, str, bool]:
    """Status and body, and whether they are a replay: a key's first answer is its only one."""
    reads = request.method == "GET"
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    sent = f"{request.query_string.decode()}&{request.get_data(as_text=True)}".strip("&")
    if key and len(key) > LONGEST_KEY:
        raise refused("Idempotency keys can have up to 255 characters.")
    digest = hashlib.sha256(f"{request.method} {request.path}\n{sent}".encode()).hexdigest()
    with world.store.lock:
        if key:
            known = world.store.execute(
                "SELECT * FROM idempotency WHERE key = ? AND created > ?",
                (key, time.time() - KEY_LIVES),
            )
            if known and known[0]["request"] != digest:
                raise StripeError(
                    "Keys for idempotent requests can only be used with the same parameters they"
                    f" were first used with. Try using a key other than '{key}' if you meant to"
                    " execute a different request.",
                    kind="idempotency_error",
                )
            if known:
                return known[0]["status"], known[0]["body"], True
        params = check(found.shape, parse(sent)) if found is not UNKNOWN else {}
        world.request = {"id": request_id, "idempotency_key": key}
        try:
            with world.store.snapshot() if reads else world.store.transaction():
                status, body = _run(world, found, params, ids)
                if key:
                    world.store.execute(
                        "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)",
                        (key, digest, status, body, time.time()),
                    )
        finally:
            world.request = None
    return status, body, False


def _run(world: World, found: Route, params: Object, ids: dict[str, str]) -> tuple[int, str]:
    paths = params.pop("expand", [])
    try:
        shown = public_answer(found.handler(world, params, **ids))
    except StripeError as error:
        # A bank's refusal is mostly an outcome to be kept; a wrong request changes nothing.
        if error.undo or error.status != 402:  # noqa: PLR2004 - Payment Required
            raise
        return error.status, encode(error.body())
    return 200, encode(expand(world, shown, paths))


# What the store does not keep as an object, or not at all.
_BARE = {None, "account", "balance", "event", "list", "subscription_item"}


def public_answer(whole: Object) -> Object:
    """A stored object with every public field; what is not stored stays as it is."""
    is_bare = whole.get("object") in _BARE or whole.get("deleted")
    return whole if is_bare else public(whole)


def page(
    world: World,
    kind: str,
    params: Object,
    url: str,
    *,
    where: dict[str, Any] | None = None,
    clauses: list[tuple[str, Any]] | None = None,
) -> Object:
    """One page of a list, newest first."""
    limit = limit_of(params)
    if _is_deleted(world, (where or {}).get("customer"), kind):
        return listing([], url)
    conditions = [*(clauses or []), *created_clauses(params)]
    backwards = "ending_before" in params
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if name in params:
            world.must(kind, params[name], name)
            conditions.append(
                (
                    f"(created, seq) {sign} (SELECT created, seq FROM objects WHERE id = ?)",  # noqa: S608 - a sign
                    params[name],
                )
            )
    given = {column: value for column, value in (where or {}).items() if value is not None}
    found = world.store.find(
        kind, where=given, clauses=conditions, limit=limit + 1, oldest_first=backwards
    )
    shown = [public(one) for one in found[:limit]]
    return listing(shown[::-1] if backwards else shown, url, more=len(found) > limit)


def _is_deleted(world: World, customer: str | None, kind: str) -> bool:
    """Whether the list is empty since its customer was deleted; raises Stripe's refusal instead.

    Which lists do which is known of payment methods only, so that it is a choice.
    """
    if customer is None or not world.store.setting(f"deleted {customer}", ""):
        return False
    answer = world.choice("deleted_customer_lists")
    if answer == "400" or (answer == "known" and kind == "payment_method"):
        raise refused(f"No such customer: '{customer}'", "customer", "resource_missing")
    return answer == "empty"


def limit_of(params: Object) -> int:
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= MOST:
        raise refused(
            "This value must be between 1 and 100 (inclusive).",
            param="limit",
            code="parameter_invalid_integer",
        )
    return limit


SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def created_clauses(params: Object) -> list[tuple[str, Any]]:
    created = params.get("created")
    if created is None:
        return []
    if isinstance(created, int):
        return [("created = ?", created)]
    return [(f"created {SIGNS[name]} ?", value) for name, value in created.items()]
