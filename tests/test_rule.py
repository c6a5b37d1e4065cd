"""The rule "paying-members/2": a test for each row of the published table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fundraiser.members.models import Source, Standing, Status
from fundraiser.members.rule import Reason, person_counts
from fundraiser.payments.facts import Charge, CustomerState, Invoice
from fundraiser.payments.standing import payment_facts
from tests.factories import GRACE, NOON, make_membership

if TYPE_CHECKING:
    from datetime import datetime

DAY = timedelta(days=1)


def verdict(**values: Any) -> tuple[bool, Reason]:
    found = person_counts([make_membership(**values)], NOON, GRACE)
    return found.counts, found.reason


def until(**values: Any) -> Any:
    return person_counts([make_membership(**values)], NOON, GRACE).until


def invoice(status: str, created_at: datetime) -> Invoice:
    """An invoice of the subscription ``sub`` that is tried as soon as it is open."""
    return Invoice(
        id=f"in_{created_at:%m%d}",
        subscription_id="sub",
        status=status,
        amount=1000,
        attempted=status != "draft",
        created_at=created_at,
        paid_at=created_at if status == "paid" else None,
        intents=frozenset({f"pi_{created_at:%m%d}"}),
    )


def customer_state(*invoices: tuple[Invoice, list[str]]) -> CustomerState:
    """A customer with these invoices, each with what became of the tries to charge it."""
    charges = [
        Charge(
            id=f"ch_{number}_{tried.id}",
            intent_id=next(iter(tried.intents)),
            status=status,
            amount=1000,
            refunded=0,
            currency="GBP",
            created_at=tried.created_at,
            refunded_at=None,
            dispute=None,
            disputed_at=None,
            failure="card_declined" if status == "failed" else None,
            metadata={},
        )
        for tried, tries in invoices
        for number, status in enumerate(tries)
    ]
    return CustomerState(
        id="cus",
        deleted=False,
        email="reader@example.org",
        name=None,
        country=None,
        subscriptions=(),
        invoices=tuple(found for found, _ in invoices),
        charges=tuple(charges),
    )


def test_active_and_paid_counts() -> None:
    assert verdict() == (True, Reason.PAID)
    assert until() is None


def test_a_first_debit_in_process_counts_until_it_fails() -> None:
    assert verdict(standing=Standing.IN_PROCESS, paid_at=None)[0]
    assert not verdict(standing=Standing.NOTHING, paid_at=None)[0]
    assert not verdict(status=Status.PAST_DUE, standing=Standing.NOTHING, grace_from=NOON)[0]


@pytest.mark.parametrize(
    ("status", "tries"), [("draft", []), ("open", ["pending"]), ("open", ["failed", "pending"])]
)
def test_a_renewal_that_is_a_draft_or_a_debit_in_process_counts_on_the_strength_of_the_one_before(
    status: str, tries: list[str]
) -> None:
    facts = payment_facts(
        customer_state(
            (invoice(status, NOON), tries), (invoice("paid", NOON - 30 * DAY), ["succeeded"])
        ),
        "sub",
    )
    assert (facts.standing, facts.paid_at) == (Standing.PAID, NOON - 30 * DAY)
    assert verdict(standing=facts.standing, paid_at=facts.paid_at) == (True, Reason.PAID)


def test_active_with_collection_paused_does_not_count() -> None:
    assert verdict(collection_paused=True) == (False, Reason.COLLECTION_PAUSED)


def test_one_to_be_cancelled_counts_until_that_end() -> None:
    assert verdict(cancel_at=NOON + DAY)[0]
    assert until(cancel_at=NOON + DAY) == NOON + DAY
    assert verdict(cancel_at=NOON) == (False, Reason.ENDED)


def test_past_due_counts_for_the_grace_period_from_the_first_failed_charge() -> None:
    overdue: dict[str, Any] = {"status": Status.PAST_DUE, "standing": Standing.OVERDUE}
    assert verdict(**overdue, grace_from=NOON - 13 * DAY) == (True, Reason.IN_GRACE)
    assert until(**overdue, grace_from=NOON - 13 * DAY) == NOON + DAY
    assert verdict(**overdue, grace_from=NOON - GRACE) == (False, Reason.GRACE_OVER)


def test_past_due_and_to_be_cancelled_ends_at_whichever_is_first() -> None:
    overdue: dict[str, Any] = {"status": Status.PAST_DUE, "standing": Standing.OVERDUE}
    assert until(**overdue, grace_from=NOON - DAY, cancel_at=NOON + DAY) == NOON + DAY


@pytest.mark.parametrize(
    "status",
    [
        Status.TRIALING,
        Status.INCOMPLETE,
        Status.INCOMPLETE_EXPIRED,
        Status.UNPAID,
        Status.PAUSED,
        Status.CANCELED,
    ],
)
def test_other_states_do_not_count(status: Status) -> None:
    assert not verdict(status=status)[0]


def test_a_refunded_newest_payment_does_not_count() -> None:
    assert verdict(refunded_at=NOON - DAY) == (False, Reason.REFUNDED)


def test_a_disputed_newest_payment_does_not_count_until_it_is_won() -> None:
    assert verdict(disputed_at=NOON - DAY) == (False, Reason.DISPUTED)
    assert verdict(disputed_at=None)[0]


def test_a_redeemed_gift_counts_until_it_ends() -> None:
    assert verdict(source=Source.GIFT, counts_until=NOON + DAY) == (True, Reason.GIFT)
    assert until(source=Source.GIFT, counts_until=NOON + DAY) == NOON + DAY
    assert verdict(source=Source.GIFT, counts_until=NOON) == (False, Reason.ENDED)


def test_a_gift_whose_money_went_back_does_not_count() -> None:
    gift = {"source": Source.GIFT, "counts_until": NOON + DAY}
    assert verdict(**gift, refunded_at=NOON) == (False, Reason.REFUNDED)
    assert verdict(**gift, disputed_at=NOON) == (False, Reason.DISPUTED)


def test_an_import_counts_until_its_paid_through_date_and_the_grace_period() -> None:
    assert verdict(source=Source.IMPORT, counts_until=NOON - 13 * DAY) == (True, Reason.IMPORTED)
    assert not verdict(source=Source.IMPORT, counts_until=NOON - GRACE)[0]


def test_complimentary_and_amount_zero_do_not_count() -> None:
    assert verdict(source=Source.COMPLIMENTARY) == (False, Reason.NOTHING_TO_PAY)
    assert verdict(amount=0) == (False, Reason.NOTHING_TO_PAY)


def test_nobody_counts_without_a_membership() -> None:
    assert person_counts([], NOON, GRACE).reason is Reason.NO_MEMBERSHIP


def test_a_person_counts_while_one_of_several_memberships_does() -> None:
    ended = make_membership(status=Status.CANCELED, ended_at=NOON - DAY)
    gift = make_membership(source=Source.GIFT, counts_until=NOON + DAY)
    found = person_counts([ended, gift], NOON, GRACE)
    assert (found.counts, found.until) == (True, NOON + DAY)
    assert person_counts([gift, make_membership()], NOON, GRACE).until is None
