"""Each change of a membership is confirmed by e-mail at once, once, and exactly."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from fundraiser.emails.kinds import KINDS
from fundraiser.emails.parts.body import NotDueError
from fundraiser.emails.sweep import sweep
from fundraiser.members.models import Membership
from fundraiser.outbox import Email
from fundraiser.payments.models import Payment

if TYPE_CHECKING:
    from fundraiser.emails.parts.body import Body
    from tests.members import Olena


def confirmed(olena: Olena) -> dict[str, Body]:
    """What is enqueued about changes and still true, by kind; all of it goes at any hour."""
    told = {}
    with olena.database.transaction() as session:
        sweep(session)
        emails = session.scalars(
            select(Email).where(Email.kind != "welcome").order_by(Email.id)
        ).all()
        assert all(email.urgent for email in emails)
        kinds = [email.kind for email in emails]
        assert len(kinds) == len(set(kinds))
        for email in emails:
            with suppress(NotDueError):
                told[email.kind] = KINDS[email.kind].body(session, email)
    return told


def rows(body: Body) -> str:
    return " ".join(value for _label, value in body.rows or [])


def change_price(olena: Olena, **wanted: str) -> None:
    path = olena.path("price")
    form = olena.form(path, path, interval="month", **wanted)
    assert olena.send(path, form).status_code == 303


def test_a_pause_starts_where_what_is_paid_for_ends_and_its_e_mail_says_until_when(
    olena: Olena,
) -> None:
    assert olena.membership.period_end
    link = olena.open("/account").select_one(f"a[href='{olena.path('pause')}']")
    assert link, "found without cancelling"
    said = olena.action("pause", months="2")
    resumes = olena.membership.resumes_at
    assert resumes
    assert (resumes - olena.membership.period_end).days in {57, 58, 59, 60, 61}
    day, begins = (f"{at.day} {at:%B %Y}" for at in (resumes, olena.membership.period_end))
    assert day in said.parts["restarts"]
    assert begins in said.parts["notice-paused"], "it begins later, and the notice says when"
    assert day in said.parts["notice-paused"]
    told = confirmed(olena)
    assert list(told) == ["membership_paused"]
    assert day in told["membership_paused"].subject
    assert any(begins in sentence for sentence in told["membership_paused"].paragraphs)
    olena.resume()
    assert olena.membership.resumes_at is None
    assert list(confirmed(olena)) == ["membership_paused", "membership_continues"]


@pytest.mark.parametrize("overdue", [False, True])
def test_a_cancellation_is_confirmed_at_any_hour(olena: Olena, overdue: bool) -> None:  # noqa: FBT001
    if overdue:
        olena.stripe.change_card(olena.customer, "4000000000000341")
        olena.stripe.advance(days=32)
        olena.stripe.settle(olena.customer)
    olena.action("cancellation")
    assert ("ended" if overdue else "canceled") in confirmed(olena)


def test_a_new_price_is_confirmed_with_what_was_charged_and_what_comes_next(olena: Olena) -> None:
    olena.stripe.advance(seconds=5)  # not in the second in which she joined
    change_price(olena, tier="patron")
    body = confirmed(olena)["price_changed"]
    (charged, *_before) = olena.taken()
    assert f"£{charged / 100:.2f}".removesuffix(".00") in rows(body)
    assert "£25" in body.subject


def test_a_price_changed_in_stripe_itself_is_confirmed_too(olena: Olena) -> None:
    olena.stripe.settle(olena.customer)
    assert confirmed(olena) == {}
    change_at_stripe(olena, 2500)
    for _look in range(2):
        olena.stripe.settle(olena.customer)
    told = confirmed(olena)
    assert list(told) == ["price_changed_at_stripe"]
    assert "£25" in told["price_changed_at_stripe"].subject


def test_one_change_in_the_account_is_one_email_and_the_next_in_stripe_another(
    olena: Olena,
) -> None:
    change_price(olena, tier="patron")
    olena.stripe.settle(olena.customer)
    assert list(confirmed(olena)) == ["price_changed"]
    change_at_stripe(olena, 1500)
    olena.stripe.settle(olena.customer)
    assert "price_changed_at_stripe" in confirmed(olena)


def change_at_stripe(olena: Olena, amount: int) -> None:
    item = olena.at_stripe()["items"]["data"][0]
    price = {
        "items[0][id]": item["id"],
        "items[0][price_data][currency]": "gbp",
        "items[0][price_data][product]": item["price"]["product"],
        "items[0][price_data][unit_amount]": amount,
        "items[0][price_data][recurring][interval]": "month",
        "proration_behavior": "none",
    }
    olena.stripe.call("POST", f"subscriptions/{olena.membership.reference}", **price)


def test_who_is_back_reads_what_was_charged(olena: Olena) -> None:
    """Two sums on one day are both named, not the price that they come to."""
    with olena.database.transaction() as session:
        paid = session.scalars(select(Payment)).one()
        paid.amount = 782
        second = {"charge_id": "ch_2", "amount": 1218, "paid_at": paid.paid_at}
        same = ("member_id", "customer_id", "kind", "subscription_id", "status", "currency")
        session.add(Payment(**{name: getattr(paid, name) for name in same} | second))
        email = session.scalars(select(Email).filter_by(kind="welcome")).one()
        assert "£7.82 and £12.18, " in rows(KINDS["welcome"].body(session, email))
    assert "£7.82 and £12.18, " in olena.overview()


def test_a_change_that_waits_for_the_bank_is_not_confirmed(olena: Olena) -> None:
    change_price(olena, tier="patron")
    with olena.database.transaction() as session:
        session.get_one(Membership, olena.membership.id).needs_confirmation = True
    assert confirmed(olena) == {}


def test_a_new_card_is_confirmed_with_its_last_digits(olena: Olena) -> None:
    olena.stripe.change_card(olena.customer, "5555555555554444")
    for _look in range(2):
        olena.stripe.settle(olena.customer)
    assert "4444" in rows(confirmed(olena)["method_changed"])
