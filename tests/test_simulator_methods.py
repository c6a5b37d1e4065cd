"""What is no card at the simulator: bank debits, redirects, Link and PayPal, through the SDK.

Each test stands in a row of `simulator/README.md`, as those of `test_simulator_payments.py`.
"""

from typing import Any

import pytest
import requests
import stripe

from tests.simulator_parts import IBAN_SUCCEEDS, SUCCEEDS, Simulator, wait_until

US_SUCCEEDS, US_FAILS, US_UNVERIFIABLE = "000123456789", "000222222227", "000666666661"
US_DISPUTED = "000555555559"
ALWAYS_ASKS = "4000002760003184"


def _dollars(simulator: Simulator, **typed: str) -> Any:
    """A subscription of 5 dollars a month by ACH; returns the session."""
    product = simulator.client.v1.products.create(params={"name": "Reader"}).id
    recurring = {"interval": "month"}
    data = {"currency": "usd", "product": product, "unit_amount": 500, "recurring": recurring}
    session = simulator.checkout(mode="subscription", line_items=[{"price_data": data}])
    form = {"method": "us_bank_account", "account": US_SUCCEEDS, **typed}
    paid = simulator.pay(session.url, **form)
    assert paid.status_code == 303, paid.text
    return simulator.client.v1.checkout.sessions.retrieve(session.id)


def _intent(simulator: Simulator, session: Any) -> Any:
    invoice = simulator.client.v1.invoices.retrieve(
        session.invoice, params={"expand": ["payments.data.payment.payment_intent"]}
    )
    assert invoice.payments
    return invoice.payments.data[0].payment.payment_intent


def _asked(simulator: Simulator, card: str = SUCCEEDS, **typed: str) -> Any:
    """A subscription in euros whose payer is sent to confirm, and does; returns the session."""
    session = simulator.checkout(mode="subscription", line_items=[{"price": simulator.price()}])
    asked = simulator.pay(session.url, card, **typed)
    assert asked.headers["Location"] == f"/pay/{session.id}/bank"
    bank, confirms = f"{session.url}/bank", {"answer": "confirm"}
    done = requests.post(bank, data=confirms, allow_redirects=False, timeout=10)
    assert done.status_code == 303
    return simulator.client.v1.checkout.sessions.retrieve(session.id)


def _method(simulator: Simulator, session: Any) -> Any:
    named = simulator.subscription(session).default_payment_method
    return simulator.client.v1.payment_methods.retrieve(str(named))


def test_a_debit_that_begins_is_told(simulator: Simulator) -> None:
    session = simulator.subscribe(method="sepa_debit", iban=IBAN_SUCCEEDS)
    intent = _intent(simulator, session)
    assert intent.status == "processing"
    params: Any = {"type": "payment_intent.processing"}
    told: Any = simulator.client.v1.events.list(params).data
    assert intent.id in {event.data.object.id for event in told}


@pytest.mark.parametrize(("account", "ends"), [(US_SUCCEEDS, "active"), (US_FAILS, "past_due")])
def test_an_ach_debit_is_in_process_for_days(simulator: Simulator, account: str, ends: str) -> None:
    session = _dollars(simulator, account=account)
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    assert simulator.subscription(session).status == "active"
    method = _method(simulator, session)
    assert (method.type, method.us_bank_account.last4) == ("us_bank_account", account[-4:])
    simulator.advance(5)
    charge = simulator.charges(session)[0]
    assert simulator.subscription(session).status == ends
    failure = None if ends == "active" else "insufficient_funds"
    assert charge.failure_code == failure
    assert charge.payment_method_details.us_bank_account.last4 == account[-4:]


def test_an_ach_debit_can_be_disputed(simulator: Simulator) -> None:
    session = _dollars(simulator, account=US_DISPUTED)
    simulator.advance(5)
    assert simulator.charges(session)[0].disputed


