"""The form that is sent again, and what was archived at Stripe by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from fundraiser.members.models import Interval
from fundraiser.payments.models import Checkout, Price, Tier
from fundraiser.payments.products import check_catalogue, missing_from_catalogue, publish_next
from fundraiser.payments.stripe.errors import UnusablePriceError
from fundraiser.payments.stripe.gateway import Gateway, current_gateway
from fundraiser.payments.stripe.member_gateway import Terms, member_gateway
from tests.settlements import memberships, number_of_members

if TYPE_CHECKING:
    from fundraiser.db import Database
    from tests.factories import Stripe

pytestmark = pytest.mark.usefixtures("open_shop")


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    """Alone: what is archived here is offered to nobody else."""
    return empty_stripe_url


@pytest.fixture
def form() -> str:
    """The nonce of a form that stays open in a tab."""
    return f"form-{uuid4().hex}"


def session_of(page: str) -> str:
    return page.rsplit("/", 1)[1]


def price_of_a_month(database: Database) -> Price:
    with database.transaction() as session:
        return session.scalars(
            select(Price).where(
                Price.tier_slug == "member",
                Price.currency == "GBP",
                Price.interval == Interval.MONTH,
            )
        ).one()


def publish(database: Database) -> None:
    """The sweep that brings the catalogue to Stripe."""
    more = True
    while more:
        with database.transaction() as session:
            more = publish_next(session, current_gateway())


def test_a_form_that_is_sent_again_opens_the_same_page_while_that_is_open(
    stripe: Stripe, database: Database, form: str
) -> None:
    pages = {stripe.checkout(nonce=form) for _ in range(3)}
    assert len(pages) == 1
    with database.transaction() as session:
        assert len(session.scalars(select(Checkout)).all()) == 1


def test_a_form_that_is_sent_a_day_later_opens_a_new_page_for_the_same_checkout(
    stripe: Stripe, database: Database, form: str
) -> None:
    """Stripe's sessions live for a day: the page that expired says so to whoever opens it."""
    old = stripe.checkout(nonce=form)
    for _ in range(2):
        stripe.advance(hours=25)
        new = stripe.checkout(nonce=form)
        assert session_of(new) != session_of(old)
        assert new == stripe.checkout(nonce=form)
        old = new
    assert stripe.pay(new, "olena@example.org").status_code == 303
    stripe.settle(stripe.customer_of(new))
    with database.transaction() as session:
        (checkout,) = session.scalars(select(Checkout)).all()
    assert (checkout.session_id, checkout.reference) == (
        session_of(new),
        memberships(database)[0].reference,
    )
    assert number_of_members(database) == 1


def test_a_form_whose_session_was_ended_early_opens_a_new_page(stripe: Stripe, form: str) -> None:
    old = stripe.checkout(nonce=form)
    stripe.call("POST", f"checkout/sessions/{session_of(old)}/expire")
    assert session_of(stripe.checkout(nonce=form)) != session_of(old)


def test_a_session_whose_answer_was_lost_a_day_ago_is_not_used(
    stripe: Stripe, database: Database, form: str
) -> None:
    """Killed between Stripe's answer and our commit: Stripe replays the answer, expired or not."""
    old = stripe.checkout(nonce=form)
    with database.transaction() as session:
        checkout = session.scalars(select(Checkout)).one()
        checkout.session_id = checkout.session_url = None
    assert stripe.checkout(nonce=form) == old
    with database.transaction() as session:
        checkout = session.scalars(select(Checkout)).one()
        checkout.session_id = checkout.session_url = None
    stripe.call("GET", "customers")
    stripe.advance(hours=24)
    new = stripe.checkout(nonce=form)
    assert stripe.call("GET", f"checkout/sessions/{session_of(new)}")["status"] == "open"


