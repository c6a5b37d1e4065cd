"""What a staff page says that an act would do, before it is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fundraiser.dashboard.members.preview import of_ending, of_note, of_refund
from fundraiser.dashboard.members.profile import Person
from fundraiser.db import now
from fundraiser.members.gifts import Gift
from fundraiser.members.models import Member, Membership, Status
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import GRACE, make_membership

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.app import FundraiserApp


@pytest.fixture(autouse=True)
def request_context(app: FundraiserApp) -> Iterator[None]:
    """Sentences are written in the language of a request."""
    with app.test_request_context():
        yield


def membership(**values: Any) -> Membership:
    return make_membership(
        id=1, reference="sub_1", paid_at=now(), period_end=now() + GRACE, **values
    )


def payment(number: int, paid_at: datetime) -> Payment:
    return Payment(
        id=number,
        charge_id=f"ch_{number}",
        kind=CheckoutKind.MEMBERSHIP,
        subscription_id="sub_1",
        status=PaymentStatus.SUCCEEDED,
        amount=1000,
        refunded=0,
        currency="GBP",
        paid_at=paid_at,
    )


def person(one: Membership, *payments: Payment) -> Person:
    member = Member(id=1, email="olena@example.org", language="en", counting=True, sequence=1)
    return Person(member, [], {}, [one], payments, [], [], [], None, 0, [])


def name_of(sentence: str) -> str:
    return str(getattr(sentence, "name", ""))


def test_only_the_latest_payments_refund_takes_the_number_down() -> None:
    latest, old = payment(2, now()), payment(1, now() - timedelta(days=30))
    olena = person(membership(), latest, old)
    whole, part = of_refund(olena, latest, 1000, GRACE)
    assert whole.number != part.number
    whole, part = of_refund(olena, old, 1000, GRACE)
    assert whole.number == part.number


def test_ending_an_overdue_membership_later_says_that_stripe_may_still_charge() -> None:
    paid, _ = of_ending(person(membership()), membership(), GRACE)
    overdue = membership(status=Status.PAST_DUE, grace_from=now() - timedelta(days=1))
    late, _ = of_ending(person(overdue), overdue, GRACE)
    assert late.money != paid.money
    assert name_of(late.number) == "falls-unless-paid"


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ({}, "stays-counted"),
        ({"recount_at": datetime(2027, 1, 3, tzinfo=UTC)}, "stays-until"),
        ({"counting": False}, "stays-uncounted"),
    ],
)
def test_what_changes_nothing_says_whether_the_person_is_counted(
    state: dict[str, Any], name: str
) -> None:
    olena = person(membership())
    for key, value in state.items():
        setattr(olena.member, key, value)
    (effects,) = of_note(olena)
    assert name_of(effects.number) == name
    assert ("3 January 2027" in effects.number) == ("recount_at" in state)


@pytest.mark.parametrize(
    ("redeemed_at", "number", "mail"),
    [
        (None, "gift-unaccepted", "tells-giver"),
        (now(), "recipient-falls-now", "tells-giver-and-recipient"),
    ],
)
def test_refunding_a_gift_says_whom_it_concerns(
    redeemed_at: datetime | None, number: str, mail: str
) -> None:
    paid = payment(1, now())
    gift = Gift(charge_id=paid.charge_id, redeemed_at=redeemed_at, recipient_name="Petro")
    olena = replace(person(membership(), paid), gifts=[gift])
    whole, part = of_refund(olena, paid, 1000, GRACE)
    assert (name_of(whole.number), name_of(whole.mail)) == (number, mail)
    assert name_of(part.number) == "stays-counted"
