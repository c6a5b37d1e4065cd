"""Stripe's inbox: what is stored, what is refused, and what happens when settling fails."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, text, update

from fundraiser.app import FundraiserApp, create_app
from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Interval, Member, Membership
from fundraiser.outbox import Email
from fundraiser.payments import queue, settlement
from fundraiser.payments.checkout import Choice, begin_checkout
from fundraiser.payments.models import Event, SyncRequest
from fundraiser.payments.stripe.gateway import current_gateway
from fundraiser.webhooks import inbox
from tests.factories import GRACE
from tests.webhooks import deliver, event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from flask.testing import FlaskClient

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from tests.factories import Stripe


def at_once(stripe: Stripe, *what: Callable[[], object]) -> None:
    """Let several hands do something at the same time."""
    start = threading.Barrier(len(what))

    def do(one: Callable[[], object]) -> None:
        with stripe.app.app_context():
            start.wait()
            one()

    with ThreadPoolExecutor(len(what)) as hands:
        for done in [hands.submit(do, one) for one in what]:
            done.result()


def syncs(database: Database) -> list[SyncRequest]:
    with database.transaction() as session:
        return list(session.scalars(select(SyncRequest).order_by(SyncRequest.id)))


def events(database: Database) -> list[Event]:
    with database.transaction() as session:
        return list(session.scalars(select(Event)))


def test_an_event_is_stored_once_and_its_customer_marked(
    client: FlaskClient, database: Database
) -> None:
    for _ in range(3):
        assert deliver(client, event()).status_code == 204
    assert [found.id for found in events(database)] == ["evt_1"]
    assert [found.customer_id for found in syncs(database)] == ["cus_1"]


def deliver_together(app: FundraiserApp, names: Sequence[str]) -> list[int]:
    """Webhooks that all come while the inbox is busy; returns the status that each was answered."""
    box: inbox.Inbox = app.extensions["inbox"]
    with ThreadPoolExecutor(len(names)) as hands:
        with box.storing:
            answers = [hands.submit(deliver, app.test_client(), event(id=name)) for name in names]
            while len(box.waiting) < len(names):
                time.sleep(0.001)
        return [answer.result().status_code for answer in answers]


def test_what_comes_together_is_stored_in_one_transaction(
    app: FundraiserApp, database: Database
) -> None:
    names = [f"evt_{number}" for number in (3, 1, 2, 3, 1)]
    assert deliver_together(app, names) == [204] * 5
    assert sorted(found.id for found in events(database)) == ["evt_1", "evt_2", "evt_3"]
    assert len(syncs(database)) == 3
    with database.transaction() as session:
        assert len(session.execute(text("SELECT DISTINCT xmin::text FROM event")).all()) == 1


def test_nothing_that_was_not_stored_is_acknowledged(settings: Settings) -> None:
    """One of them stores for all: each of the others has to hear of its failure too."""
    away = create_app(replace(settings, database_url="postgresql://postgres@127.0.0.1:9/none"))
    assert deliver_together(away, ["evt_1", "evt_2", "evt_3"]) == [503] * 3
    assert not away.extensions["inbox"].waiting
    away.database.dispose()


def test_a_dispute_names_no_customer_so_its_charge_is_kept(
    client: FlaskClient, database: Database
) -> None:
    dispute = {"id": "du_1", "object": "dispute", "charge": "ch_1"}
    deliver(client, event(type="charge.dispute.created", data={"object": dispute}))
    (sync,) = syncs(database)
    assert (sync.customer_id, sync.charge_id) == (None, "ch_1")


def test_an_event_that_speaks_of_nobody_is_stored_and_done(
    client: FlaskClient, database: Database
) -> None:
    product = {"id": "prod_1", "object": "product"}
    deliver(client, event(type="product.updated", data={"object": product}))
    assert syncs(database) == []
    assert events(database)[0].settled_at is not None


def test_either_of_two_secrets_is_taken_while_one_is_rotated(settings: Settings) -> None:
    app = create_app(replace(settings, stripe_webhook_secrets=("whsec_new", "whsec_old")))
    client = app.test_client()
    assert deliver(client, event(), secret="whsec_old").status_code == 204
    assert deliver(client, event(id="evt_2"), secret="whsec_new").status_code == 204
    assert deliver(client, event(id="evt_3"), secret="whsec_other").status_code == 400
    app.database.dispose()


@pytest.mark.parametrize("age", [301, 86_400])
def test_a_stale_signature_is_refused(client: FlaskClient, database: Database, age: int) -> None:
    answer = deliver(client, event(), age=age)
    assert answer.status_code == 400
    assert "too old" in answer.get_json()["error"]
    assert events(database) == []


def test_a_forged_or_missing_signature_is_refused(client: FlaskClient, database: Database) -> None:
    assert deliver(client, event(), secret="whsec_guess").status_code == 400
    assert client.post("/webhooks/stripe", json=event()).status_code == 400
    for header in ("t=x,v1=", "v1=00", "", "t=1,v1=" + "0" * 64):
        answer = client.post("/webhooks/stripe", json=event(), headers={"Stripe-Signature": header})
        assert answer.status_code == 400, header
    assert events(database) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b'{"id": 1}', b"\xff\xfe"])
def test_a_signed_body_that_is_no_event_is_refused(client: FlaskClient, body: bytes) -> None:
    assert deliver(client, body).status_code == 400


def test_a_body_over_a_mebibyte_is_refused(client: FlaskClient) -> None:
    assert deliver(client, b"x" * (1024 * 1024 + 1)).status_code == 413


def test_an_event_of_the_live_world_is_refused(client: FlaskClient, database: Database) -> None:
    answer = deliver(client, event(livemode=True))
    assert answer.status_code == 400
    assert "other mode" in answer.get_json()["error"]
    assert events(database) == []


def test_only_posts_are_taken(client: FlaskClient) -> None:
    assert client.get("/webhooks/stripe").status_code == 405


def test_events_are_taken_while_redis_is_away(
    settings: Settings,
) -> None:
    app = create_app(replace(settings, redis_url="redis://127.0.0.1:9/0"))
    client, database = app.test_client(), app.database
    assert deliver(client, event()).status_code == 204
    assert len(syncs(database)) == 1
    database.dispose()


def test_a_join_is_settled_by_whatever_event_arrives_first(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    for number, kind in enumerate(("updated", "deleted", "created")):
        subject = {"id": "sub_1", "object": "subscription", "customer": customer}
        name = f"customer.subscription.{kind}"
        deliver(client, event(id=f"evt_{number}", type=name, data={"object": subject}))
    stripe.settle_all()
    with database.transaction() as session:
        assert read_balance(session).members == 1
    assert syncs(database) == []
    assert all(found.settled_at for found in events(database))


def test_twenty_events_of_one_customer_are_one_settlement(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    subject = {"id": "sub_1", "object": "subscription", "customer": customer}
    for number in range(20):
        deliver(client, event(id=f"evt_{number}", data={"object": subject}))
    assert settlement.settle_next(database, current_gateway(), GRACE)
    assert not settlement.settle_next(database, current_gateway(), GRACE)


def test_a_failure_is_counted_waits_longer_each_time_and_rests_in_the_end(
    client: FlaskClient, database: Database
) -> None:
    """Stripe is away here: nothing listens at the address that the settings name."""
    deliver(client, event())
    waits: list[timedelta] = []
    for attempts in (0, 1, 2, queue.MOST_ATTEMPTS - 1):
        with database.transaction() as session:
            session.execute(update(SyncRequest).values(due_at=now(), attempts=attempts))
        assert settlement.settle_next(database, current_gateway(), GRACE)
        (sync,) = syncs(database)
        if sync.due_at:
            waits.append(sync.due_at - now())
    assert len(waits) == 3
    assert all(early < late for early, late in pairwise(waits))
    assert not settlement.settle_next(database, current_gateway(), GRACE)
    with database.transaction() as session:
        (resting,) = queue.failed_requests(session)
        assert "isn’t answering" in (resting.error or "")
        queue.retry_failed(session, "cus_1")
    (sync,) = syncs(database)
    assert (sync.attempts, sync.due_at is not None) == (0, True)


def test_who_is_being_settled_by_somebody_slow_keeps_nobody_else_waiting(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """Stripe may be silent for long about one customer, and tell of the next change of the same."""
    stripe.open_shop()
    slow, other = (stripe.join(f"{name}@example.org") for name in ("olena", "iryna"))
    for number, customer in enumerate((slow, other)):
        subject = {"id": customer, "object": "customer"}
        deliver(
            client, event(id=f"evt_{number}", type="customer.updated", data={"object": subject})
        )
    with settlement.leased(database, [slow]):
        assert settlement.settle_next(database, current_gateway(), GRACE)
        assert not settlement.settle_next(database, current_gateway(), GRACE)
        (waiting,) = syncs(database)
        assert (waiting.customer_id, waiting.attempts) == (slow, 0)
        assert members_and_memberships(database)[0] == 1
    stripe.settle_all()
    assert members_and_memberships(database)[0] == 2


# What our peers got wrong: docs/decisions/settlement.md says why it can't happen here


def told_of(stripe: Stripe, customer: str) -> dict[str, dict[str, Any]]:
    """Stripe's own events about a customer that we handle, by type: of each the newest."""
    found = [
        one
        for one in stripe.call("GET", "events", limit=100)["data"]
        if customer in {one["data"]["object"].get("customer"), one["data"]["object"].get("id")}
    ]
    return {one["type"]: one for one in reversed(found) if one["type"] in inbox.HANDLED}


