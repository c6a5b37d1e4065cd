"""What the simulator sells and collects: the official SDK over HTTP, pages by form posts."""

import threading
from typing import Any

import pytest
import requests
import stripe

from tests.simulator_parts import (
    ASKS_ONCE,
    ASKS_THEN_DECLINES,
    CHARGES_FAIL,
    DAY,
    DECLINED,
    IBAN_FAILS,
    IBAN_SUCCEEDS,
    SUCCEEDS,
    Simulator,
    wait_until,
)


def test_a_card_buys_a_subscription_in_checkout(simulator: Simulator) -> None:
    session = simulator.checkout(
        mode="subscription",
        line_items=[{"price": simulator.price(), "quantity": 1}],
        client_reference_id="7",
        metadata={"fundraiser_checkout": "7"},
        subscription_data={"metadata": {"fundraiser_checkout": "7"}},
    )
    assert "€5.00" in requests.get(session.url, timeout=10).text
    paid = simulator.pay(session.url, "4242 4242 4242 4242")
    assert paid.status_code == 303
    assert paid.headers["Location"] == f"http://news.example/thanks?session={session.id}"
    expand = ["subscription.latest_invoice.payments", "customer"]
    done: Any = simulator.client.v1.checkout.sessions.retrieve(
        session.id, params={"expand": expand}
    )
    assert (done.status, done.payment_status) == ("complete", "paid")
    assert done.customer.email == "reader@example.org"
    subscription = done.subscription
    assert (subscription.status, subscription.metadata["fundraiser_checkout"]) == ("active", "7")
    assert subscription["items"].data[0].current_period_end > subscription.created + 27 * DAY
    invoice = subscription.latest_invoice
    assert invoice.parent.subscription_details.subscription == subscription.id
    intent = simulator.client.v1.payment_intents.retrieve(
        invoice.payments.data[0].payment.payment_intent
    )
    charge = simulator.client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.amount, charge.status, charge.payment_intent) == (500, "succeeded", intent.id)


def test_paying_twice_makes_one_subscription(simulator: Simulator) -> None:
    session = simulator.checkout(mode="subscription", line_items=[{"price": simulator.price()}])
    answers: list[requests.Response] = []
    clicks = [
        threading.Thread(target=lambda: answers.append(simulator.pay(session.url)))
        for _ in range(4)
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert {answer.headers["Location"] for answer in answers} == {
        f"http://news.example/thanks?session={session.id}"
    }
    done = simulator.client.v1.checkout.sessions.retrieve(session.id)
    params: Any = {"customer": done.customer, "status": "all"}
    assert len(simulator.client.v1.subscriptions.list(params=params).data) == 1
    assert "all done" in requests.get(session.url, timeout=10).text


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        (DECLINED, "Your card was declined."),
        ("4000000000009995", "insufficient funds"),
        ("4000000000000069", "Your card has expired."),
        ("4000000000000127", "security code is incorrect"),
        ("4000000000000119", "An error occurred while processing"),
        (CHARGES_FAIL, "Your card was declined."),
    ],
)
def test_a_declined_card_buys_nothing_and_what_was_typed_stays(
    simulator: Simulator, card: str, sentence: str
) -> None:
    session = simulator.checkout(mode="subscription", line_items=[{"price": simulator.price()}])
    declined = simulator.pay(session.url, card, billingName="Somebody Else")
    assert declined.status_code == 402
    page = declined.text.replace("&#39;", "'")
    assert sentence in page
    assert "Somebody Else" in page
    assert simulator.client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert simulator.pay(session.url).status_code == 303


def test_3d_secure_confirmed_pays_and_refused_does_not(simulator: Simulator) -> None:
    session = simulator.checkout(mode="subscription", line_items=[{"price": simulator.price()}])
    asked = simulator.pay(session.url, ASKS_ONCE)
    bank = f"{session.url}/bank"
    assert simulator.url + asked.headers["Location"] == bank
    refused = requests.post(bank, data={"answer": "refuse"}, timeout=10)
    assert refused.status_code == 402
    assert "We are unable to authenticate your payment method." in refused.text
    simulator.pay(session.url, ASKS_THEN_DECLINES)
    declined = requests.post(bank, data={"answer": "confirm"}, timeout=10)
    assert (declined.status_code, "was declined" in declined.text) == (402, True)
    simulator.pay(session.url, ASKS_ONCE)
    paid = requests.post(bank, data={"answer": "confirm"}, allow_redirects=False, timeout=10)
    assert paid.status_code == 303
    assert simulator.client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.parametrize(("iban", "ends"), [(IBAN_SUCCEEDS, "active"), (IBAN_FAILS, "past_due")])
