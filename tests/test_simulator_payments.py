"""Methods of payment, the portal, refunds and disputes at the simulator, through the official SDK.

Each test stands in a row of `simulator/README.md` with the behaviour that it shows, and fails when
that is switched off.
"""

from typing import Any

import pytest
import requests
import stripe

from tests.simulator_parts import CHARGES_FAIL, DECLINED, SUCCEEDS, Simulator


def test_a_card_changed_in_the_portal_is_not_the_one_that_is_charged(simulator: Simulator) -> None:
    session = simulator.subscribe()
    before = simulator.subscription(session).default_payment_method
    assert before
    simulator.change_card(session, CHARGES_FAIL)
    assert {"payment_method.attached", "customer.updated"} <= set(simulator.types())
    expand: Any = {"expand": ["invoice_settings.default_payment_method"]}
    customer: Any = simulator.client.v1.customers.retrieve(session.customer, expand)
    assert customer.invoice_settings.default_payment_method.card.last4 == "0341"
    assert simulator.subscription(session).default_payment_method == before
    simulator.control("renewals", subscription=session.subscription)
    assert [charge.status for charge in simulator.charges(session)] == ["succeeded"] * 2


def test_a_subscription_without_a_card_of_its_own_is_charged_on_the_customers(
    simulator: Simulator,
) -> None:
    session = simulator.subscribe()
    simulator.replace_card(session, CHARGES_FAIL)
    assert simulator.subscription(session).default_payment_method is None
    simulator.control("renewals", subscription=session.subscription)
    assert simulator.subscription(session).status == "past_due"
    invoice = str(simulator.subscription(session).latest_invoice)
    simulator.change_card(session, SUCCEEDS)
    assert simulator.client.v1.invoices.retrieve(invoice).status == "open"
    assert simulator.client.v1.invoices.pay(invoice).status == "paid"


def test_a_card_saved_in_a_setup_session_is_attached_and_charged_for_nothing(
    simulator: Simulator,
) -> None:
    session = simulator.subscribe()
    own = simulator.subscription(session).default_payment_method
    page = simulator.checkout(mode="setup", customer=session.customer, currency="eur")
    assert simulator.pay(page.url, CHARGES_FAIL).status_code == 303
    done: Any = simulator.client.v1.checkout.sessions.retrieve(
        page.id, params={"expand": ["setup_intent.payment_method"]}
    )
    assert done.setup_intent.payment_method.customer == session.customer
    customer: Any = simulator.client.v1.customers.retrieve(session.customer)
    assert customer.invoice_settings.default_payment_method is None
    assert simulator.subscription(session).default_payment_method == own


def test_a_payment_method_is_attached_named_and_detached(simulator: Simulator) -> None:
    session = simulator.subscribe()
    api, subscription = simulator.client.v1, str(session.subscription)
    other = api.customers.create(params={"email": "other@example.org"})
    foreign = api.payment_methods.attach("pm_card_visa", {"customer": other.id})
    params: Any = {"default_payment_method": foreign.id}
    with pytest.raises(stripe.InvalidRequestError, match="must be attached to the customer"):
        api.subscriptions.update(subscription, params)
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        api.payment_methods.attach(foreign.id, {"customer": session.customer})
    with pytest.raises(stripe.CardError):
        api.payment_methods.attach("pm_card_chargeDeclined", {"customer": session.customer})
    own = api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": session.customer})
    api.subscriptions.update(subscription, {"default_payment_method": own.id})
    default: Any = {"invoice_settings": {"default_payment_method": own.id}}
    api.customers.update(session.customer, default)
    assert api.payment_methods.detach(own.id).customer is None
    assert simulator.subscription(session).default_payment_method is None
    customer: Any = api.customers.retrieve(session.customer)
    assert customer.invoice_settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError, match="not attached"):
        api.payment_methods.detach(own.id)


def test_a_card_is_made_by_its_number_or_not_at_all(simulator: Simulator) -> None:
    card: Any = {"number": SUCCEEDS, "exp_month": 12, "exp_year": 2060}
    params: Any = {"type": "card", "card": card, "billing_details": {"name": "Olena"}}
    made = simulator.client.v1.payment_methods.create(params=params)
    assert made.card
    assert (made.card.last4, made.billing_details.name) == ("4242", "Olena")
    card["number"] = "4111111111111111"
    with pytest.raises(stripe.CardError, match="non test card"):
        simulator.client.v1.payment_methods.create(params=params)


