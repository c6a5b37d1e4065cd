"""The control page and its JSON: the clock, the faults, and what a bank or a payer would do."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from simulator.api import account as api_account
from simulator.api.portal import create_portal_session, forget_settings, save_settings
from simulator.core import billing, discounts, engine, keys
from simulator.core.due import HOUR, period_end
from simulator.core.errors import StripeError, refused
from simulator.core.events import deliver
from simulator.core.expand import listing
from simulator.core.faults import Settings
from simulator.core.periods import at as moment_at
from simulator.core.shapes import Object, public
from simulator.pages import show
from simulator.pages.checkout import SEE_OTHER, WRONG, world

if TYPE_CHECKING:
    from simulator.core.description import Recorder

pages = Blueprint("control", __name__)
SHOWN = 20
NEWEST = 40
# Beyond this an advance is a slip of the hand: it would renew everything for years.
LONGEST = 5 * 366 * 86400


@pages.errorhandler(StripeError)
def refusal(error: StripeError) -> Response:
    """A control that was used wrongly: a sentence on the page, or Stripe's shape for a program."""
    if _is_program():
        return _json(error.body(), error.status)
    return _control(said=error.message, status=WRONG)


def _is_program() -> bool:
    return request.is_json or request.accept_mimetypes.best == "application/json"


def _json(body: Any, status: int = 200) -> Response:  # noqa: ANN401 - any JSON
    return Response(json.dumps(body), status=status, mimetype="application/json")


def read_given() -> dict[str, Any]:
    """What a form or a JSON object says."""
    if not request.is_json:
        return {name: value for name, value in request.form.items() if value != ""}
    return _object()


def _object() -> dict[str, Any]:
    """The JSON object that a program sent."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise refused("The body has to be a JSON object.")
    return body


def done(body: Object, said: str) -> Response:
    """The body for a program; for a person, the page with a sentence."""
    if _is_program():
        return _json(body)
    asked = request.form.get("q") or None
    return redirect(url_for("control.control", said=said, q=asked), SEE_OTHER)


@pages.get("/")
def control() -> Response:
    return _control(said=request.args.get("said"))


def _control(*, said: str | None = None, status: int = 200) -> Response:
    account = world()
    query = request.values.get("q", "").strip()
    page = render_template(
        "control.html",
        said=said,
        now=account.now(),
        offset=timedelta(seconds=account.clock.offset),
        faults=account.faults.settings,
        rates=[name for name, kind in Settings.__annotations__.items() if kind is not bool],
        webhook_url=account.webhook_url,
        waiting=account.store.execute("SELECT count(*) FROM deliveries WHERE state = 'waiting'")[0][
            0
        ],
        deliveries=account.store.execute(
            "SELECT events.id, type, created, deliveries.* FROM events"
            " LEFT JOIN deliveries ON deliveries.event = events.id"
            " ORDER BY events.seq DESC LIMIT ?",
            (NEWEST,),
        ),
        people=[_person(one) for one in _found(query)],
        query=query,
        show=show,
    )
    return Response(page, status=status, mimetype="text/html")


def _found(query: str) -> list[Object]:
    """The customers that a search means, or the newest: by address, name, or any object's id."""
    store = world().store
    if not query:
        return store.find("customer", limit=SHOWN)
    named = store.get(query)
    if named:
        owner = store.get(query if named["object"] == "customer" else named.get("customer") or "")
        return [owner] if owner else []
    text = f"%{query.lower()}%"
    clause = "(key LIKE ? OR lower(json_extract(data, '$.name')) LIKE ?)"
    return store.find("customer", clauses=[(clause, (text, text))], limit=SHOWN)


def _person(customer: Object) -> Object:
    store = world().store
    where = {"customer": customer["id"]}
    charges = store.find("charge", where=where, limit=3)
    return {
        "customer": customer,
        "subscriptions": store.find("subscription", where=where),
        "charges": charges,
        "disputes": {
            charge["id"]: store.find("dispute", where={"parent": charge["id"]}, limit=1)
            for charge in charges
        },
    }


