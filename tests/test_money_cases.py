"""Money that Stripe doesn’t move at once: told truly, shown to staff, tried again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import delete, func, select, update

from fundraiser.account.labels import say
from fundraiser.emails.writing import write
from fundraiser.errors import NotFoundError
from fundraiser.members.email_links import payment_link
from fundraiser.members.models import Membership, Status
from fundraiser.outbox import Email
from fundraiser.payments.cases import CaseKind, MoneyCase, look_at_due_cases
from fundraiser.payments.models import Payment, SyncRequest
from fundraiser.payments.stripe.errors import Doing
from fundraiser.payments.stripe.gateway import Gateway, StripeRefusedError, StripeUnavailableError
from fundraiser.texts import Named
from tests.gifts import OURS
from tests.settlements import emails, memberships, number_of_members
from tests.staff import hire, names, parse, shown, sign_in, words

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database
    from tests.factories import Stripe

pytestmark = pytest.mark.usefixtures("open_shop")

HTML = {"Accept": "text/html"}


def text(answer: TestResponse) -> str:
    return re.sub(r"\s+", " ", BeautifulSoup(answer.text, "html.parser").get_text(" ", strip=True))


def cases(database: Database) -> list[MoneyCase]:
    with database.transaction() as session:
        return list(session.scalars(select(MoneyCase).order_by(MoneyCase.id)))


def refuse(monkeypatch: pytest.MonkeyPatch, verb: str) -> list[str]:
    """Stripe refuses this verb; returns what it was asked for."""
    asked: list[str] = []

    def refused(_gateway: Gateway, name: str, *_more: object) -> None:
        asked.append(name)
        raise StripeRefusedError("Stripe refused this: Insufficient funds in your balance.")

    monkeypatch.setattr(Gateway, verb, refused)
    return asked


def look_again(stripe: Stripe, database: Database) -> int:
    """What the workers do every few seconds; returns how many customers were due."""
    with database.transaction() as session:
        look_at_due_cases(session)
    with database.transaction() as session:
        due = len(session.scalars(select(SyncRequest)).all())
    stripe.settle_all()
    return due


def pay_twice(stripe: Stripe) -> str:
    """A member joins again and pays £25; returns the second session's id."""
    stripe.settle(stripe.join("olena@example.org"))
    stripe.advance(seconds=5)
    page = stripe.checkout(tier="patron")
    stripe.pay(page, "olena@example.org")
    return page.rsplit("/", 1)[1]


