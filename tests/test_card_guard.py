"""Card testing: few payments start without a proof, and readers get through."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import altcha
import pytest
import requests
import time_machine
from bs4 import BeautifulSoup
from limits.storage import storage_from_string

from fundraiser.app import create_app
from fundraiser.db import now
from fundraiser.incidents import Kind, count
from fundraiser.newsroom.models import Role
from fundraiser.payments import proofs
from fundraiser.payments.card_guard import Ask, Mode, admit, ceilings, read_guard, set_mode
from fundraiser.payments.models import Checkout, CheckoutKind, Customer, SyncRequest
from fundraiser.payments.stripe.types import StripeEvent
from fundraiser.security import limiter
from fundraiser.webhooks.inbox import HANDLED
from tests.factories import make_member
from tests.joining import solve
from tests.staff import csrf_token, hire, names, read, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database
    from tests.factories import Stripe

CARD = {
    "email": "olena@example.org",
    "method": "card",
    "cardNumber": "4242424242424242",
    "cardExpiry": "12/60",
    "cardCvc": "123",
    "billingName": "Olena Koval",
    "billingCountry": "GB",
}
OURS = {"Origin": "http://127.0.0.1:8000"}


@pytest.fixture
def guarded(settings: Settings) -> Iterator[FundraiserApp]:
    """The service with the limits as a newsroom has them, and counters of the test's own."""
    app = create_app(
        replace(settings, join_limit="20 per 10 minutes", secret_keys=(uuid4().hex * 2,))
    )
    yield app
    app.database.dispose()


def attempt(app: FundraiserApp, address: str, solution: str = "", ticket: str = "") -> Ask | None:
    """What somebody at this address is asked for; None where the payment starts."""
    place = app.test_request_context("/join", environ_overrides={"REMOTE_ADDR": address})
    with place, app.database.transaction() as session:
        return admit(session, solution=solution, ticket=ticket)


def somewhere(number: int) -> str:
    """An address in a network of its own: IPv4 and IPv6."""
    if number % 2:
        return f"2001:db8:{number:x}::7"
    return f"198.{18 + number // 512 % 2}.{number // 2 % 256}.7"


def is_on(app: FundraiserApp) -> bool:
    with app.database.transaction() as session:
        return read_guard(session).is_on


def check_consistency(app: FundraiserApp, address: str) -> Ask | None:
    """A reader's second request, with the proof that the first was asked for."""
    asked = attempt(app, address)
    return asked and attempt(app, address, solve(asked.challenge))


def test_of_many_attempts_from_many_networks_twenty_start_and_the_guard_is_on(
    guarded: FundraiserApp,
) -> None:
    started = [attempt(guarded, somewhere(number)) is None for number in range(60)]
    assert sum(started) == ceilings(guarded.extensions["settings"]).bare == 20
    assert is_on(guarded)


def test_a_reader_with_a_proof_gets_through_while_the_guard_is_on(guarded: FundraiserApp) -> None:
    with guarded.database.transaction() as session:
        set_mode(session, Mode.ON)
    assert attempt(guarded, "203.0.113.7") is not None
    assert check_consistency(guarded, "203.0.113.7") is None


def test_a_proof_is_good_once_and_for_fifteen_minutes(guarded: FundraiserApp) -> None:
    with guarded.database.transaction() as session:
        set_mode(session, Mode.ON)
    asked = attempt(guarded, "203.0.113.7")
    assert asked
    solution = solve(asked.challenge)
    with time_machine.travel(time.time() + proofs.LIVES + 1):
        assert attempt(guarded, "203.0.113.7", solution) is not None
    assert attempt(guarded, "203.0.113.7", solution) is None
    assert attempt(guarded, "203.0.113.7", solution) is not None


@pytest.mark.parametrize("solution", ["x", "e30=", "é", "A" * 5000, "[]", "bnVsbA=="])
def test_what_is_no_proof_is_asked_for_again(guarded: FundraiserApp, solution: str) -> None:
    assert attempt(guarded, "203.0.113.7", solution) is not None
    assert attempt(guarded, "203.0.113.7", ticket=solution) is not None


def test_a_challenge_of_somebody_else_s_making_is_no_proof(guarded: FundraiserApp) -> None:
    easy = altcha.create_challenge("PBKDF2/SHA-256", 1, hmac_secret="mine")
    solution = altcha.solve_challenge(easy)
    assert solution
    assert attempt(guarded, "203.0.113.7", altcha.Payload(easy, solution).to_base64()) is not None


def test_an_office_above_its_limit_proves_and_gets_in(guarded: FundraiserApp) -> None:
    settings = replace(guarded.extensions["settings"], join_limit="3 per 10 minutes")
    guarded.extensions["settings"] = settings
    started = Counter(attempt(guarded, "203.0.113.7") is None for _ in range(6))
    assert started == {True: 3, False: 3}
    assert not is_on(guarded)
    assert check_consistency(guarded, "203.0.113.7") is None
    assert attempt(guarded, "198.51.100.1") is None


