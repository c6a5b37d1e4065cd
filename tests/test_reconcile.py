"""Reconciliation: what no webhook brought is found, and what does not agree is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text, update

from fundraiser.db import now
from fundraiser.members.consistency import check_consistency, count_drift, write_drift
from fundraiser.members.counting import recount, recount_due
from fundraiser.members.eligibility import Reason, Verdict
from fundraiser.members.ledger import append, read_balance
from fundraiser.members.models import (
    Cause,
    Drift,
    DriftKind,
    LedgerEntry,
    LedgerHead,
    Member,
    Membership,
    Status,
)
from fundraiser.payments import reconcile
from fundraiser.payments.models import Event, Payment, Reconciliation, SyncRequest
from fundraiser.payments.queue import request_sync
from fundraiser.payments.stripe.gateway import current_gateway
from fundraiser.webhooks.catch_up import catch_up
from fundraiser.webhooks.models import EventWatermark
from tests.factories import GRACE, make_member, make_membership
from tests.pages import PageText
from tests.staff import PAGE, hire, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.testing import Result
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from tests.factories import Stripe

    Command = Callable[..., Result]

HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


@pytest.fixture
def shop(stripe: Stripe) -> Stripe:
    stripe.open_shop()
    return stripe


def look_through_events(database: Database, every: timedelta = timedelta()) -> int:
    """Catch up; returns how many pages that took."""
    pages = 1
    while True:
        with database.transaction() as session:
            if not catch_up(session, current_gateway(), every=every):
                return pages
        pages += 1


def run_through(database: Database) -> Reconciliation:
    """A whole run, without settling anybody."""
    with database.transaction() as session:
        run = reconcile.begin(session)
    while run.finished_at is None:
        with database.transaction() as session:
            run = reconcile.take_step(session, current_gateway(), GRACE) or run
    return run


def recheck(database: Database) -> None:
    after: int | None = 0
    while after is not None:
        with database.transaction() as session:
            after = reconcile.recheck_next(session, current_gateway(), after)


def drifts(database: Database) -> Sequence[Drift]:
    with database.transaction() as session:
        return session.scalars(
            select(Drift).where(Drift.gone_at.is_(None)).order_by(Drift.id)
        ).all()


def number(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def people(database: Database) -> list[Member]:
    with database.transaction() as session:
        return list(session.scalars(select(Member).order_by(Member.number)))


def subscription_of(stripe: Stripe, customer: str) -> str:
    return str(stripe.call("GET", "subscriptions", customer=customer)["data"][0]["id"])


# Events that no webhook brought


def test_an_event_that_no_webhook_brought_is_found_and_settled(
    shop: Stripe, database: Database
) -> None:
    shop.join("olena@example.org")
    look_through_events(database)
    shop.settle_all()
    assert number(database) == 1
    with database.transaction() as session:
        assert session.scalars(select(Event.id).where(Event.settled_at.is_(None))).all() == []


def test_events_are_found_however_many_pages_they_fill(shop: Stripe, database: Database) -> None:
    customer = shop.join("olena@example.org")
    for turn in range(110):
        shop.call("POST", f"customers/{customer}", name=f"Olena {turn}")
    assert look_through_events(database) > 1
    with database.transaction() as session:
        found = session.scalar(select(func.count()).select_from(Event)) or 0
        updates = session.scalar(
            select(func.count()).where(Event.type == "customer.updated").select_from(Event)
        )
    assert updates == 110
    assert found < 130, "types that say nothing of a customer's payments are left out"


def test_a_look_that_was_interrupted_goes_on_where_it_was(shop: Stripe, database: Database) -> None:
    customer = shop.join("olena@example.org")
    for turn in range(110):
        shop.call("POST", f"customers/{customer}", name=f"Olena {turn}")
    with database.transaction() as session:
        assert catch_up(session, current_gateway(), every=HOUR)
    with database.transaction() as session:
        mark = session.scalars(select(EventWatermark)).one()
        assert mark.cursor
        assert mark.event_id is None, "not all of them are in our table yet"
    look_through_events(database, every=HOUR)
    with database.transaction() as session:
        updates = session.scalar(
            select(func.count()).where(Event.type == "customer.updated").select_from(Event)
        )
    assert updates == 110


def test_a_look_goes_back_no_further_than_to_the_one_before(
    shop: Stripe, database: Database
) -> None:
    customer = shop.join("olena@example.org")
    for turn in range(110):
        shop.call("POST", f"customers/{customer}", name=f"Olena {turn}")
    shop.advance(minutes=1)
    assert look_through_events(database) > 1
    shop.call("POST", f"customers/{customer}", name="Olena H.")
    assert look_through_events(database) == 1
    with database.transaction() as session:
        assert session.scalars(select(EventWatermark.event_id)).one()
        updated = Event.type == "customer.updated"
        assert session.scalar(select(func.count()).where(updated).select_from(Event)) == 111


def test_the_list_is_asked_for_once_in_its_time(shop: Stripe, database: Database) -> None:
    look_through_events(database, every=HOUR)
    shop.join("olena@example.org")
    look_through_events(database, every=HOUR)
    shop.settle_all()
    assert number(database) == 0
    shop.advance(minutes=61)
    look_through_events(database, every=HOUR)
    shop.settle_all()
    assert number(database) == 1


def test_a_watermark_that_stripe_does_not_know_begins_anew(
    shop: Stripe, database: Database
) -> None:
    shop.join("olena@example.org")
    with database.transaction() as session:
        session.add(EventWatermark(id=1, event_id="evt_gone", cursor="evt_gone", found=0))
    look_through_events(database)
    shop.settle_all()
    assert number(database) == 1


def test_what_was_received_already_is_not_received_again(shop: Stripe, database: Database) -> None:
    shop.join("olena@example.org")
    look_through_events(database)
    shop.settle_all()
    shop.advance(minutes=5)
    look_through_events(database)
    with database.transaction() as session:
        assert session.scalars(select(SyncRequest)).all() == []


# All that Stripe lists


def test_a_customer_of_whom_nothing_was_ever_heard_is_found_settled_and_no_drift_after(
    shop: Stripe, database: Database
) -> None:
    customer = shop.join("olena@example.org")
    assert run_through(database).differing == 1
    (drift,) = drifts(database)
    assert (drift.kind, drift.customer_id) == (DriftKind.STRIPE, customer)
    assert "is active at Stripe and not in our books" in drift.detail
    shop.settle_all()
    recheck(database)
    assert (number(database), drifts(database)) == (1, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "past_due"}, "status is active at Stripe, past_due here"),
        ({"amount": 900}, "amount is 1000 at Stripe, 900 here"),
        ({"collection_paused": True}, "collection_paused is False at Stripe, True here"),
        ({"tier": "patron"}, "tier is member by its product, patron here"),
        (
            {"cancel_at": datetime(2030, 1, 1, tzinfo=UTC)},
            "cancel_at is None at Stripe, 2030-01-01",
        ),
        ({"period_end": datetime(2030, 1, 1, tzinfo=UTC)}, "2030-01-01 00:00:00 here"),
    ],
)
def test_a_row_that_is_not_as_stripe_has_it_is_named_and_settled(
    shop: Stripe, database: Database, change: dict[str, Any], words: str
) -> None:
    customer = shop.join("olena@example.org")
    shop.settle(customer)
    assert run_through(database).differing == 0
    with database.transaction() as session:
        session.execute(update(Membership).values(**change))
    assert run_through(database).differing == 1
    (drift,) = drifts(database)
    assert drift.member_id == people(database)[0].id
    assert words in drift.detail
    shop.settle_all()
    recheck(database)
    assert drifts(database) == []
    assert run_through(database).differing == 0


def test_a_membership_that_stripe_does_not_list_is_named(shop: Stripe, database: Database) -> None:
    shop.settle(shop.join("olena@example.org"))
    with database.transaction() as session:
        session.execute(update(Membership).values(reference="sub_gone"))
    run_through(database)
    (drift,) = drifts(database)
    assert "sub_gone is running in our books and not in Stripe's listing." in drift.detail


def test_who_was_deleted_at_stripe_before_we_ever_looked_is_no_drift(
    shop: Stripe, database: Database
) -> None:
    """Nobody knows any more whose that membership was: every night would find it anew."""
    customer = shop.join("gone@example.org")
    shop.call("DELETE", f"customers/{customer}")
    look_through_events(database)
    shop.settle_all()
    assert run_through(database).differing == 0
    with database.transaction() as session:
        assert reconcile.still_differs(session, current_gateway(), customer) == []


def test_a_refund_and_a_dispute_that_nobody_told_of_are_found(
    shop: Stripe, database: Database
) -> None:
    customers = [shop.join(f"reader-{turn}@example.org") for turn in range(3)]
    for customer in customers:
        shop.settle(customer)
    run_through(database)
    refunded, disputed = (
        shop.call("GET", "charges", customer=customer)["data"][0]["id"]
        for customer in customers[:2]
    )
    shop.call("POST", "refunds", charge=refunded)
    shop.control("disputes", charge=disputed)
    assert run_through(database).differing == 2
    shop.settle_all()
    recheck(database)
    assert (number(database), drifts(database)) == (1, [])
    with database.transaction() as session:
        payments = session.scalars(select(Payment).order_by(Payment.id)).all()
    assert [payment.refunded for payment in payments] == [1000, 0, 0]


def test_who_waits_to_be_settled_is_no_drift(shop: Stripe, database: Database) -> None:
    customer = shop.join("olena@example.org")
    with database.transaction() as session:
        request_sync(session, customer)
    assert run_through(database).differing == 0
    assert drifts(database) == []


def test_what_stays_different_stays_noted(shop: Stripe, database: Database) -> None:
    """A settlement that repairs nothing: the customer has no e-mail address to be a person by."""
    customer = shop.join("olena@example.org")
    shop.call("POST", f"customers/{customer}", email="")
    run_through(database)
    shop.settle_all()
    recheck(database)
    (drift,) = drifts(database)
    assert drift.customer_id == customer


@pytest.mark.usefixtures("shop")
def test_a_run_that_was_interrupted_goes_on_where_it_was(database: Database) -> None:
    with database.transaction() as session:
        run = reconcile.begin(session)
    with database.transaction() as session:
        reconcile.take_step(session, current_gateway(), GRACE)
    with database.transaction() as session:
        again = reconcile.begin(session)
        assert (again.id, again.stage) == (run.id, "refunds")


@pytest.mark.usefixtures("shop")
def test_two_workers_do_not_take_the_same_step(database: Database) -> None:
    with database.transaction() as session:
        reconcile.begin(session)
    with database.transaction() as first:
        assert reconcile.take_step(first, current_gateway(), GRACE)
        with database.transaction() as second:
            assert reconcile.take_step(second, current_gateway(), GRACE) is None


def test_a_night_has_one_run(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = ZoneInfo("Europe/Kyiv")

    def runs_at(hour: int, day: int = 1) -> int:
        at = datetime(2026, 6, day, hour, 30, tzinfo=zone)
        monkeypatch.setattr(reconcile, "now", lambda: at)
        with database.transaction() as session:
            reconcile.begin_if_due(session, zone)
            session.execute(update(Reconciliation).values(finished_at=at))
            return session.scalar(select(func.count()).select_from(Reconciliation)) or 0

    assert [runs_at(hour) for hour in (1, 3, 4, 5)] == [0, 1, 1, 1]
    assert runs_at(3, day=2) == 2
    assert runs_at(9, day=3) == 2
    assert runs_at(23, day=3) == 3, "a night that was missed is made up for"


# The proof


def count(session: Session) -> Member:
    """A person whom both the rule and the ledger count."""
    member = make_member(session)
    session.add(make_membership(member))
    append(session, member, cause=Cause.STRIPE, cause_ref=None, reason="paid", happened_at=now())
    return member


def prove_and_write(database: Database) -> None:
    with database.transaction() as session:
        proof = check_consistency(session, GRACE)
    with database.transaction() as session:
        write_drift(session, proof)


def test_a_number_that_is_right_from_all_sides_has_no_drift(database: Database) -> None:
    with database.transaction() as session:
        for _ in range(3):
            count(session)
        make_member(session)
    with database.transaction() as session:
        proof = check_consistency(session, GRACE)
    assert (proof.balance, proof.ledger_sum, proof.counting) == (3, 3, 3)
    assert proof.holds


@pytest.mark.parametrize(
    ("wrong", "kinds", "words"),
    [
        (
            "UPDATE membership SET status = 'unpaid'",
            {"rule", "balance"},
            "does not count (not_paid)",
        ),
        ("UPDATE member SET counting = false", {"rule", "ledger"}, "says does not count after 1"),
        ("UPDATE member SET sequence = 3", {"ledger"}, "after 3 entries; the ledger has 1 rows"),
        ("UPDATE ledger_head SET balance = 2", {"balance"}, "The balance is 2,"),
        (
            "ALTER TABLE ledger DISABLE TRIGGER ledger_is_append_only; DELETE FROM ledger",
            {"ledger", "balance"},
            "the ledger has 0 rows",
        ),
    ],
)
def test_a_row_made_wrong_by_hand_is_drift_that_names_the_person(
    database: Database, client: FlaskClient, wrong: str, kinds: set[str], words: str
) -> None:
    """The negative control of the proof."""
    with database.transaction() as session:
        member = count(session).id
    prove_and_write(database)
    assert drifts(database) == []
    with database.transaction() as session:
        session.execute(text(wrong))
    for _ in range(2):
        prove_and_write(database)
    found = drifts(database)
    assert {drift.kind for drift in found} == kinds
    assert any(words in drift.detail for drift in found)
    assert all(drift.member_id == member for drift in found if drift.kind != DriftKind.BALANCE)
    metrics = client.get("/metrics").text
    assert all(f'fundraiser_drift{{kind="{kind}"}} 1.0' in metrics for kind in kinds)


def test_the_proof_looks_both_ways(database: Database) -> None:
    """As many are missing as are too many: the sums agree, and both people are named."""
    with database.transaction() as session:
        gone = count(session)
        session.execute(update(Membership).values(status=Status.UNPAID))
        missing = make_member(session)
        session.add(make_membership(missing))
    with database.transaction() as session:
        proof = check_consistency(session, GRACE)
    assert proof.balance == proof.ledger_sum == proof.counting == 1
    assert [(found.kind, found.member_id) for found in proof.findings] == [
        (DriftKind.RULE, gone.id),
        (DriftKind.RULE, missing.id),
    ]


def test_where_very_many_differ_some_are_named_and_all_are_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fundraiser.members.consistency._MOST_NOTED", 2)
    with database.transaction() as session:
        members = [count(session).id for _ in range(5)]
        session.execute(update(Membership).values(status=Status.UNPAID))
        session.execute(update(Member).values(sequence=3))
    with database.transaction() as session:
        proof = check_consistency(session, GRACE)
    for kind in (DriftKind.RULE, DriftKind.LEDGER):
        named = [found for found in proof.findings if found.kind is kind]
        assert [found.member_id for found in named] == [*members[:2], None]
        assert named[-1].detail == "5 people differ; the first 2 of them are named."
    prove_and_write(database)
    assert len(drifts(database)) == len(proof.findings)


def test_the_proof_says_where_the_rule_in_python_and_in_sql_differ(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was counted by a mistake in the one is found by the other."""
    wrong = Verdict(counts=True, reason=Reason.PAID)
    with database.transaction() as session:
        member = make_member(session)
        session.add(make_membership(member, status=Status.UNPAID))
        session.flush()
        with monkeypatch.context() as patch:
            patch.setattr("fundraiser.members.eligibility.membership_counts", lambda *_: wrong)
            recount(session, member, GRACE, cause=Cause.STRIPE)
    with monkeypatch.context() as patch:
        patch.setattr("fundraiser.members.eligibility.membership_counts", lambda *_: wrong)
        with database.transaction() as session:
            found = check_consistency(session, GRACE).findings[0]
    assert found.member_id == member.id
    assert found.detail.endswith("In Python the rule says that the person counts.")