def test_a_refund_that_stripe_refuses_is_told_kept_shown_and_tried_again(
    stripe: Stripe,
    database: Database,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """medusajs/admin#720: "Insufficient funds in your Stripe balance to refund this amount"."""
    session_id = pay_twice(stripe)
    with monkeypatch.context() as refusing:
        asked = refuse(refusing, "refund")
        for _ in range(3):
            answer = client.get(f"/join/thanks?session_id={session_id}", headers=HTML)
        assert len(asked) == 1, "not asked again before its time"
        assert answer.status_code == 200
        assert "outcome-second" in names(parse(answer))
        assert "£25" in shown(parse(answer), "refund-waits")
        assert look_again(stripe, database) == 0
        stripe.advance(minutes=16)
        assert look_again(stripe, database) == 1
        assert len(asked) == 2
        first, second = memberships(database)
        assert (first.status, second.status) == (Status.ACTIVE, Status.CANCELED)
        with database.transaction() as session:
            paid = session.scalars(select(Payment).order_by(Payment.paid_at)).all()
            assert [found.amount for found in paid] == [1000, 2500]
    (case,) = cases(database)
    assert (case.kind, case.amount, case.attempts) == (CaseKind.SECOND_REFUND, 2500, 2)
    sign_in(client, hire(database))
    for page in ("/staff/", f"/staff/members/{case.member_id}"):
        assert "£25" in shown(parse(client.get(page)), "case-second_refund")
    assert "refunded" not in emails(database)
    # The next try goes through.
    stripe.advance(minutes=31)
    look_again(stripe, database)
    assert cases(database)[0].closed_at is not None
    assert emails(database).count("refunded") == 1
    answer = client.get(f"/join/thanks?session_id={session_id}", headers=HTML)
    assert "£25" in shown(parse(answer), "refunded")
    assert "case-second_refund" not in names(parse(client.get("/staff/")))
    assert number_of_members(database) == 1


@pytest.mark.parametrize("verb", ["mark_second", "cancel"])
def test_a_second_membership_that_stripe_will_not_end_is_told_shown_and_tried_again(
    stripe: Stripe,
    database: Database,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    session_id = pay_twice(stripe)
    with monkeypatch.context() as refusing:
        refuse(refusing, verb)
        answer = client.get(f"/join/thanks?session_id={session_id}", headers=HTML)
        assert answer.status_code == 200
        assert "not-canceled" in names(parse(answer))
        assert "second_membership" not in emails(database)
    assert cases(database)[0].kind is CaseKind.SECOND_END
    stripe.advance(minutes=16)
    look_again(stripe, database)
    assert all(case.closed_at for case in cases(database))
    assert [found.status for found in memberships(database)] == [Status.ACTIVE, Status.CANCELED]
    assert "second_membership" in emails(database)
    assert number_of_members(database) == 1


def test_a_refund_that_the_bank_sends_back_is_left_to_staff(
    stripe: Stripe, database: Database
) -> None:
    """It would come back each time, and nobody would ever hear of it."""
    stripe.settle(stripe.join("olena@example.org"))
    stripe.advance(seconds=5)
    page = stripe.checkout(tier="patron")
    stripe.pay(page, "olena@example.org", "4000000000005126")
    customer = stripe.customer_of(page)
    stripe.settle(customer)
    stripe.advance(days=3)
    for _ in range(2):
        stripe.settle(customer)
    (case,) = cases(database)
    assert (case.closed_at, case.due_at) == (None, None)
    assert len(stripe.call("GET", "refunds", charge=case.reference)["data"]) == 1


def test_the_e_mail_about_a_second_membership_says_what_became_of_the_money(
    stripe: Stripe, database: Database, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = pay_twice(stripe)
    refuse(monkeypatch, "refund")
    client.get(f"/join/thanks?session_id={session_id}", headers=HTML)
    with database.transaction() as session:
        email = session.scalars(select(Email).where(Email.kind == "second_membership")).one()
        source = write(session, email).source.decode()
    assert "We couldn" in source.replace("=\n", "")


def pay_after_the_end(stripe: Stripe, database: Database) -> str:
    """A membership ends unpaid, and its invoice is paid all the same; returns the customer's id."""
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    stripe.change_card(customer, "4000000000000341")
    for days in (32, 20):
        stripe.advance(days=days)
        stripe.settle(customer)
    assert memberships(database)[0].status is Status.CANCELED
    assert memberships(database)[0].pay_url is None
    stripe.change_card(customer, "4242424242424242")
    person = stripe.call("GET", f"customers/{customer}")
    card = person["invoice_settings"]["default_payment_method"]
    invoice = stripe.call("GET", "invoices", customer=customer, status="open")["data"][0]["id"]
    stripe.call("POST", f"invoices/{invoice}/pay", payment_method=card)
    for _ in range(2):
        stripe.settle(customer)
    return customer


def link_of_the_e_mail(database: Database) -> str:
    (case,) = cases(database)
    return payment_link(case.id).removeprefix("http://127.0.0.1:8000")


def test_a_payment_after_the_end_is_written_of_and_shown_until_it_is_resolved(
    stripe: Stripe, database: Database, client: FlaskClient
) -> None:
    """node-red-contrib-smartnora#337, bitwarden/server#7589: the money was taken, and no word."""
    pay_after_the_end(stripe, database)
    assert emails(database).count("paid_after_end") == 1
    assert number_of_members(database) == 0
    with database.transaction() as session:
        email = session.scalars(select(Email).where(Email.kind == "paid_after_end")).one()
        source = write(session, email).source.decode()
    assert "/account/payment/" in source
    link = link_of_the_e_mail(database)
    for _ in range(2):
        page = parse(client.get(link, headers=HTML))
        assert "£10" in shown(page, "choice")
        restart, refund = page.select("button[name=what]")
        assert (restart["value"], refund["value"]) == ("restart", "refund")
        assert "£10" in refund.text
    assert cases(database)[0].closed_at is None
    sign_in(client, hire(database))
    assert "£10" in shown(parse(client.get("/staff")), "case-paid_after_end")


def test_a_late_payment_restarts_the_membership_once_and_pays_its_first_period(
    stripe: Stripe, database: Database, client: FlaskClient
) -> None:
    customer = pay_after_the_end(stripe, database)
    link = link_of_the_e_mail(database)
    for _ in range(2):
        answer = client.post(link, data={"what": "restart"}, headers=OURS)
        assert "restarted" in names(parse(answer))
    assert number_of_members(database) == 1
    assert cases(database)[0].closed_at is not None
    running = [found for found in memberships(database) if found.ended_at is None]
    assert [found.status for found in running] == [Status.TRIALING]
    assert running[0].campaign == "25000"
    with stripe.app.test_request_context(), database.transaction() as session:
        (state,) = say(session, session.get_one(Membership, running[0].id)).state
    assert isinstance(state, Named)
    assert (state.name, "£10 " in state) == ("next-charge", True), "it is on trial there, not free"
    assert emails(database).count("welcome") == 2
    taken = len(stripe.call("GET", "charges", customer=customer, limit=100)["data"])
    stripe.advance(days=27)
    stripe.settle(customer)
    assert len(stripe.call("GET", "charges", customer=customer, limit=100)["data"]) == taken
    stripe.advance(days=6)
    stripe.settle(customer)
    assert len(stripe.call("GET", "charges", customer=customer, limit=100)["data"]) == taken + 1
    assert number_of_members(database) == 1
    sign_in(client, hire(database))
    assert "case-paid_after_end" not in names(parse(client.get("/staff")))


@pytest.mark.parametrize("how", ["refund", "dispute"])
def test_a_restart_counts_no_more_once_the_payment_for_it_is_taken_back(
    stripe: Stripe, database: Database, client: FlaskClient, how: str
) -> None:
    customer = pay_after_the_end(stripe, database)
    client.post(link_of_the_e_mail(database), data={"what": "restart"}, headers=OURS)
    assert number_of_members(database) == 1
    reference = cases(database)[0].reference
    if how == "refund":
        stripe.call("POST", "refunds", charge=reference)
    else:
        stripe.control("disputes", charge=reference)
    stripe.settle(customer)
    assert number_of_members(database) == 0


def test_a_restart_whose_answer_was_lost_is_one_restart(
    stripe: Stripe, database: Database, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = pay_after_the_end(stripe, database)
    link = link_of_the_e_mail(database)
    restart = Gateway.restart

    def lost(gateway: Gateway, *given: Any) -> None:
        restart(gateway, *given)
        raise StripeUnavailableError(Doing.CHANGE.without_answer)

    with monkeypatch.context() as patch:
        patch.setattr(Gateway, "restart", lost)
        answer = client.post(link, data={"what": "restart"}, headers=OURS)
        assert "not-known" in names(parse(answer))
    answer = client.post(link, data={"what": "restart"}, headers=OURS)
    assert "restarted" in names(parse(answer))
    stripe.settle_all()
    listed = stripe.call("GET", "subscriptions", customer=customer)["data"]
    assert len(listed) == 1
    assert number_of_members(database) == 1


@pytest.mark.parametrize("killed", ["before", "after"])
def test_a_restart_that_was_chosen_is_not_forgotten_by_who_is_killed_on_the_way(
    stripe: Stripe,
    database: Database,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    killed: str,
) -> None:
    customer = pay_after_the_end(stripe, database)
    link, restart = link_of_the_e_mail(database), Gateway.restart

    def die(gateway: Gateway, *given: Any) -> None:
        if killed == "after":
            restart(gateway, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Gateway, "restart", die)
        with pytest.raises(KeyboardInterrupt):
            client.post(link, data={"what": "restart"}, headers=OURS)
    assert "restart-pending" in names(parse(client.get(link, headers=HTML)))
    stripe.settle_all()
    assert len(stripe.call("GET", "subscriptions", customer=customer)["data"]) == 1
    assert "restarted" in names(parse(client.get(link, headers=HTML)))
    assert number_of_members(database) == 1


def test_a_restart_that_stripe_refuses_is_chosen_anew(
    stripe: Stripe, database: Database, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay_after_the_end(stripe, database)
    link = link_of_the_e_mail(database)
    with monkeypatch.context() as refusing:
        refuse(refusing, "restart")
        answer = client.post(link, data={"what": "restart"}, headers=OURS)
    assert answer.status_code == 422
    assert {"notice", "choice"} <= names(parse(answer))
    look_again(stripe, database)
    assert "choice" in names(parse(client.get(link, headers=HTML)))
    client.post(link, data={"what": "refund"}, headers=OURS)
    assert "refunded" in names(parse(client.get(link, headers=HTML)))


def test_a_late_payment_is_refunded_even_where_stripe_refuses_at_first(
    stripe: Stripe, database: Database, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay_after_the_end(stripe, database)
    link = link_of_the_e_mail(database)
    with monkeypatch.context() as refusing:
        refuse(refusing, "refund")
        for _ in range(2):
            answer = client.post(link, data={"what": "refund"}, headers=OURS)
            assert answer.status_code == 200
            assert "refund-pending" in names(parse(answer))
            assert "£10" in words(parse(answer))
    stripe.advance(minutes=40)
    look_again(stripe, database)
    assert "£10" in shown(parse(client.get(link, headers=HTML)), "refunded")
    assert emails(database).count("refunded") == 1
    assert number_of_members(database) == 0


def test_who_has_joined_again_is_only_offered_the_refund_of_a_late_payment(
    stripe: Stripe, database: Database, client: FlaskClient
) -> None:
    pay_after_the_end(stripe, database)
    stripe.settle(stripe.join("olena@example.org"))
    link = link_of_the_e_mail(database)
    offered = parse(client.get(link, headers=HTML)).select("button[name=what]")
    assert [button["value"] for button in offered] == ["refund"]
    client.post(link, data={"what": "restart"}, headers=OURS)
    assert len([found for found in memberships(database) if found.ended_at is None]) == 1


def test_a_late_payment_that_the_bank_withdrew_is_closed_to_its_link(
    stripe: Stripe, database: Database, client: FlaskClient
) -> None:
    pay_after_the_end(stripe, database)
    link = link_of_the_e_mail(database)
    with database.transaction() as session:
        session.execute(update(MoneyCase).values(closed_at=func.now()))
        session.execute(update(Payment).values(dispute="lost"))
    page = parse(client.get(link, headers=HTML))
    assert "settled" in names(page)
    assert not page.select("button[name=what]")


def test_a_forged_link_of_a_late_payment_opens_nothing(client: FlaskClient) -> None:
    answer = client.get("/account/payment/forged", headers=HTML)
    assert (answer.status_code, "error-404" in names(parse(answer))) == (404, True)


def test_a_case_of_a_customer_whom_stripe_does_not_know_is_no_endless_work(
    stripe: Stripe, database: Database, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = pay_twice(stripe)
    with monkeypatch.context() as refusing:
        refuse(refusing, "refund")
        client.get(f"/join/thanks?session_id={session_id}", headers=HTML)
    stripe.advance(minutes=16)

    def forget(_gateway: Gateway, _customer: str) -> None:
        raise NotFoundError("Stripe does not know it: No such customer.")

    monkeypatch.setattr(Gateway, "fetch_customer", forget)
    assert [look_again(stripe, database) for _ in range(3)] == [1, 0, 0]


def test_nobody_is_written_to_of_what_they_paid_after_the_end_long_ago(
    stripe: Stripe, database: Database
) -> None:
    """The first settlement of all customers after an update would write to them all."""
    customer = pay_after_the_end(stripe, database)
    with database.transaction() as session:
        session.execute(delete(Email))
        session.execute(delete(MoneyCase))
    stripe.advance(days=61)
    stripe.settle(customer)
    assert cases(database) == []
    assert "paid_after_end" not in emails(database)


def test_a_person_who_restarted_and_joins_again_pays_once(
    stripe: Stripe, database: Database, client: FlaskClient
) -> None:
    pay_after_the_end(stripe, database)
    client.post(link_of_the_e_mail(database), data={"what": "restart"}, headers=OURS)
    stripe.advance(seconds=5)
    other = stripe.join("olena@example.org")
    stripe.settle(other)
    assert stripe.call("GET", "charges", customer=other)["data"][0]["refunded"]
    assert number_of_members(database) == 1