def members_and_memberships(database: Database) -> tuple[int, int, int]:
    """The number, and how many rows of people and of memberships there are."""
    with database.transaction() as session:
        return (
            read_balance(session).members,
            len(session.scalars(select(Member.id)).all()),
            len(session.scalars(select(Membership.id)).all()),
        )


def test_an_update_that_comes_before_its_creation_makes_one_membership(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """Laravel's cashier-stripe #1678 and #1761: each of the two events made a row."""
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    (subscription,) = stripe.call("GET", "subscriptions", customer=customer)["data"]
    stripe.call("POST", f"subscriptions/{subscription['id']}", cancel_at_period_end="true")
    told = told_of(stripe, customer)
    for kind in ("updated", "created", "updated"):
        deliver(client, told[f"customer.subscription.{kind}"])
        stripe.settle_all()
        assert members_and_memberships(database) == (1, 1, 1)


def test_a_payment_of_somebody_nobody_has_heard_of_makes_the_member(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """Ghost #19706: "No member found" for an invoice; rev-engine drops what comes too early."""
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    deliver(client, told_of(stripe, customer)["invoice.paid"])
    stripe.settle_all()
    assert members_and_memberships(database) == (1, 1, 1)


def test_a_webhook_that_comes_before_the_checkout_returns_counts_the_member(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """Polar's remark in its own source: "webhook coming before we updated the Checkout Session"."""
    stripe.open_shop()
    choice = Choice(
        campaign="25000",
        tier="member",
        interval=Interval.MONTH,
        currency="GBP",
        amount=None,
        cover_fee=False,
        language="uk",
        ref="newsletter",
        return_url=None,
    )
    with database.transaction() as session:
        page = begin_checkout(session, current_gateway(), choice, "nonce", "http://127.0.0.1:8000")
        stripe.pay(page, "olena@example.org")
        customer = stripe.customer_of(page)
        deliver(client, told_of(stripe, customer)["checkout.session.completed"])
        stripe.settle_all()
        assert members_and_memberships(database) == (1, 1, 1)
    client.get(f"/join/thanks?session_id={page.rsplit('/', 1)[1]}")
    assert members_and_memberships(database) == (1, 1, 1)
    with database.transaction() as session:
        assert session.scalars(select(Membership.ref)).one() == "newsletter"


def test_a_webhook_and_the_thanks_page_at_once_count_once_and_welcome_once(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """woocommerce-payments #3783 and #3287: whoever came second made a second order."""
    stripe.open_shop()
    page = stripe.checkout()
    stripe.pay(page, "olena@example.org")
    for told in told_of(stripe, stripe.customer_of(page)).values():
        deliver(client, told)
    at_once(
        stripe,
        lambda: client.get(f"/join/thanks?session_id={page.rsplit('/', 1)[1]}"),
        stripe.settle_all,
        stripe.settle_all,
    )
    assert syncs(database) == []
    assert members_and_memberships(database) == (1, 1, 1)
    with database.transaction() as session:
        assert session.scalars(select(Email.kind)).all() == ["welcome"]


def test_two_endpoints_at_one_address_tell_of_an_event_once(
    settings: Settings,
) -> None:
    """woocommerce-gateway-stripe #3326: each event was handled once for each endpoint."""
    app = create_app(replace(settings, stripe_webhook_secrets=("whsec_one", "whsec_two")))
    client = app.test_client()
    for secret in ("whsec_one", "whsec_two"):
        assert deliver(client, event(), secret=secret).status_code == 204
    assert len(events(app.database)) == 1
    assert len(syncs(app.database)) == 1
    app.database.dispose()


def test_the_second_of_two_updates_in_one_second_is_not_dropped(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """stripe-sync-engine keeps what is newer by whole seconds: the second update is lost."""
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    (subscription,) = stripe.call("GET", "subscriptions", customer=customer)["data"]
    told = []
    for stops in ("true", "false"):
        stripe.call("POST", f"subscriptions/{subscription['id']}", cancel_at_period_end=stops)
        told.append(told_of(stripe, customer)["customer.subscription.updated"])
    first, second = ({**one, "created": told[0]["created"]} for one in told)
    for one in (second, first):
        deliver(client, one)
        stripe.settle_all()
        with database.transaction() as session:
            assert session.scalars(select(Membership.cancel_at)).one() is None


def test_many_hands_at_one_new_customer_make_one_person(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """dj-stripe #409, #429 and #1239: whoever came second broke on a row that was there already."""
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    for number, told in enumerate(told_of(stripe, customer).values()):
        deliver(client, told | {"id": f"evt_of_many_{number}"})
    hands = [stripe.settle_all] * 3
    at_once(stripe, *hands, lambda: stripe.settle(customer))
    assert syncs(database) == []
    assert members_and_memberships(database) == (1, 1, 1)


def test_two_events_of_one_person_do_not_wait_for_each_other_for_ever(
    stripe: Stripe, client: FlaskClient, database: Database
) -> None:
    """dj-stripe #1267, a deadlock: here two customers take each other's address, at once."""
    stripe.open_shop()
    people = [stripe.join("ann@example.org"), stripe.join("bob@example.org")]
    for customer in people:
        stripe.settle(customer)
    for addresses in (("bob", "ann"), ("ann", "bob"), ("ann", "ann"), ("bob", "ann")):
        for customer, name in zip(people, addresses, strict=True):
            stripe.call("POST", f"customers/{customer}", email=f"{name}@example.org")
            deliver(client, told_of(stripe, customer)["customer.updated"])
        at_once(stripe, *[lambda: settlement.settle_next(database, current_gateway(), GRACE)] * 2)
        # Whose second membership it is may be another reason to look, but none failed.
        assert not any(sync.error for sync in syncs(database))
        stripe.settle_all()
        assert syncs(database) == []