def test_micro_deposits_leave_checkout_complete_and_the_subscription_incomplete(
    simulator: Simulator,
) -> None:
    session = _dollars(simulator, verification="microdeposits")
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    assert simulator.subscription(session).status == "incomplete"
    assert simulator.charges(session) == []
    intent = _intent(simulator, session)
    assert intent.status == "requires_action"
    page = intent.next_action.verify_with_microdeposits.hosted_verification_url
    assert "SM11AA" in requests.get(page, timeout=10).text
    simulator.advance(2)
    assert simulator.subscription(session).status == "incomplete"
    verify = simulator.client.v1.payment_intents.verify_microdeposits
    with pytest.raises(stripe.InvalidRequestError, match="do not match"):
        verify(intent.id, {"descriptor_code": "SM99ZZ"})
    assert verify(intent.id, {"amounts": [32, 45]}).status == "processing"
    assert simulator.subscription(session).status == "active"
    simulator.advance(5)
    done = simulator.client.v1.checkout.sessions.retrieve(session.id)
    assert done.payment_status == "paid"
    assert simulator.charges(session)[0].status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="has to wait for micro-deposits"):
        verify(intent.id, {"amounts": [32, 45]})


def test_micro_deposits_that_fail_end_in_nothing(simulator: Simulator) -> None:
    session = _dollars(simulator, verification="microdeposits", account=US_UNVERIFIABLE)
    page = _intent(simulator, session).next_action.verify_with_microdeposits
    answer = requests.post(page.hosted_verification_url, data={"code": "sm11aa"}, timeout=10)
    assert "could not be made" in answer.text
    intent = _intent(simulator, session)
    assert intent.last_payment_error.code == "payment_method_microdeposit_failed"
    assert "checkout.session.async_payment_failed" in simulator.types()
    simulator.advance(11)
    assert simulator.subscription(session).status == "incomplete_expired"


def test_what_was_never_verified_can_not_be_paid_any_more(simulator: Simulator) -> None:
    session = _dollars(simulator, verification="microdeposits")
    simulator.advance(11)
    assert simulator.client.v1.invoices.retrieve(session.invoice).status == "void"
    intent = _intent(simulator, session)
    assert (intent.status, intent.cancellation_reason) == ("canceled", "void_invoice")
    with pytest.raises(stripe.InvalidRequestError, match="that is canceled"):
        simulator.client.v1.payment_intents.verify_microdeposits(intent.id, {"amounts": [32, 45]})


@pytest.mark.parametrize(
    ("wait", "status"), [("23 hours", "incomplete_expired"), (None, "incomplete")]
)
def test_how_long_micro_deposits_are_waited_for_is_chosen(
    simulator: Simulator, wait: str | None, status: str
) -> None:
    simulator.control("choices", microdeposits_wait=wait)
    session = _dollars(simulator, verification="microdeposits")
    simulator.control("choices", microdeposits_wait=None)
    simulator.advance(2)
    assert simulator.subscription(session).status == status


@pytest.mark.parametrize("method", ["ideal", "bancontact"])
def test_a_payment_at_the_payers_bank_leaves_a_sepa_debit(
    simulator: Simulator, method: str
) -> None:
    session = _asked(simulator, method=method)
    assert session.payment_status == "paid"
    first = simulator.charges(session)[0]
    debit = _method(simulator, session)
    assert (debit.type, debit.customer) == ("sepa_debit", session.customer)
    assert debit.sepa_debit.generated_from.charge == first.id
    assert first.payment_method_details[method].generated_sepa_debit == debit.id
    simulator.control("renewals", subscription=session.subscription)
    assert simulator.subscription(session).status == "active"
    assert simulator.charges(session)[0].status == "pending"


@pytest.mark.parametrize(("account", "ends"), [("paypal", "active"), ("paypal-asks", "past_due")])
def test_paypal_and_link_have_no_card_and_may_ask_again(
    simulator: Simulator, account: str, ends: str
) -> None:
    linked = simulator.subscribe(method="link")
    link = _method(simulator, linked)
    assert (link.type, link.link.email, "card" in link) == ("link", "reader@example.org", False)
    session = _asked(simulator, method="paypal", account=account)
    method = _method(simulator, session)
    assert (method.type, "card" in method) == ("paypal", False)
    simulator.control("renewals", subscription=session.subscription)
    renewed = simulator.subscription(session)
    assert renewed.status == ends
    requests.post(f"{simulator.url}/invoice/{renewed.latest_invoice}", timeout=10)
    assert simulator.subscription(session).status == "active"
    charge = simulator.charges(session)[0]
    assert (charge.status, charge.payment_method_details.type) == ("succeeded", "paypal")


