"""The simulator's endpoints: secrets, versions, payloads, a clock that is off, the account."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
import stripe

from tests.simulator_parts import SECRET, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator_parts import Receiver, Simulator

EVENTS = ["customer.created", "customer.updated"]


@pytest.fixture
def address(simulator: Simulator) -> Iterator[str]:
    """Where the file's receiver listens; the endpoints that a test makes are gone after it."""
    listed = simulator.client.v1.webhook_endpoints.list().data
    before = {one.id for one in listed}
    yield listed[-1].url
    for one in simulator.client.v2.core.event_destinations.list().data:
        if one.id not in before:
            simulator.client.v1.webhook_endpoints.delete(one.id)


def _signed_by(receiver: Receiver, secret: str) -> list[Any]:
    """The bodies that were signed with this secret."""
    found = []
    for body, signature in list(receiver.got):
        try:
            stripe.WebhookSignature.verify_header(body.decode(), signature, secret, 300)
        except stripe.SignatureVerificationError:
            continue
        found.append(json.loads(body))
    return found


def test_the_command_lines_endpoint_is_listed(simulator: Simulator) -> None:
    found = simulator.client.v1.webhook_endpoints.list().data[-1]
    assert found.url.endswith("/webhooks")
    assert found.status == "enabled"
    assert "charge.dispute.funds_withdrawn" in found.enabled_events


def test_an_endpoint_tells_its_secret_once(simulator: Simulator, address: str) -> None:
    endpoints = simulator.client.v1.webhook_endpoints
    made = endpoints.create(params={"url": address, "enabled_events": ["charge.refunded"]})
    assert made.secret
    assert made.secret.startswith("whsec_")
    assert "secret" not in endpoints.retrieve(made.id)
    assert all("secret" not in one for one in endpoints.list().data)


def test_endpoints_have_secrets_versions_and_events_of_their_own(
    simulator: Simulator, address: str
) -> None:
    endpoints = simulator.client.v1.webhook_endpoints
    version: Any = "2025-03-31.basil"
    old = endpoints.create(
        params={"url": address, "enabled_events": ["customer.created"], "api_version": version}
    )
    plain = endpoints.create(params={"url": address, "enabled_events": ["*"]})
    off = endpoints.create(params={"url": address, "enabled_events": ["*"]})
    disabled: Any = {"disabled": True}
    assert endpoints.update(off.id, params=disabled).status == "disabled"
    assert plain.api_version is None
    receiver = simulator.receiver
    with simulator.choosing(account_api_version="2024-06-20"):
        customer = simulator.client.v1.customers.create(params={"name": "Of both"})
        simulator.client.v1.customers.update(customer.id, params={"name": "Of one"})
        wait_until(lambda: len(_signed_by(receiver, plain.secret or "")) == 2)
    wait_until(lambda: _signed_by(receiver, old.secret or ""))
    of_old, of_plain = (_signed_by(receiver, one.secret or "") for one in (old, plain))
    assert [(one["type"], one["api_version"]) for one in of_old] == [("customer.created", version)]
    assert {one["api_version"] for one in of_plain} == {"2024-06-20"}
    assert _signed_by(receiver, off.secret or "") == []


def test_a_thin_event_has_no_object(simulator: Simulator, address: str) -> None:
    made = simulator.control(
        "endpoints", url=address, payload="thin", enabled_events=["customer.created"]
    )
    listed = simulator.client.v1.webhook_endpoints.list().data
    assert made["id"] not in {one.id for one in listed}
    include: Any = {"include": ["webhook_endpoint.url"]}
    destinations = simulator.client.v2.core.event_destinations.list(include).data
    payloads = {one.id: one.event_payload for one in destinations}
    assert payloads[made["id"]] == "thin"
    assert {payloads[one.id] for one in listed} == {"snapshot"}
    assert {one.webhook_endpoint.url for one in destinations if one.webhook_endpoint} == {address}
    customer = simulator.client.v1.customers.create(params={"name": "A thin one"})
    receiver = simulator.receiver
    wait_until(lambda: _signed_by(receiver, made["secret"]))
    (body,) = _signed_by(receiver, made["secret"])
    assert "data" not in body
    assert (body["object"], body["type"]) == ("v2.core.event", "v1.customer.created")
    assert body["related_object"]["id"] == customer.id
    assert simulator.client.v1.events.retrieve(body["snapshot_event"]).type == "customer.created"


def test_a_clock_that_is_off_signs_and_dates_so(simulator: Simulator) -> None:
    receiver = simulator.receiver
    simulator.control("faults", clock_skew=-400)
    try:
        simulator.subscribe()
        wait_until(lambda: receiver.got)
        body, signature = receiver.got[0]
        with pytest.raises(stripe.SignatureVerificationError, match="outside the tolerance"):
            simulator.client.construct_event(body, signature, SECRET)
        answer = requests.get(f"{simulator.url}/_simulator/faults", timeout=10)
        told = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        assert -405 < told - time.time() < -395
    finally:
        simulator.control("faults", clock_skew=0)


def test_the_account_tells_who_it_is(simulator: Simulator) -> None:
    account = simulator.client.v1.accounts.retrieve_current()
    assert account.id == "acct_1Simulator"
    with simulator.choosing(account="acct_1Another"):
        assert simulator.client.v1.accounts.retrieve_current().id == "acct_1Another"


def test_the_hosted_pages_move_to_the_accounts_own_domain(simulator: Simulator) -> None:
    prices: Any = [{"price": simulator.price()}]
    own = simulator.url.replace("127.0.0.1", "localhost")
    with simulator.choosing(checkout_domain=own):
        session = simulator.checkout(mode="subscription", line_items=prices)
    assert session.url.startswith(f"{own}/")
    assert simulator.pay(session.url).status_code == 303
