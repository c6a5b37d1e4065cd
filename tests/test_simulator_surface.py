"""What every call to the simulator meets: rights, limits, delays, and webhooks of every kind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
import stripe

from tests.simulator_parts import client_of, launch

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulator_parts import Simulator


def test_behaviours_and_choices_are_set_by_name_and_read_at_once(simulator: Simulator) -> None:
    with simulator.without("restricted_keys"):
        found = requests.get(f"{simulator.url}/_simulator/behaviours", timeout=10).json()
        assert found["restricted_keys"] is False
    found = requests.get(f"{simulator.url}/_simulator/behaviours", timeout=10).json()
    assert found["restricted_keys"] is True
    with simulator.choosing(rate_limits="live"):
        found = requests.get(f"{simulator.url}/_simulator/choices", timeout=10).json()
        assert found["rate_limits"] == "live"


@pytest.mark.parametrize(
    ("what", "given", "sentence"),
    [
        ("behaviours", {"nonsense": False}, "There is no behaviour called 'nonsense'"),
        ("behaviours", {"restricted_keys": "no"}, "true or false"),
        ("choices", {"nonsense": "yes"}, "There is no choice called 'nonsense'"),
        ("choices", {"rate_limits": "many"}, "one of off, live, sandbox"),
        ("keys", {"key": "sk_test_x", "rights": []}, "begins with rk_test_"),
        ("keys", {"key": "rk_test_x", "rights": ["customer:write"]}, "is no right"),
        ("faults", {"latency_seconds": 31}, "30.0 at most"),
    ],
)
def test_what_is_not_known_is_refused_in_a_sentence(
    simulator: Simulator, what: str, given: dict[str, Any], sentence: str
) -> None:
    answer = requests.post(f"{simulator.url}/_simulator/{what}", json=given, timeout=10)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]["message"]


def test_a_restricted_key_is_refused_before_its_parameters_are_read(simulator: Simulator) -> None:
    simulator.control("keys", key="rk_test_reader", rights=["customers:read", "prices:write"])
    client = client_of(simulator.url, "rk_test_reader")
    client.v1.customers.list()
    client.v1.prices.list()  # the right to write is one to read
    nonsense: Any = {"nmae": "x"}
    with pytest.raises(stripe.PermissionError, match="'rak_customer_write'") as refused:
        client.v1.customers.create(params=nonsense)
    assert "rk_test_" in str(refused.value)
    assert "rk_test_reader" not in str(refused.value)
    with pytest.raises(stripe.PermissionError, match="'rak_checkout_session_read'"):
        client.v1.checkout.sessions.retrieve("cs_test_nobody")
    with pytest.raises(stripe.PermissionError, match="'rak_customer_portal_write'"):
        client.v1.billing_portal.sessions.create(params={"customer": "cus_nobody"})


def test_a_key_that_was_rolled_is_refused(simulator: Simulator) -> None:
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided: sk_test_"):
        client_of(simulator.url, "sk_test_rolled").v1.customers.list()


def _limits_met(*calls: Any) -> list[str]:
    """Which limit each call met that was refused."""
    met = []
    for call in calls:
        try:
            call()
        except stripe.RateLimitError as error:
            met.append((error.headers or {}).get("Stripe-Rate-Limited-Reason", "none told"))
    return met


def test_calls_beyond_the_rate_limits_are_refused(simulator: Simulator) -> None:
    v1 = simulator.client.v1
    lists = [v1.customers.list, v1.prices.list, v1.products.list, v1.charges.list, v1.events.list]
    with simulator.choosing(rate_limits="live"):
        assert _limits_met(*[v1.customers.list] * 28) == ["endpoint-rate"] * 3
        time.sleep(1.1)
        nobody = [lambda n=n: v1.customers.list(params={"email": f"{n}@x.org"}) for n in range(27)]
        assert set(_limits_met(*nobody)) == {"endpoint-rate"}, "one operation, any address"
        time.sleep(1.1)
    with simulator.choosing(rate_limits="sandbox"):
        assert set(_limits_met(*(lists * 6))) == {"global-rate"}
        time.sleep(1.1)
    assert _limits_met(*(lists * 6)) == []


def test_an_answer_takes_about_as_long_as_was_said(simulator: Simulator) -> None:
    simulator.control("faults", seed=7, latency_seconds=0.05)
    try:
        times = []
        for _ in range(12):
            began = time.monotonic()
            simulator.client.v1.events.list(params={"limit": 1})
            times.append(time.monotonic() - began)
    finally:
        simulator.control("faults", latency_seconds=0)
    assert 0.03 < sorted(times)[6] < 0.2
    assert max(times) > 1.5 * min(times)


def test_limits_latency_and_what_is_left_out_are_options_of_the_command_line(
    tmp_path: Path,
) -> None:
    process, url = launch(
        tmp_path / "store.sqlite",
        *("--without", "restricted_keys", "--rate-limits", "sandbox", "--latency", "2ms"),
    )
    try:
        behaviours = requests.get(f"{url}/_simulator/behaviours", timeout=10).json()
        choices = requests.get(f"{url}/_simulator/choices", timeout=10).json()
        faults = requests.get(f"{url}/_simulator/faults", timeout=10).json()
        assert behaviours["restricted_keys"] is False
        assert choices["rate_limits"] == "sandbox"
        assert faults["latency_seconds"] == 0.002
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout
        process.stdout.close()