def test_a_session_offers_only_what_its_currency_knows(simulator: Simulator) -> None:
    session = simulator.checkout(mode="subscription", line_items=[{"price": simulator.price()}])
    refused = simulator.pay(session.url, method="us_bank_account", account=US_SUCCEEDS)
    assert (refused.status_code, "Choose another payment method" in refused.text) == (422, True)
    unknown = simulator.pay(session.url, method="paypal", account="nobody")
    assert "Use one of the test accounts: paypal" in unknown.text


def test_a_renewal_that_the_bank_asks_about_waits_for_the_payer(simulator: Simulator) -> None:
    session = _asked(simulator, ALWAYS_ASKS)
    simulator.control("renewals", subscription=session.subscription)
    renewed = simulator.subscription(session)
    assert renewed.status == "past_due"
    invoice = str(renewed.latest_invoice)
    told = "invoice.payment_action_required"
    wait_until(lambda: simulator.receiver.events(told, invoice))
    open_invoice: Any = simulator.client.v1.invoices.retrieve(
        invoice, params={"expand": ["payments.data.payment.payment_intent"]}
    )
    intent = open_invoice.payments.data[0].payment.payment_intent
    assert intent.status == "requires_action"
    page = intent.next_action.redirect_to_url.url
    assert page == open_invoice.hosted_invoice_url
    refused = requests.post(page, data={"answer": "refuse"}, timeout=10)
    assert "unable to authenticate" in refused.text
    assert simulator.client.v1.invoices.retrieve(invoice).status == "open"
    assert requests.post(page, timeout=10).ok
    assert simulator.subscription(session).status == "active"


def test_an_invoice_whose_debit_is_in_process_is_not_paid_twice(simulator: Simulator) -> None:
    session = simulator.subscribe(method="sepa_debit", iban=IBAN_SUCCEEDS)
    page = f"{simulator.url}/invoice/{session.invoice}"
    assert "is processing" in requests.post(page, timeout=10).text
    with pytest.raises(stripe.InvalidRequestError, match="is processing"):
        simulator.client.v1.invoices.pay(session.invoice)
    assert len(simulator.charges(session)) == 1


def test_an_old_charge_has_no_payment_intent(simulator: Simulator) -> None:
    session = simulator.subscribe()
    simulator.control("old-charges", invoice=session.invoice)
    expand: Any = {"expand": ["payments.data.payment.charge"]}
    invoice: Any = simulator.client.v1.invoices.retrieve(session.invoice, expand)
    payment = invoice.payments.data[0].payment
    assert (payment.type, payment.charge.payment_intent) == ("charge", None)
    params: Any = {"charge": payment.charge.id}
    made = simulator.client.v1.refunds.create(params)
    assert (made.charge, made.payment_intent) == (payment.charge.id, None)
    (charge,) = simulator.charges(session)
    assert (charge.refunded, charge.refunds.data[0].id) == (True, made.id)
    renewed = simulator.subscribe()
    simulator.control("old-charges", invoice=renewed.invoice)
    simulator.control("renewals", subscription=renewed.subscription)
    new, old = simulator.charges(renewed)
    assert (bool(new.payment_intent), old.payment_intent) == (True, None)
    dispute = simulator.control("disputes", charge=old.id)
    assert simulator.client.v1.disputes.retrieve(dispute["id"]).payment_intent is None


def test_a_bank_gives_a_card_another_expiry(simulator: Simulator) -> None:
    session = simulator.subscribe()
    method = simulator.subscription(session).default_payment_method
    simulator.control("card-updates", payment_method=method, exp_year=2071, last4="1111")
    card = simulator.client.v1.payment_methods.retrieve(str(method)).card
    assert card
    assert (card.exp_year, card.last4) == (2071, "1111")
    told = "payment_method.automatically_updated"
    wait_until(lambda: simulator.receiver.events(told, str(method)))
