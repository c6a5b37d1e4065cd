"""The hosted billing portal and the page of one invoice: cancel, resume, change the card, pay."""

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from simulator.core import billing, checkout, methods, payments
from simulator.core.accounts import ACCOUNTS, LABELS
from simulator.core.cards import CARDS, NOT_A_TEST_CARD, NOT_AUTHENTICATED
from simulator.core.shapes import Object
from simulator.pages import show
from simulator.pages.card_form import FIELDS, Mistakes, read
from simulator.pages.checkout import NOT_FOUND, PAYMENT_REQUIRED, SEE_OTHER, WRONG, closed, world

pages = Blueprint("portal", __name__)
LIVES_FOR = 3600


def _session(session_id: str) -> Object | None:
    """The portal session while its link lives; such links are short-lived on purpose."""
    found = world().store.get(session_id)
    if found is None or found["object"] != "billing_portal.session":
        return None
    return found if world().now() - found["created"] < LIVES_FOR else None


def _allows(session: Object, feature: str) -> bool:
    """Whether the session's configuration lets its customer do this."""
    configuration = world().store.one(session["configuration"])
    return bool(configuration["features"][feature]["enabled"])


def _allowed(customer: Object) -> list[str]:
    """The methods that go with a currency of the customer's; Link and PayPal are for Checkout."""
    found = world().store.find("subscription", where={"customer": customer["id"]})
    currencies = {one["currency"] for one in found}
    return [
        *("card", *(["sepa_debit"] if "eur" in currencies else [])),
        *(["us_bank_account"] if "usd" in currencies else []),
    ]


@pages.get("/portal/<session_id>")
def portal(session_id: str) -> Response:
    session = _session(session_id)
    return _portal(session) if session else closed("unknown", NOT_FOUND)


def _portal(session: Object, *, status: int = 200, **said: Any) -> Response:  # noqa: ANN401 - what the page says
    account = world()
    customer = account.store.get(session["customer"])
    if customer is None:
        return closed("unknown", NOT_FOUND)
    subscriptions = account.store.find("subscription", where={"customer": customer["id"]})
    products = {
        one["id"]: account.store.one(one["items"]["data"][0]["price"]["product"])["name"]
        for one in subscriptions
    }
    allowed = _allowed(customer)
    page = render_template(
        "portal.html",
        session=session,
        features=account.store.one(session["configuration"])["features"],
        customer=customer,
        subscriptions=subscriptions,
        products=products,
        methods={
            one["id"]: show.method_words(billing.method_for(account, one)) for one in subscriptions
        },
        invoices=account.store.find("invoice", where={"customer": customer["id"]}, limit=24),
        show=show,
        countries=show.countries(),
        cards=list(CARDS.values()),
        accounts=[one for one in ACCOUNTS.values() if one.type in allowed],
        allowed=allowed,
        labels=LABELS,
        **{"mistakes": {}, "typed": dict.fromkeys((*FIELDS, "method"), ""), **said},
    )
    return Response(page, status=status, mimetype="text/html")


@pages.post("/portal/<session_id>/subscriptions/<subscription_id>")
def change(session_id: str, subscription_id: str) -> Response:
    """Cancel at the period's end, or take that back."""
    session, account = _session(session_id), world()
    if session is None or not _allows(session, "subscription_cancel"):
        return closed("unknown", NOT_FOUND)
    with account.store.transaction():
        found = account.store.get(subscription_id)
        if found is None or found.get("customer") != session["customer"]:
            return closed("unknown", NOT_FOUND)
        if found["status"] not in billing.ENDED:
            stops = request.form.get("action") == "cancel"
            billing.schedule_end(account, found, stops=stops, at=account.now())
    return redirect(_after(session), SEE_OTHER)


def _after(session: Object) -> str:
    """Where a finished flow leads: back to the page it was opened from, if it was one flow."""
    after = (session["flow"] or {}).get("after_completion", {})
    if after.get("type") == "redirect":
        return str(after["redirect"]["return_url"])
    return url_for("portal.portal", session_id=session["id"])


@pages.post("/portal/<session_id>/payment-method")
def change_method(session_id: str) -> Response:
    session, account = _session(session_id), world()
    if session is None or not _allows(session, "payment_method_update"):
        return closed("unknown", NOT_FOUND)
    typed = {name: request.form.get(name, "") for name in (*FIELDS, "method", "fill")}
    with account.store.transaction():
        customer = account.store.one(session["customer"])
        typed["email"] = customer["email"] or "nobody@example.org"
        if typed["fill"]:
            return _portal(session, typed=checkout.filled(typed), editing=True)
        try:
            allowed = _allowed(customer)
            payer = read(typed, account.now(), allowed=allowed, only_saves=True)
        except Mistakes as wrong:
            return _portal(session, typed=typed, mistakes=wrong.fields, editing=True, status=WRONG)
        decline = _attaches(payer)
        if decline:
            said = {"refusal": decline, "typed": typed, "editing": True}
            return _portal(session, status=PAYMENT_REQUIRED, **said)
        at = account.now()
        method = methods.save(account, checkout.method_of(payer, None, at), customer["id"], at)
        methods.change(account, customer, method, at)
    return redirect(_after(session), SEE_OTHER)


def _attaches(payer: checkout.Payer) -> str | None:
    """Why the bank does not let this card be saved, if it does not."""
    if payer.method != "card":
        return None
    card = CARDS.get(payer.number)
    if card is None:
        return NOT_A_TEST_CARD.message
    return card.decline.message if card.decline else None


@pages.get("/invoice/<invoice_id>")
def invoice(invoice_id: str) -> Response:
    found = world().store.get(invoice_id)
    return _invoice(found)


def _invoice(found: Object | None, refusal: str | None = None) -> Response:
    if found is None or found["object"] != "invoice":
        return closed("unknown", NOT_FOUND)
    account = world()
    method = billing.method_for(account, billing.subscription_of(account, found))
    page = render_template(
        "invoice.html",
        invoice=found,
        intent=billing.intent_for(account, found) or {},
        method=show.method_words(method),
        show=show,
        refusal=refusal,
    )
    return Response(page, status=PAYMENT_REQUIRED if refusal else 200, mimetype="text/html")


@pages.post("/invoice/<invoice_id>")
def pay_invoice(invoice_id: str) -> Response:
    """The payer is there, and passes 3-D Secure if the bank asks, unless the `answer` is refuse."""
    account = world()
    with account.store.transaction():
        found = account.store.get(invoice_id)
        if found is None or found["object"] != "invoice" or found["status"] != "open":
            return _invoice(found)
        method = billing.method_for(account, billing.subscription_of(account, found))
        if (billing.intent_for(account, found) or {}).get("status") == "processing":
            return _invoice(found)
        outcome = payments.judge(method, confirmed=True)
        if request.form.get("answer") == "refuse":
            outcome = payments.Outcome("failed", NOT_AUTHENTICATED)
        paid = billing.pay(account, found, method, outcome, account.now())
        return _invoice(paid, outcome.decline.message if outcome.decline else None)
