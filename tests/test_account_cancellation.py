"""What a member who cancels reads and gets, whichever way the subscription is to end at Stripe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup

from fundraiser.dashboard.overview.figures import read_to_cancel
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Cause, Membership
from fundraiser.payments.changes import Change, end_membership
from fundraiser.payments.stripe.gateway import StripeRefusedError
from fundraiser.payments.stripe.member_gateway import MemberGateway, member_gateway
from tests.factories import GRACE
from tests.members import OURS, Olena
from tests.pages import PageText
from tests.staff import day_of

if TYPE_CHECKING:
    from fundraiser.app import FundraiserApp

MONTH = 30 * 86400
MANAGED = (
    "Stripe refused this: The subscription is managed by the subscription schedule `sub_sched_1`, "
    "and updating any cancelation behavior directly is not allowed."
)


def ends_in_months(olena: Olena, months: int) -> None:
    """A pledge: it is to end on a day, as staff set it in Stripe's dashboard."""
    made = olena.at_stripe()
    end = made["created"] + months * MONTH
    olena.stripe.call("POST", f"subscriptions/{made['id']}", cancel_at=end)
    olena.stripe.settle(olena.customer)


def test_a_membership_that_ends_in_a_year_is_charged_until_then_and_can_be_cancelled(
    olena: Olena,
) -> None:
    ends_in_months(olena, 11)
    said = olena.overview()
    assert day_of(olena.membership.cancel_at) in said.parts["ends-later"]
    assert day_of(olena.membership.period_end) in said.parts["ends-later"]
    assert "£10 " in said.parts["ends-later"]
    assert "cancelled" not in said.marks
    assert "notice-stopped" in olena.action("cancellation").marks
    assert olena.membership.cancel_at == olena.membership.period_end
    assert "cancelled" in olena.overview().marks
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert olena.taken() == [1000]
    assert olena.number() == 0


def test_a_membership_that_ends_in_a_year_is_not_paid_for_twice(olena: Olena) -> None:
    ends_in_months(olena, 11)
    olena.stripe.advance(seconds=5)
    again = olena.stripe.join("olena@example.org", tier="patron")
    olena.stripe.settle(again)
    statuses = [
        found["status"]
        for found in olena.stripe.call("GET", f"subscriptions?customer={again}&status=all")["data"]
    ]
    assert statuses == ["canceled"]


def test_the_e_mails_link_cancels_a_membership_that_ends_in_a_year(
    olena: Olena, app: FundraiserApp
) -> None:
    ends_in_months(olena, 11)
    link = membership_link(olena.membership).removeprefix("http://127.0.0.1:8000")
    stranger = app.test_client()
    page = BeautifulSoup(stranger.get(link, headers=OURS).text, "html.parser")
    assert page.select_one("button[value=stop]")
    assert page.select_one("button[value=resume]")
    form = {str(f["name"]): str(f["value"]) for f in page.select("form input[type=hidden]")}
    answer = stranger.post(link, data=form | {"what": "stop"}, headers=OURS)
    assert "notice-stopped" in PageText.of(answer).marks
    assert olena.membership.cancel_at == olena.membership.period_end


def test_a_cancellation_that_stripe_refuses_is_told_to_the_member_and_to_staff(
    olena: Olena, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: object, _name: str, _change: object, _key: str) -> None:
        raise StripeRefusedError(MANAGED)

    with monkeypatch.context() as refused:
        refused.setattr(MemberGateway, "_update", refuse)
        said = olena.action("cancellation")
    assert "notice-stop_refused" in said.marks
    assert day_of(olena.membership.cancel_wanted_at) in said.parts["asked-to-cancel"]
    assert "subscription schedule" not in said
    with olena.database.transaction() as session:
        assert [m.id for m, _member in read_to_cancel(session, 9)] == [olena.membership.id]
    assert "notice-stopped" in olena.action("cancellation").marks
    with olena.database.transaction() as session:
        assert read_to_cancel(session, 9) == []


def test_a_change_that_stripe_refuses_is_no_sentence_for_developers(
    olena: Olena, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: object, _name: str, _change: object, _key: str) -> None:
        raise StripeRefusedError(MANAGED)

    path = olena.path("price")
    form = olena.form(path, path, tier="patron", interval="month")
    monkeypatch.setattr(MemberGateway, "_update", refuse)
    assert olena.send(path, form).status_code == 303
    assert "notice-refused" in olena.overview().marks
    assert "notice-refused" in olena.action("pause", months="1").marks
    assert olena.membership.amount == 1000


def put_on_a_schedule(olena: Olena) -> str:
    """As staff do in Stripe's dashboard, to raise the price from the next period on."""
    name = olena.membership.reference
    made = olena.stripe.call("POST", "subscription_schedules", from_subscription=name)["id"]
    olena.stripe.settle(olena.customer)
    assert olena.membership.schedule_id == made
    return str(made)


@pytest.mark.parametrize("what", ["cancellation", "pause", "price"])
def test_a_membership_that_a_schedule_manages_can_be_changed_like_any_other(
    olena: Olena, what: str
) -> None:
    schedule = put_on_a_schedule(olena)
    if what == "price":
        path = olena.path(what)
        olena.send(path, olena.form(path, path, tier="patron", interval="month"))
        assert "notice-changed" in olena.overview().marks
        assert olena.membership.amount == 2500
    elif what == "pause":
        assert "notice-paused" in olena.action(what, months="1").marks
    else:
        assert "notice-stopped" in olena.action(what).marks
        assert olena.at_stripe()["cancel_at_period_end"] is True
        assert "notice-resumed" in olena.resume().marks
    assert olena.stripe.call("GET", f"subscription_schedules/{schedule}")["status"] == "released"


def test_staff_end_a_membership_that_a_schedule_manages(olena: Olena, app: FundraiserApp) -> None:
    put_on_a_schedule(olena)
    with app.app_context(), olena.database.transaction() as session:
        change = Change(member_gateway(), GRACE, "key", Cause.STAFF)
        membership = session.get_one(Membership, olena.membership.id)
        end_membership(session, change, membership, at_period_end=True)
    assert olena.membership.cancel_at == olena.membership.period_end


@pytest.mark.parametrize("cleared_by_false", ["yes", "no"])
def test_a_cancellation_by_date_is_taken_back_whichever_way_stripe_clears_it(
    olena: Olena, cleared_by_false: str
) -> None:
    olena.stripe.control("choices", cancel_at_taken_back_by_false=cleared_by_false)
    made = olena.at_stripe()
    end = made["items"]["data"][0]["current_period_end"]
    olena.stripe.call("POST", f"subscriptions/{made['id']}", cancel_at=end)
    olena.stripe.settle(olena.customer)
    assert "state-ending" in olena.overview().marks
    said = olena.resume()
    assert "notice-resumed" in said.marks
    assert "£10 " in said.parts["next-charge"]
    assert olena.at_stripe()["cancel_at"] is None


def test_a_cancellation_that_stripe_does_not_take_back_is_not_said_to_be(
    olena: Olena, monkeypatch: pytest.MonkeyPatch
) -> None:
    olena.action("cancellation")
    monkeypatch.setattr(MemberGateway, "_update", lambda *_given: None)
    said = olena.resume()
    assert "notice-resumed" not in said.marks
    assert "notice-still_ending" in said.marks
    assert "state-ending" in said.marks