def test_a_direct_debit_is_in_process_until_it_settles_or_fails(
    simulator: Simulator, iban: str, ends: str
) -> None:
    session = simulator.subscribe(method="sepa_debit", iban=iban)
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    subscription = simulator.subscription(session)
    assert subscription.status == "active"
    invoice = simulator.client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert invoice.status == "open"
    assert simulator.charges(session)[0].status == "pending"
    simulator.advance(4)
    assert simulator.subscription(session).status == ends
    settled = ends == "active"
    invoice = simulator.client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert invoice.status == ("paid" if settled else "open")
    assert simulator.charges(session)[0].status == ("succeeded" if settled else "failed")
    how = "succeeded" if settled else "failed"
    assert f"checkout.session.async_payment_{how}" in simulator.types()


def test_a_debit_can_be_settled_by_hand(simulator: Simulator) -> None:
    session = simulator.subscribe(method="sepa_debit", iban=IBAN_FAILS)
    intent = simulator.charges(session)[0].payment_intent
    simulator.control("debits", payment_intent=intent, outcome="succeeds")
    assert simulator.charges(session)[0].status == "succeeded"


def test_a_contribution_is_paid_once_with_an_amount_of_its_own(simulator: Simulator) -> None:
    product = simulator.client.v1.products.create(params={"name": "Contribution"})
    data = {"currency": "gbp", "product": product.id, "unit_amount": 1234}
    session = simulator.checkout(
        mode="payment",
        line_items=[{"price_data": data, "quantity": 1}],
        customer_creation="always",
        customer_email="giver@example.org",
        submit_type="donate",
        payment_intent_data={"metadata": {"fundraiser_checkout": "9"}},
    )
    assert simulator.pay(session.url, email="ignored@example.org").status_code == 303
    expand = ["payment_intent.latest_charge", "customer", "line_items"]
    done: Any = simulator.client.v1.checkout.sessions.retrieve(
        session.id, params={"expand": expand}
    )
    assert done.customer.email == "giver@example.org"
    charge = done.payment_intent.latest_charge
    assert (charge.amount, charge.currency) == (1234, "gbp")
    assert charge.metadata["fundraiser_checkout"] == "9"
    assert done.line_items.data[0].price.unit_amount == 1234


def test_an_amount_of_the_readers_own_renews(simulator: Simulator) -> None:
    product = simulator.client.v1.products.create(params={"name": "Member"})
    recurring = {"interval": "month"}
    data = {"currency": "eur", "product": product.id, "unit_amount": 777, "recurring": recurring}
    session = simulator.checkout(mode="subscription", line_items=[{"price_data": data}])
    simulator.pay(session.url)
    done = simulator.client.v1.checkout.sessions.retrieve(session.id)
    simulator.control("renewals", subscription=done.subscription)
    assert [charge.amount for charge in simulator.charges(done)] == [777, 777]


def test_a_renewal_is_a_draft_first_and_paid_an_hour_later(simulator: Simulator) -> None:
    session = simulator.subscribe()
    before = simulator.subscription(session)
    end = before["items"].data[0].current_period_end
    simulator.control("renewals", subscription=before.id, only_to_the_end=True)
    after: Any = simulator.client.v1.subscriptions.retrieve(
        before.id, params={"expand": ["latest_invoice"]}
    )
    assert after["items"].data[0].current_period_start == end
    assert (after.status, after.latest_invoice.status) == ("active", "draft")
    simulator.control("clock", advance_seconds=3600)
    assert simulator.client.v1.invoices.retrieve(after.latest_invoice.id).status == "paid"
    assert len(simulator.charges(session)) == 2
    told = wait_until(
        lambda: simulator.receiver.events("customer.subscription.updated", before.id)
    )[0]
    assert "items" in told["data"]["previous_attributes"]