def test_addresses_of_one_ipv6_provider_are_counted_together(guarded: FundraiserApp) -> None:
    settings = replace(guarded.extensions["settings"], join_limit="2 per 10 minutes")
    guarded.extensions["settings"] = settings
    started = [attempt(guarded, f"2001:db8:1:{number:x}::7") is None for number in range(10)]
    assert sum(started) == 6


def test_without_javascript_a_ticket_is_good_once_after_ten_seconds(
    guarded: FundraiserApp,
) -> None:
    with guarded.database.transaction() as session:
        set_mode(session, Mode.ON)
    asked = attempt(guarded, "203.0.113.7")
    assert asked
    soon = attempt(guarded, "203.0.113.7", ticket=asked.ticket)
    assert soon
    assert soon.ticket == asked.ticket
    with time_machine.travel(time.time() + proofs.WAIT + 1, tick=True):
        assert attempt(guarded, "203.0.113.7", ticket=asked.ticket) is None
        assert attempt(guarded, "203.0.113.7", ticket=asked.ticket) is not None


def test_of_many_who_waited_ten_a_minute_start(guarded: FundraiserApp) -> None:
    with guarded.database.transaction() as session:
        set_mode(session, Mode.ON)
    asked = [attempt(guarded, somewhere(number)) for number in range(25)]
    with time_machine.travel(time.time() + proofs.WAIT + 1, tick=True):
        started = [
            attempt(guarded, somewhere(number), ticket=one.ticket) is None
            for number, one in enumerate(asked)
            if one
        ]
    assert (len(started), sum(started)) == (25, 10)


def test_nobody_passes_the_ceiling_and_one_network_has_a_third_of_it(
    guarded: FundraiserApp,
) -> None:
    settings = replace(guarded.extensions["settings"], checkouts_per_minute=9)
    guarded.extensions["settings"] = settings
    with guarded.database.transaction() as session:
        set_mode(session, Mode.ON)
    here = [check_consistency(guarded, "203.0.113.7") for _ in range(5)]
    assert [one is None for one in here] == [True] * 3 + [False] * 2
    assert here[-1]
    assert here[-1].wait
    elsewhere = [check_consistency(guarded, somewhere(number)) is None for number in range(8)]
    assert sum(elsewhere) == 6


def test_the_more_is_proved_the_longer_it_takes(guarded: FundraiserApp) -> None:
    settings = replace(guarded.extensions["settings"], checkouts_per_minute=3)
    guarded.extensions["settings"] = settings
    with guarded.database.transaction() as session:
        set_mode(session, Mode.ON)

    def cost() -> int:
        asked = attempt(guarded, "203.0.113.7")
        assert asked
        return int(json.loads(asked.challenge)["parameters"]["cost"])

    before = cost()
    for number in range(3):
        assert check_consistency(guarded, somewhere(number)) is None
    assert cost() == 4 * before


def start_unpaid(app: FundraiserApp, count: int, *, paid: int = 0) -> None:
    """Payments that were started five minutes ago."""
    with app.database.transaction() as session:
        for number in range(count):
            session.add(
                Checkout(
                    id=uuid4(),
                    key=uuid4().hex,
                    kind=CheckoutKind.CONTRIBUTION,
                    campaign="25000",
                    currency="GBP",
                    amount=500,
                    fee=0,
                    language="en",
                    created_at=now() - timedelta(minutes=5),
                    reference=f"ch_{number}" if number < paid else None,
                )
            )


def test_declined_cards_switch_the_guard_on(guarded: FundraiserApp) -> None:
    for _ in range(9):
        guarded.extensions["incidents"].note(Kind.DECLINED, "charge.failed")
    guarded.extensions["incidents"].write()
    assert attempt(guarded, somewhere(1)) is None
    guarded.extensions["incidents"].note(Kind.DECLINED, "charge.failed")
    guarded.extensions["incidents"].write()
    assert attempt(guarded, somewhere(2)) is not None
    assert is_on(guarded)


def decline(app: FundraiserApp, number: int, customer: str | None) -> None:
    """Stripe tells of a charge that failed."""
    app.extensions["inbox"].take(
        StripeEvent(
            id=f"evt_{number}_{customer}",
            type="charge.failed",
            livemode=False,
            created_at=now(),
            customer_id=customer,
            charge_id=None,
        )
    )


def test_a_webhook_tells_of_declined_cards_and_costs_no_look_at_stripe(
    guarded: FundraiserApp,
) -> None:
    with guarded.database.transaction() as session:
        known = {"email": "a@b", "settled_at": now(), "deleted": False}
        session.add(Customer(id="cus_known", member_id=make_member(session).id, **known))
    for number in range(5):
        decline(guarded, number, None)
        decline(guarded, number, f"cus_{number}")
        decline(guarded, number, "cus_known")
    guarded.extensions["incidents"].write()
    with guarded.database.transaction() as session:
        assert count(session, Kind.DECLINED, timedelta(minutes=1)) == 10
        assert session.query(SyncRequest).count() == 0
    assert attempt(guarded, somewhere(1)) is not None


