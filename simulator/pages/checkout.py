"""The hosted Checkout page: pay, be declined, confirm at the bank, go back."""

from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request
from werkzeug.wrappers import Response

from simulator.core import checkout, checkout_sums, microdeposits
from simulator.core.accounts import ACCOUNTS, LABELS
from simulator.core.cards import CARDS
from simulator.core.errors import StripeError
from simulator.core.shapes import Object
from simulator.core.world import World
from simulator.pages import show
from simulator.pages.card_form import FIELDS, Mistakes, read

pages = Blueprint("checkout", __name__)
LONGEST_CODE = 100
GONE, NOT_FOUND, WRONG, PAYMENT_REQUIRED, SEE_OTHER = 410, 404, 422, 402, 303


def world() -> World:
    found: World = current_app.extensions["world"]
    return found


@pages.app_template_global()
def money(amount: int, currency: str) -> str:
    return show.money(amount, currency)


@pages.get("/pay/<session_id>")
def form(session_id: str) -> Response:
    session = _open(session_id)
    if isinstance(session, Response):
        return session
    return _form(session, {"email": session["customer_email"] or ""})


@pages.post("/pay/<session_id>")
def pay(session_id: str) -> Response:
    """Pay, once: a second click meets a session that is complete and goes on to the same place."""
    account, typed = world(), dict(request.form)
    with account.store.transaction():
        session = _open(session_id, paid_goes_on=True)
        if isinstance(session, Response):
            return session
        if "fill" in typed:
            return _form(session, checkout.filled(typed))
        try:
            allowed = session["payment_method_types"]
            saves = session["mode"] == "setup"
            known = _known(session, typed)
            payer = read(known, account.now(), allowed=allowed, only_saves=saves)
            done = checkout.pay(account, session, payer)
        except Mistakes as mistakes:
            return _form(session, typed, mistakes=mistakes.fields, status=WRONG)
        except checkout.Declined as declined:
            return _form(session, typed, refusal=str(declined), status=PAYMENT_REQUIRED)
        except checkout.AsksTheBank:
            return redirect(f"/pay/{session_id}/bank", SEE_OTHER)
    return redirect(success(done), SEE_OTHER)


@pages.post("/pay/<session_id>/code")
def apply_code(session_id: str) -> Response:
    """Take a promotion code off what is to be paid."""
    account = world()
    with account.store.transaction():
        session = _open(session_id)
        if isinstance(session, Response):
            return session
        typed = {"promotionCode": request.form.get("promotionCode", "")}
        code = typed["promotionCode"][:LONGEST_CODE]
        try:
            found = checkout_sums.apply_code(account, session, code, account.now())
        except StripeError:
            found = None
        if found is None:
            wrong = {"promotionCode": "This code is invalid."}
            return _form(session, typed, mistakes=wrong, status=WRONG)
        account.store.put(found)
    return redirect(f"/pay/{session_id}", SEE_OTHER)


@pages.get("/pay/<session_id>/bank")
def bank(session_id: str) -> Response:
    session = _open(session_id)
    if isinstance(session, Response):
        return session
    if not session.get("_pending"):
        return redirect(f"/pay/{session_id}", SEE_OTHER)
    return _page("bank.html", session=session)


@pages.post("/pay/<session_id>/bank")
def confirm(session_id: str) -> Response:
    account = world()
    with account.store.transaction():
        session = _open(session_id, paid_goes_on=True)
        if isinstance(session, Response):
            return session
        pending = session.get("_pending")
        if not pending:
            return redirect(f"/pay/{session_id}", SEE_OTHER)
        try:
            confirms = request.form.get("answer") == "confirm"
            done = checkout.confirm_at_bank(account, session, confirms=confirms)
        except checkout.Declined as declined:
            return _form(session, _typed(pending), refusal=str(declined), status=PAYMENT_REQUIRED)
    return redirect(success(done), SEE_OTHER)


@pages.get("/verify/<intent_id>")
def verification(intent_id: str) -> Response:
    """The page on which the payer tells which code arrived at the bank."""
    return _verification(intent_id)


@pages.post("/verify/<intent_id>")
def verify(intent_id: str) -> Response:
    account, code = world(), request.form.get("code", "").strip().upper()
    with account.store.transaction():
        found = account.store.get(intent_id)
        if found is None or found["object"] != "payment_intent":
            return closed("unknown", NOT_FOUND)
        try:
            microdeposits.verify_by(account, found, code=code, amounts=None, at=account.now())
        except StripeError as refusal:
            return _verification(intent_id, refusal.message, WRONG)
    return _verification(intent_id)


def _verification(intent_id: str, refusal: str | None = None, status: int = 200) -> Response:
    found = world().store.get(intent_id)
    if found is None or found["object"] != "payment_intent":
        return closed("unknown", NOT_FOUND)
    return _page("verify.html", status, intent=found, refusal=refusal, code=microdeposits.CODE)


def success(session: Object) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _known(session: Object, typed: dict[str, str]) -> dict[str, str]:
    """What was typed, with the address that the session already knows and does not ask for."""
    customer = world().named(session, "customer")
    known = session["customer_email"] or (customer["email"] if customer else None)
    return {**typed, "email": known} if known else typed


def _typed(payer: Object) -> dict[str, str]:
    return {
        "email": payer["email"],
        "billingName": payer["name"],
        "billingCountry": payer["country"],
        "method": payer["method"],
        "account": payer["number"] if payer["method"] in ACCOUNTS else "",
    }


def closed(why: str, status: int) -> Response:
    """A page that only says why there is nothing here."""
    return _page("closed.html", status, why=why, session=None)


def _open(session_id: str, *, paid_goes_on: bool = False) -> Object | Response:
    """The session while it can be paid, else what is shown instead."""
    session = world().store.get(session_id)
    if session is None or session["object"] != "checkout.session":
        return closed("unknown", NOT_FOUND)
    if session["status"] == "complete" and paid_goes_on:
        return redirect(success(session), SEE_OTHER)
    if session["status"] == "complete":
        return _page("closed.html", why="complete", session=session, onward=success(session))
    if session["status"] == "expired" or session["expires_at"] <= world().now():
        return _page("closed.html", GONE, why="expired", session=session)
    return session


def _form(
    session: Object,
    typed: dict[str, str],
    *,
    mistakes: dict[str, str] | None = None,
    refusal: str | None = None,
    status: int = 200,
) -> Response:
    customer = world().named(session, "customer")
    items = session["_items"]
    return _page(
        "pay.html",
        status,
        session=session,
        items=items,
        interval=show.interval(items[0]["price"]) if items else "",
        interval_of=show.interval,
        known_email=session["customer_email"] or (customer["email"] if customer else None),
        typed={name: typed.get(name, "") for name in (*FIELDS, "method", "promotionCode")},
        mistakes=mistakes or {},
        refusal=refusal,
        countries=show.countries(),
        cards=list(CARDS.values()),
        accounts=[one for one in ACCOUNTS.values() if one.type in session["payment_method_types"]],
        labels=LABELS,
    )


def _page(template: str, status: int = 200, **names: Any) -> Response:  # noqa: ANN401 - what the page shows
    return Response(render_template(template, **names), status=status, mimetype="text/html")
