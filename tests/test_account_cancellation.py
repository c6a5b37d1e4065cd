"""What a member who cancels reads and gets, whichever way the subscription is to end at Stripe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup

from fundraiser.dashboard.figures import read_to_cancel
from fundraiser.members.letter_links import membership_link
from fundraiser.payments.gateway import StripeRefusedError
from fundraiser.payments.member_gateway import MemberGateway
from simulator.store import Store
from tests.test_account_membership import OURS, Olena

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from tests.factories import Stripe

MONTH = 30 * 86400
MANAGED = (
    "Stripe refuses this: The subscription is managed by the subscription schedule `sub_sched_1`, "
    "and updating any cancelation behavior directly is not allowed."
)


@pytest.fixture
def olena(stripe: Stripe, client: FlaskClient) -> Olena:
    """A member of £10 a month, signed in."""
    stripe.open_shop()
    return Olena(stripe, client)


def patch(identity: str, **fields: Any) -> None:
    """Write an object at Stripe as only its own dashboard can."""
    store = Store(Path(os.environ["SIMULATOR_CLOCK"]).with_name("store.sqlite"))
    store.put({**store.one(identity), **fields})
    store.close()


def ends_in_months(olena: Olena, months: int) -> None:
    made = olena.at_stripe()
    patch(made["id"], cancel_at=made["created"] + months * MONTH, canceled_at=made["created"])
    olena.stripe.settle(olena.customer)


def test_a_membership_that_ends_in_a_year_is_charged_until_then_and_can_be_cancelled(
    olena: Olena,
) -> None:
    ends_in_months(olena, 11)
    said = olena.overview()
    assert "It ends on" in said
    assert "you’ll be charged £10 on" in said
    assert "You can cancel before then." in said
    assert "won’t be charged again" not in said
    assert "You have cancelled your membership." in olena.act("cancellation")
    assert olena.membership.cancel_at == olena.membership.period_end
    assert "you won’t be charged again" in olena.overview()
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert olena.taken() == [1000]
    assert olena.number() == 0


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
    assert "You have cancelled your membership." in answer.text
    assert olena.membership.cancel_at == olena.membership.period_end


def test_a_cancellation_that_stripe_refuses_is_told_to_the_member_and_to_staff(
    olena: Olena, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: object, _name: str, _change: object, _key: str) -> None:
        raise StripeRefusedError(MANAGED)

    with monkeypatch.context() as refused:
        refused.setattr(MemberGateway, "_update", refuse)
        said = olena.act("cancellation")
    assert "will cancel it for you" in said
    assert "You asked us to cancel it on" in said
    assert "subscription schedule" not in said
    with olena.database.transaction() as session:
        assert [m.id for m, _member in read_to_cancel(session, 9)] == [olena.membership.id]
    assert "You have cancelled your membership." in olena.act("cancellation")
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
    assert "The payment service refused this, so nothing has changed." in olena.overview()
    assert "The payment service refused this" in olena.act("pause", months="1")
    assert olena.membership.amount == 1000