def test_a_card_that_is_declined_on_the_hosted_page_is_told(stripe: Stripe) -> None:
    stripe.open_shop()
    page = stripe.checkout()
    answer = requests.post(page, data=CARD | {"cardNumber": "4000000000000002"}, timeout=10)
    assert answer.status_code == 402
    events = requests.get(
        f"{stripe.url}/v1/events",
        params={"type": "charge.failed"},
        auth=("sk_test_simulator", ""),
        timeout=10,
    ).json()["data"]
    assert events[0]["data"]["object"]["failure_code"] == "card_declined"
    assert "charge.failed" in HANDLED


def test_payments_that_nobody_finishes_switch_the_guard_on(guarded: FundraiserApp) -> None:
    start_unpaid(guarded, 100)
    assert attempt(guarded, somewhere(1)) is not None
    assert is_on(guarded)


def test_a_busy_evening_does_not(guarded: FundraiserApp) -> None:
    start_unpaid(guarded, 140, paid=30)
    assert attempt(guarded, somewhere(1)) is None
    assert not is_on(guarded)


def test_ten_quiet_minutes_later_the_guard_is_off(guarded: FundraiserApp) -> None:
    for number in range(30):
        attempt(guarded, somewhere(number))
    assert is_on(guarded)
    with time_machine.travel(now() + timedelta(minutes=11)):
        assert not is_on(guarded)


def test_staff_switch_it_off_and_limits_stay(guarded: FundraiserApp) -> None:
    with guarded.database.transaction() as session:
        set_mode(session, Mode.OFF)
    start_unpaid(guarded, 100)
    started = [attempt(guarded, somewhere(number)) is None for number in range(40)]
    assert sum(started) == 20
    assert not is_on(guarded)


def test_without_redis_the_limits_hold_in_each_process(
    guarded: FundraiserApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_listens = storage_from_string("redis://127.0.0.1:9", socket_connect_timeout=0.1)
    monkeypatch.setattr(limiter, "_storage", nobody_listens)
    started = [attempt(guarded, somewhere(number)) is None for number in range(40)]
    assert sum(started) == 20
    assert check_consistency(guarded, somewhere(99)) is None


# The page


def form_of(page: str) -> tuple[str, dict[str, str], str]:
    """Where the page's form leads, what it sends, and its challenge."""
    form = BeautifulSoup(page, "html.parser").select_one("form#proof")
    assert form
    fields = {str(one["name"]): str(one["value"]) for one in form.select("input")}
    return str(form["action"]), fields, str(form["data-challenge"])


@pytest.mark.parametrize("address", ["/join", "/gift"])
def test_what_was_typed_goes_on_to_stripe_with_the_proof(
    app: FundraiserApp, client: FlaskClient, stripe: Stripe, address: str
) -> None:
    stripe.open_shop()
    client.environ_base["HTTP_ACCEPT"] = "text/html"
    with app.database.transaction() as session:
        set_mode(session, Mode.ON)
    page = BeautifulSoup(client.get(address, query_string={"tier": "patron"}).text, "html.parser")
    fields = page.select("form input[type=hidden], form input[checked], form input[name=amount]")
    form = {str(field["name"]): str(field.get("value", "")) for field in fields}
    form |= {"giver_name": "Olena", "recipient_name": "Anna", "tell": "card", "note": "a & b"}
    asked = client.post(address, data=form, headers=OURS)
    assert asked.status_code == 429
    assert app.extensions["settings"].checkout_origin in asked.headers["Content-Security-Policy"]
    leads_to, kept, challenge = form_of(asked.text)
    assert {name: kept[name] for name in form} == form
    answer = client.post(leads_to, data=kept | {"altcha": solve(challenge)}, headers=OURS)
    assert answer.status_code == 303
    assert "/pay/" in answer.headers["Location"] or "checkout" in answer.headers["Location"]


def test_staff_see_the_guard_and_switch_it(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    assert "fundraiser_card_guard_on 0.0" in client.get("/metrics").text
    sign_in(client, hire(database, Role.ADMIN))
    assert "guard-off" in names(read(client, "/staff/security"))
    token = csrf_token(client, "/staff/security")
    form = {"csrf_token": token, "mode": "on"}
    assert client.post("/staff/security/guard", data=form).status_code == 303
    assert is_on(app)
    assert "guard-on" in names(read(client, "/staff"))
    assert "fundraiser_card_guard_on 1.0" in client.get("/metrics").text
    assert "switched_guard" in names(read(client, "/staff/audit-log"))
    wrong = client.post("/staff/security/guard", data=form | {"mode": "perhaps"})
    assert wrong.status_code == 422


def test_staff_see_what_was_refused_and_why_browsers_are_checked(
    guarded: FundraiserApp,
) -> None:
    client = guarded.test_client()
    for number in range(30):
        attempt(guarded, somewhere(number))
    sign_in(client, hire(guarded.database))
    page = names(read(client, "/staff/security"))
    assert {"guard-attempts", Kind.PROOF_ASKED} <= page
    assert "guard-automatic" in names(read(client, "/staff"))