@pages.get("/_simulator/clock")
def clock() -> Response:
    return _json(_clock())


def _clock() -> Object:
    account = world()
    now = account.now()
    return {
        "now": now,
        "iso": moment_at(now).isoformat(),
        "offset_seconds": account.clock.offset,
    }


@pages.post("/_simulator/clock")
def advance() -> Response:
    """Move time on, and do all that it brings before answering."""
    given, account = read_given(), world()
    if "advance_to" in given:
        seconds = _moment(str(given["advance_to"])) - account.now()
    else:
        seconds = whole_number(given.get("advance_seconds"), "advance_seconds")
    if not 0 <= seconds <= LONGEST:
        raise refused("The clock only goes forward, by five years at the most.")
    account.clock.advance(seconds)
    steps = engine.run_due(account)
    engine.forget(account)
    return done({**_clock(), "steps": steps}, f"The clock was advanced; {steps} things happened.")


def _moment(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise refused(f"'{text}' is not a date as in 2026-12-31 or 2026-12-31T09:30Z.") from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def whole_number(value: object, name: str) -> int:
    try:
        return int(str(value))
    except ValueError as error:
        raise refused(f"'{name}' has to be a whole number.", name) from error


@pages.get("/_simulator/faults")
def faults() -> Response:
    return _json(vars(world().faults.settings))


@pages.post("/_simulator/faults")
def set_faults() -> Response:
    given, account = read_given(), world()
    if not request.is_json:
        given.pop("q", None)
        delivers = given.pop("deliver", None) is not None
        given = {name: _number(name, value) for name, value in given.items()}
        given["deliver"] = delivers
    try:
        account.faults.set(given)
    except ValueError as error:
        raise refused(str(error)) from error
    account.deliver_soon.set()
    return done(vars(account.faults.settings), "The faults are set.")


@pages.get("/_simulator/behaviours")
def behaviours() -> Response:
    return _json(world().behaviours.switched())


@pages.post("/_simulator/behaviours")
def switch_behaviours() -> Response:
    """Switch behaviours off or on: `{"two_methods": false}`."""
    account = world()
    try:
        with account.store.transaction():
            account.behaviours.switch(_object())
    except ValueError as error:
        raise refused(str(error)) from error
    return _json(account.behaviours.switched())


@pages.post("/_simulator/endpoints")
def make_endpoint() -> Response:
    """Make an endpoint as Stripe's dashboard does: `payload` is snapshot or thin."""
    given, account = _object(), world()
    payload = given.pop("payload", "snapshot")
    if payload not in {"snapshot", "thin"}:
        raise refused("'payload' is snapshot or thin.", "payload")
    told = {"url", "enabled_events", "api_version"}
    named = {name: value for name, value in given.items() if name in told}
    if not isinstance(named.get("url"), str) or not isinstance(named.get("enabled_events"), list):
        raise refused("An endpoint needs 'url' and 'enabled_events'.")
    with account.store.transaction():
        made = api_account.make_endpoint(account, named, payload)
    return _json({**public(made), "secret": made["_secret"]})


@pages.post("/_simulator/keys")
def give_rights() -> Response:
    """Register a restricted key: `{"key": "rk_test_x", "rights": ["customers:write", …]}`."""
    given, account = _object(), world()
    rights = given.get("rights")
    if not isinstance(rights, list):
        raise refused("'rights' has to be a list.", "rights")
    key = str(given.get("key", ""))[:255]
    try:
        with account.store.transaction():
            keys.give(account, key, [str(right)[:64] for right in rights])
    except ValueError as error:
        raise refused(str(error)) from error
    return _json({"key": key, "rights": sorted(keys.rights_of(account, key) or ())})


@pages.get("/_simulator/choices")
def choices() -> Response:
    return _json(world().behaviours.chosen())


@pages.post("/_simulator/choices")
def choose() -> Response:
    """Make choices: `{"dunning_end": "unpaid"}`; null takes one back."""
    account = world()
    try:
        with account.store.transaction():
            account.behaviours.choose(_object())
    except ValueError as error:
        raise refused(str(error)) from error
    return _json(account.behaviours.chosen())


def _number(name: str, value: str) -> float:
    try:
        return int(value) if name == "seed" else float(value)
    except ValueError as error:
        raise refused(f"'{name}' has to be a number.", name) from error


@pages.get("/_simulator/calls")
def calls() -> Response:
    """How many calls of each operation there were since the start, and how many met a limit."""
    return _json(dict(world().limiter.answered))


@pages.get("/_simulator/deliveries")
def deliveries() -> Response:
    """How many deliveries there are in each state."""
    rows = world().store.execute("SELECT state, count(*) AS number FROM deliveries GROUP BY state")
    states = dict.fromkeys(("waiting", "delivered", "lost", "given up"), 0)
    return _json(states | {found["state"]: found["number"] for found in rows})


@pages.post("/_simulator/deliveries")
def deliver_again() -> Response:
    """Deliver an event once more to whom it was delivered."""
    given, account = read_given(), world()
    event = str(given.get("event", ""))
    with account.store.transaction():
        rows = account.store.execute(
            "SELECT DISTINCT endpoint FROM deliveries WHERE event = ?", (event,)
        )
        if not rows:
            raise refused(f"No delivery of an event '{event}' is known.")
        for found in rows:
            deliver(account, event, found["endpoint"])
    return done({"event": event}, "It is delivered again.")


@pages.post("/_simulator/renewals")
def renew() -> Response:
    """Renew a `subscription`: the clock goes on to an hour after its period's end."""
    given, account = read_given(), world()
    found = account.must("subscription", str(given.get("subscription", "")))
    end = period_end(found)
    past = 0 if given.get("only_to_the_end") else HOUR
    account.clock.advance(max(0, end + past - account.now()))
    steps = engine.run_due(account)
    body = {**_clock(), "steps": steps}
    return done(body, f"The clock is at the end of that period; {steps} things happened.")


@pages.post("/_simulator/discounts")
def discount() -> Response:
    """Give a `customer` the discount of a `coupon`, as Stripe's dashboard can."""
    given, account = read_given(), world()
    with account.store.transaction():
        customer = account.must("customer", str(given.get("customer", "")))
        coupon = account.must("coupon", str(given.get("coupon", "")))
        made = discounts.give(account, customer, coupon["id"], account.now())
    return done(public(made), "The customer has the discount.")


@pages.post("/_simulator/cancellations")
def cancel() -> Response:
    given, account = read_given(), world()
    with account.store.transaction():
        found = account.must("subscription", str(given.get("subscription", "")))
        if found["status"] in billing.ENDED:
            raise refused(f"{found['id']} has ended already.")
        ended = billing.cancel(account, found, account.now())
    return done(public(ended), "The subscription is canceled.")


@pages.post("/_simulator/portal-settings")
def save_portal_settings() -> Response:
    """Save the default configuration of the portal, as a person does in Stripe's dashboard.

    With `forget` they are as on a new account: never saved.
    """
    given, account = read_given(), world()
    with account.store.transaction():
        if given.get("forget"):
            forget_settings(account.store)
            return done({}, "The portal's settings are forgotten.")
        saved = save_settings(account.store, account.now())
    return done(public(saved), "The portal's settings are saved.")


@pages.post("/_simulator/portals")
def portal() -> Response:
    given, account = read_given(), world()
    params = {"customer": str(given.get("customer", "")), "return_url": account.base_url}
    with account.store.transaction():
        made = create_portal_session(account, params)
    return redirect(made["url"], SEE_OTHER)


@pages.get("/_simulator/customers")
def customers() -> Response:
    """The customers that `q` finds, with their subscriptions: for scripts."""
    found = _found(request.args.get("q", "").strip())
    return _json(listing([public(one) for one in found], "/_simulator/customers"))


def show_violations(app: Flask, recorder: "Recorder") -> None:
    app.add_url_rule(
        "/_simulator/violations", "violations", lambda: _json(recorder.told()), methods=["GET"]
    )