def test_failing_renewals_are_tried_for_two_weeks_and_end_the_subscription(
    simulator: Simulator,
) -> None:
    session = simulator.subscribe()
    simulator.replace_card(session, CHARGES_FAIL)
    subscription = str(session.subscription)
    simulator.control("renewals", subscription=subscription)
    assert simulator.subscription(session).status == "past_due"
    simulator.advance(13)
    assert simulator.subscription(session).status == "past_due"
    simulator.advance(2)
    ended = simulator.subscription(session)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    failed = [charge for charge in simulator.charges(session) if charge.status == "failed"]
    assert len(failed) == 9


def test_a_bank_that_always_asks_is_asked_again_at_a_renewal(simulator: Simulator) -> None:
    session = simulator.checkout(mode="subscription", line_items=[{"price": simulator.price()}])
    simulator.pay(session.url, "4000002760003184")
    requests.post(
        f"{session.url}/bank", data={"answer": "confirm"}, allow_redirects=False, timeout=10
    )
    session = simulator.client.v1.checkout.sessions.retrieve(session.id)
    simulator.control("renewals", subscription=session.subscription)
    renewed = simulator.subscription(session)
    assert renewed.status == "past_due"
    wait_until(
        lambda: simulator.receiver.events(
            "invoice.payment_action_required", str(renewed.latest_invoice)
        )
    )
    requests.post(f"{simulator.url}/invoice/{renewed.latest_invoice}", timeout=10)
    assert simulator.subscription(session).status == "active"


def test_a_card_can_be_saved_without_paying(simulator: Simulator) -> None:
    customer = simulator.client.v1.customers.create(params={"email": "saver@example.org"})
    session = simulator.checkout(mode="setup", customer=customer.id, currency="eur")
    assert simulator.pay(session.url, CHARGES_FAIL).status_code == 303
    done: Any = simulator.client.v1.checkout.sessions.retrieve(
        session.id, params={"expand": ["setup_intent.payment_method"]}
    )
    assert done.payment_status == "no_payment_required"
    assert done.setup_intent.payment_method.card.last4 == "0341"


def test_an_incomplete_subscription_expires_after_23_hours(simulator: Simulator) -> None:
    customer = simulator.client.v1.customers.create(params={"email": "slow@example.org"})
    params: Any = {
        "customer": customer.id,
        "items": [{"price": simulator.price()}],
        "payment_behavior": "default_incomplete",
    }
    made = simulator.client.v1.subscriptions.create(params=params)
    assert made.status == "incomplete"
    simulator.advance(1)
    assert simulator.client.v1.subscriptions.retrieve(made.id).status == "incomplete_expired"


def test_deleting_a_customer_ends_the_subscription(simulator: Simulator) -> None:
    session = simulator.subscribe()
    simulator.client.v1.customers.delete(session.customer)
    gone: Any = simulator.client.v1.customers.retrieve(session.customer)
    assert gone.deleted
    assert simulator.subscription(session).status == "canceled"


def test_a_better_card_and_paying_now_bring_the_subscription_back(simulator: Simulator) -> None:
    session = simulator.subscribe()
    simulator.replace_card(session, CHARGES_FAIL)
    simulator.control("renewals", subscription=session.subscription)
    simulator.replace_card(session, SUCCEEDS)
    invoice = str(simulator.subscription(session).latest_invoice)
    assert requests.post(f"{simulator.url}/invoice/{invoice}", timeout=10).ok
    assert simulator.subscription(session).status == "active"


def test_cancelling_in_the_portal_ends_at_the_end_of_the_period(simulator: Simulator) -> None:
    session = simulator.subscribe()
    portal = simulator.portal(session)
    assert "http://news.example/account" in requests.get(portal, timeout=10).text
    address = f"{portal}/subscriptions/{session.subscription}"
    requests.post(address, data={"action": "cancel"}, timeout=10)
    assert simulator.subscription(session).cancel_at
    requests.post(address, data={"action": "resume"}, timeout=10)
    assert not simulator.subscription(session).cancel_at_period_end
    params: Any = {"cancel_at_period_end": True}
    simulator.client.v1.subscriptions.update(str(session.subscription), params=params)
    simulator.advance(32)
    assert simulator.subscription(session).status == "canceled"
    assert len(simulator.charges(session)) == 1
    wait_until(
        lambda: simulator.receiver.events("customer.subscription.deleted", session.subscription)
    )


