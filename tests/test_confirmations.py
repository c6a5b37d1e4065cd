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
    day = f"{resumes.day} {resumes:%B %Y}"
    assert day in said.parts["restarts"]
    told = confirmed(olena)
    assert list(told) == ["membership_paused"]
    assert day in told["membership_paused"].subject
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