def test_staff_see_by_person_what_does_not_agree(
    shop: Stripe, database: Database, client: FlaskClient
) -> None:
    customer = shop.join("olena@example.org")
    shop.settle(customer)
    sign_in(client, hire(database))
    assert 'data-test="drift"' not in client.get("/staff", headers=PAGE).text
    with database.transaction() as session:
        session.execute(text("UPDATE membership SET status = 'unpaid'"))
    prove_and_write(database)
    run_through(database)
    page = client.get("/staff", headers=PAGE).text
    assert " 3 " in PageText.of(client.get("/staff", headers=PAGE)).parts["drift"]
    assert page.count(f'/staff/members/{people(database)[0].id}"') >= 2
    assert f"/staff/customers/{customer}/sync" in page
    assert "status is active at Stripe, unpaid here" in page


def test_drift_that_is_gone_stays_on_record(database: Database) -> None:
    with database.transaction() as session:
        count(session)
        session.flush()
        session.execute(update(LedgerHead).values(balance=2))
    prove_and_write(database)
    with database.transaction() as session:
        session.execute(update(LedgerHead).values(balance=1))
    prove_and_write(database)
    assert drifts(database) == []
    with database.transaction() as session:
        (drift,) = session.scalars(select(Drift))
        assert drift.gone_at
        assert not any(count_drift(session).values())


def test_whom_the_clocks_sweep_is_about_to_reach_is_no_drift(database: Database) -> None:
    with database.transaction() as session:
        member = count(session)
        session.flush()
        session.execute(update(Membership).values(cancel_at=now()))
        member.recount_at = now()
    with database.transaction() as session:
        proof = check_consistency(session, GRACE)
    assert (proof.holds, proof.due) == (True, 1)


def test_what_time_alone_changes_is_in_the_ledger_with_the_time_it_happened(
    database: Database,
) -> None:
    end = now() - timedelta(seconds=30)
    with database.transaction() as session:
        member = count(session)
        session.flush()
        session.execute(update(Membership).values(cancel_at=end, paid_at=end - HOUR))
        member.recount_at = end
    with database.transaction() as session:
        assert recount_due(session, GRACE) == 1
    with database.transaction() as session:
        entry = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version.desc())).first()
    assert entry
    assert (entry.change, entry.cause, entry.happened_at) == (-1, Cause.CLOCK, end)
    assert number(database) == 0