def test_a_customer_is_made_with_a_card(simulator: Simulator) -> None:
    settings: Any = {"default_payment_method": "pm_card_visa"}
    params: Any = {"payment_method": "pm_card_visa", "invoice_settings": settings}
    made = simulator.client.v1.customers.create(params=params)
    assert made.invoice_settings
    default = simulator.client.v1.payment_methods.retrieve(
        str(made.invoice_settings.default_payment_method)
    )
    assert default.customer == made.id


def test_the_portal_is_refused_until_somebody_configured_it(simulator: Simulator) -> None:
    session, sessions = simulator.subscribe(), simulator.client.v1.billing_portal.sessions
    simulator.control("portal-settings", forget=True)
    params: Any = {"customer": session.customer}
    with pytest.raises(stripe.InvalidRequestError, match="until you save your customer portal"):
        sessions.create(params)
    features: Any = {"payment_method_update": {"enabled": True}}
    made = simulator.client.v1.billing_portal.configurations.create({"features": features})
    assert (made.active, made.is_default) == (True, False)
    with pytest.raises(stripe.InvalidRequestError, match="until you save your customer portal"):
        sessions.create(params)
    named: Any = {"customer": session.customer, "configuration": made.id}
    assert sessions.create(named).configuration == made.id
    saved = simulator.control("portal-settings")
    assert sessions.create(params).configuration == saved["id"]
    listed: Any = {"is_default": True}
    found = simulator.client.v1.billing_portal.configurations.list(listed).data
    assert [one.id for one in found] == [saved["id"]]


def test_the_portal_offers_what_its_configuration_allows(simulator: Simulator) -> None:
    session, portal = simulator.subscribe(), simulator.client.v1.billing_portal
    features: Any = {"subscription_cancel": {"enabled": True}}
    made = portal.configurations.create({"features": features, "metadata": {"ours": "yes"}})
    flow: Any = {"type": "payment_method_update"}
    params: Any = {"customer": session.customer, "configuration": made.id, "flow_data": flow}
    with pytest.raises(stripe.InvalidRequestError, match="not enabled"):
        portal.sessions.create(params)
    page = portal.sessions.create({"customer": session.customer, "configuration": made.id}).url
    assert "Change the payment method" not in requests.get(page, timeout=10).text
    assert simulator.pay(f"{page}/payment-method").status_code == 404
    allowed: Any = {"payment_method_update": {"enabled": True}}
    changed = portal.configurations.update(made.id, {"features": allowed})
    assert changed.features.subscription_cancel.enabled
    flow["after_completion"] = {"type": "redirect", "redirect": {"return_url": "http://a.example/"}}
    opened = portal.sessions.create(params)
    assert opened.flow
    assert opened.flow.type == "payment_method_update"
    assert simulator.pay(f"{opened.url}/payment-method", DECLINED).status_code == 402
    done = simulator.pay(f"{opened.url}/payment-method")
    assert done.headers["Location"] == "http://a.example/"
    portal.configurations.update(made.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="not active"):
        portal.sessions.create(params)


def _listed(service: Any, customer: str) -> int | str | None:
    """How many the list has of the customer, or the code of its refusal."""
    status = {"status": "all"} if "Subscription" in type(service).__name__ else {}
    try:
        return len(service.list({"customer": customer, **status}).data)
    except stripe.InvalidRequestError as refusal:
        said = f"No such customer: '{customer}'"
        return refusal.code if refusal.user_message == said else refusal.user_message


@pytest.mark.parametrize("chosen", ["known", "400", "empty", "as before"])
def test_a_deleted_customers_lists_answer_as_was_chosen(simulator: Simulator, chosen: str) -> None:
    customer = str(simulator.subscribe().customer)
    api = simulator.client.v1
    api.customers.delete(customer)
    gone: Any = api.customers.retrieve(customer)
    assert gone.deleted
    simulator.control("choices", deleted_customer_lists=chosen)
    lists: dict[str, Any] = {
        "payment_methods": api.payment_methods,
        "subscriptions": api.subscriptions,
        "invoices": api.invoices,
        "charges": api.charges,
    }
    answers = {name: _listed(service, customer) for name, service in lists.items()}
    simulator.control("choices", deleted_customer_lists=None)
    missing = "resource_missing"
    assert (
        answers
        == {
            "known": dict.fromkeys(lists, 1) | {"payment_methods": missing},
            "400": dict.fromkeys(lists, missing),
            "empty": dict.fromkeys(lists, 0),
            "as before": dict.fromkeys(lists, 1),
        }[chosen]
    )