def test_a_paused_subscription_stays_active_and_is_not_collected(simulator: Simulator) -> None:
    session = simulator.subscribe()
    pause: Any = {"pause_collection": {"behavior": "void"}}
    simulator.client.v1.subscriptions.update(str(session.subscription), params=pause)
    simulator.control("renewals", subscription=session.subscription)
    paused = simulator.subscription(session)
    assert (paused.status, paused.pause_collection.behavior) == ("active", "void")
    assert simulator.client.v1.invoices.retrieve(str(paused.latest_invoice)).status == "void"
    assert len(simulator.charges(session)) == 1


def test_a_new_price_counts_from_the_next_period(simulator: Simulator) -> None:
    session = simulator.subscribe()
    subscription = simulator.subscription(session)
    item = subscription["items"].data[0]
    params: Any = {
        "product": item.price.product,
        "currency": "eur",
        "unit_amount": 900,
        "recurring": {"interval": "month"},
    }
    price = simulator.client.v1.prices.create(params=params)
    change: Any = {"items": [{"id": item.id, "price": price.id}], "proration_behavior": "none"}
    simulator.client.v1.subscriptions.update(subscription.id, params=change)
    simulator.control("renewals", subscription=subscription.id)
    assert [charge.amount for charge in simulator.charges(session)] == [900, 500]


def test_refunds_are_partial_then_whole_and_never_more(simulator: Simulator) -> None:
    session = simulator.subscribe()
    charge = simulator.charges(session)[0]
    refunds = simulator.client.v1.refunds
    refunds.create(params={"payment_intent": charge.payment_intent, "amount": 200})
    partly = simulator.charges(session)[0]
    assert (partly.amount_refunded, partly.refunded) == (200, False)
    refunds.create(params={"charge": charge.id})
    wholly = simulator.charges(session)[0]
    assert (wholly.amount_refunded, wholly.refunded) == (500, True)
    assert [refund.amount for refund in wholly.refunds.data] == [300, 200]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        refunds.create(params={"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"


def test_a_refund_can_fail_later(simulator: Simulator) -> None:
    session = simulator.subscribe("4000000000005126")
    charge = simulator.charges(session)[0]
    refund = simulator.client.v1.refunds.create(params={"charge": charge.id})
    assert refund.status == "succeeded"
    simulator.control("clock", advance_seconds=3601)
    assert simulator.client.v1.refunds.list(params={"charge": charge.id}).data[0].status == "failed"
    assert simulator.charges(session)[0].amount_refunded == 0


def test_a_dispute_opens_by_itself_and_is_won(simulator: Simulator) -> None:
    session = simulator.subscribe("4000000000000259")
    charge = simulator.charges(session)[0]
    simulator.control("clock", advance_seconds=5)
    disputes = simulator.client.v1.disputes
    dispute = wait_until(lambda: disputes.list(params={"charge": charge.id}).data)[0]
    assert (dispute.status, dispute.payment_intent) == ("needs_response", charge.payment_intent)
    assert simulator.charges(session)[0].disputed
    simulator.control("disputes", dispute=dispute.id, outcome="won")
    assert disputes.retrieve(dispute.id).status == "won"


def test_a_session_expires_after_a_day(simulator: Simulator) -> None:
    session = simulator.checkout(mode="subscription", line_items=[{"price": simulator.price()}])
    simulator.advance(1.1)
    assert simulator.client.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert simulator.pay(session.url).status_code == 410
    wait_until(lambda: simulator.receiver.events("checkout.session.expired", session.id))


def test_the_control_page_shows_people_and_what_was_delivered(simulator: Simulator) -> None:
    session = simulator.subscribe(email="findme@example.org")
    page = requests.get(simulator.url, params={"q": "findme"}, timeout=10).text
    assert session.customer in page
    assert session.subscription in page
    assert "Refund</button>" in page
    intent = {"seed": "4", "delay_seconds": "0", "deliver": "1", "q": "findme"}
    told = requests.post(f"{simulator.url}/_simulator/faults", data=intent, timeout=10)
    assert "The faults are set." in told.text
    wrong = requests.post(f"{simulator.url}/_simulator/faults", data={"drop": "2"}, timeout=10)
    assert (wrong.status_code, "between 0 and 1" in wrong.text) == (422, True)