def test_a_form_that_is_sent_again_after_paying_leads_to_the_thanks(
    stripe: Stripe, form: str
) -> None:
    """Nobody pays twice by going back in the browser."""
    page = stripe.checkout(nonce=form)
    stripe.pay(page, "olena@example.org")
    again = stripe.checkout(nonce=form)
    assert again == f"http://127.0.0.1:8000/join/thanks?session_id={session_of(page)}"


def test_a_price_archived_by_hand_does_not_close_the_shop(
    stripe: Stripe, database: Database
) -> None:
    """PMPro#3717, Ghost#15195: each reader read Stripe's sentence for developers."""
    archived = price_of_a_month(database).stripe_id
    stripe.call("POST", f"prices/{archived}", active="false")
    customer = stripe.join("olena@example.org")
    stripe.settle(customer)
    assert (memberships(database)[0].amount, memberships(database)[0].tier) == (1000, "member")
    with database.transaction() as session:
        assert missing_from_catalogue(session) == 1
    publish(database)
    made = price_of_a_month(database)
    assert made.stripe_id != archived
    assert (made.amount, made.next_amount) == (1000, None)
    page = stripe.checkout()
    line = stripe.call("GET", f"checkout/sessions/{session_of(page)}/line_items")["data"][0]
    assert line["price"]["id"] == made.stripe_id


@pytest.mark.parametrize("values", [{}, {"amount": 1234}])
def test_a_product_archived_by_hand_does_not_close_the_shop(
    stripe: Stripe, database: Database, monkeypatch: pytest.MonkeyPatch, values: dict[str, int]
) -> None:
    """Whether Stripe sells an archived product inline is not known for sure: here it refuses."""
    with database.transaction() as session:
        product = session.get_one(Tier, "member").product_id
    stripe.call("POST", f"products/{product}", active="false")
    make, tries = Gateway._make_session, []  # noqa: SLF001 - what Stripe alone would refuse

    def refuse(gateway: Gateway, params: dict[str, Any], key: str) -> Any:
        tries.append(key)
        if not stripe.call("GET", f"products/{product}")["active"]:
            raise UnusablePriceError("Stripe refused this: The product is marked as inactive.")
        return make(gateway, params, key)

    monkeypatch.setattr(Gateway, "_make_session", refuse)
    assert stripe.checkout(**values).startswith("http")
    assert len(set(tries)) == len(tries)
    assert stripe.call("GET", f"products/{product}")["active"]


def test_what_is_archived_at_stripe_is_found_before_a_reader_meets_it(
    stripe: Stripe, database: Database
) -> None:
    archived = price_of_a_month(database).stripe_id
    stripe.call("POST", f"prices/{archived}", active="false")
    with database.transaction() as session:
        product = session.get_one(Tier, "patron").product_id
        stripe.call("POST", f"products/{product}", active="false")
        assert check_catalogue(session, current_gateway()) == 1
    assert stripe.call("GET", f"products/{product}")["active"]
    publish(database)
    assert price_of_a_month(database).stripe_id != archived
    with database.transaction() as session:
        assert check_catalogue(session, current_gateway()) == 0


def test_a_member_may_choose_a_tier_whose_price_was_archived(
    stripe: Stripe, database: Database
) -> None:
    customer = stripe.join("olena@example.org", tier="reader")
    stripe.settle(customer)
    price = price_of_a_month(database)
    stripe.call("POST", f"prices/{price.stripe_id}", active="false")
    with database.transaction() as session:
        product = session.get_one(Tier, "member").product_id
    assert product
    terms = Terms(
        product_id=product,
        price_id=price.stripe_id,
        amount=1000,
        currency="GBP",
        interval=Interval.MONTH,
        at_once=True,
        ours=frozenset({product}),
    )
    membership = memberships(database)[0]
    # At the period's first second: the next one may already be worth a penny less.
    preview = member_gateway().preview(membership.reference, terms, membership.started_at)
    assert preview.due == 500
    member_gateway().change(membership.reference, terms, membership.started_at, "key")
    stripe.settle(customer)
    assert (memberships(database)[0].amount, memberships(database)[0].tier) == (1000, "member")
