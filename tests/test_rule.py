"""The rule "paying-members/2": a test for each row of the published table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fundraiser.db import now
from fundraiser.members.eligibility import Reason, person_counts
from fundraiser.members.models import Dues, Source, Status
from fundraiser.payments.payment_status import payment_facts
from fundraiser.payments.stripe.types import Charge, CustomerState, Invoice, Line
from tests.factories import GRACE, NOON, make_membership

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.payments.payment_status import PaymentFacts

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
        remaining=0 if status == "paid" else 1000,
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
    assert verdict(payment_status=Dues.IN_PROCESS, paid_at=None)[0]
    assert not verdict(payment_status=Dues.NOTHING, paid_at=None)[0]
    assert not verdict(status=Status.PAST_DUE, payment_status=Dues.NOTHING, grace_from=NOON)[0]


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
    assert (facts.payment_status, facts.paid_at) == (Dues.PAID, NOON - 30 * DAY)
    assert verdict(payment_status=facts.payment_status, paid_at=facts.paid_at) == (
        True,
        Reason.PAID,
    )


def test_a_pause_takes_effect_at_the_end_of_what_is_paid_for() -> None:
    paused: dict[str, Any] = {"collection_paused": True, "interval": "year"}
    assert verdict(**paused, paid_until=NOON + 200 * DAY) == (True, Reason.PAID)
    assert until(**paused, paid_until=NOON + 200 * DAY) == NOON + 200 * DAY
    # Stripe's own period goes on while nothing is charged.
    assert verdict(**paused, paid_until=NOON - DAY, period_end=NOON + 20 * DAY) == (
        False,
        Reason.COLLECTION_PAUSED,
    )
    assert not verdict(
        **paused,
        status=Status.PAST_DUE,
        payment_status=Dues.OVERDUE,
        grace_from=NOON - DAY,
        paid_until=NOON - DAY,
    )[0]


def test_one_to_be_cancelled_counts_until_that_end() -> None:
    assert verdict(cancel_at=NOON + DAY)[0]
    assert until(cancel_at=NOON + DAY) == NOON + DAY
    assert verdict(cancel_at=NOON) == (False, Reason.ENDED)


def test_past_due_counts_for_the_grace_period_from_the_first_failed_charge() -> None:
    overdue: dict[str, Any] = {
        "status": Status.PAST_DUE,
        "payment_status": Dues.OVERDUE,
    }
    assert verdict(**overdue, grace_from=NOON - 13 * DAY) == (True, Reason.IN_GRACE)
    assert until(**overdue, grace_from=NOON - 13 * DAY) == NOON + DAY
    assert verdict(**overdue, grace_from=NOON - GRACE) == (False, Reason.GRACE_OVER)


def test_active_with_an_unpaid_invoice_is_overdue_like_past_due() -> None:
    overdue: dict[str, Any] = {
        "status": Status.ACTIVE,
        "payment_status": Dues.OVERDUE,
    }
    assert verdict(**overdue, grace_from=NOON - 13 * DAY) == (True, Reason.IN_GRACE)
    assert verdict(**overdue, grace_from=NOON - GRACE) == (False, Reason.GRACE_OVER)


def test_past_due_without_a_known_failure_does_not_begin_its_grace_anew_at_each_count() -> None:
    unknown: dict[str, Any] = {"status": Status.PAST_DUE, "paid_until": NOON - 15 * DAY}
    assert verdict(**unknown) == (False, Reason.GRACE_OVER)
    assert verdict(**unknown | {"paid_until": NOON - DAY})[0]


@pytest.mark.parametrize(
    "free",
    [
        {"status": Status.TRIALING},
        {"payment_status": Dues.FREE, "amount": 0, "price": 1000},
    ],
)
def test_a_free_period_counts_until_its_end_for_somebody_who_has_paid_before(
    free: dict[str, Any],
) -> None:
    end = NOON + 20 * DAY
    assert verdict(**free, has_paid=True, free_until=end) == (True, Reason.FREE_PERIOD)
    assert until(**free, has_paid=True, free_until=end) == end
    assert not verdict(**free, has_paid=True, free_until=NOON)[0]
    assert not verdict(**free, has_paid=False, free_until=end)[0]
    assert not verdict(**free, has_paid=True, free_until=None)[0], "free without an end"


def test_whoever_paid_for_another_membership_has_paid_before() -> None:
    free = make_membership(
        status=Status.TRIALING, has_paid=False, paid_at=None, free_until=NOON + DAY
    )
    before = make_membership(status=Status.CANCELED, ended_at=NOON - DAY, has_paid=True)
    imported = make_membership(source=Source.IMPORT, counts_until=NOON - 90 * DAY)
    given = make_membership(source=Source.GIFT, counts_until=NOON - DAY, has_paid=True)
    assert not person_counts([free], NOON, GRACE).counts
    assert person_counts([before, free], NOON, GRACE).counts
    assert person_counts([imported, free], NOON, GRACE).counts
    assert not person_counts([given, free], NOON, GRACE).counts


def test_one_that_was_moved_to_another_product_does_not_count() -> None:
    assert verdict(moved_at=NOON - DAY) == (False, Reason.OTHER_PRODUCT)


def test_past_due_and_to_be_cancelled_ends_at_whichever_is_first() -> None:
    overdue: dict[str, Any] = {
        "status": Status.PAST_DUE,
        "payment_status": Dues.OVERDUE,
    }
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


def test_a_refunded_period_does_not_count() -> None:
    assert verdict(refunded_at=NOON - DAY) == (False, Reason.REFUNDED)


def test_a_disputed_period_does_not_count_until_it_is_won() -> None:
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


def test_an_import_without_a_paid_through_date_is_never_counted() -> None:
    assert verdict(source=Source.IMPORT, counts_until=None) == (False, Reason.NOT_PAID)


def test_an_import_that_the_member_cancelled_has_no_grace() -> None:
    leaving = {"source": Source.IMPORT, "counts_until": NOON + DAY, "cancel_at": NOON + DAY}
    assert until(**leaving) == NOON + DAY
    assert not verdict(source=Source.IMPORT, counts_until=NOON, cancel_at=NOON)[0]


def test_an_import_that_was_refunded_or_disputed_is_not_counted() -> None:
    paid = {"source": Source.IMPORT, "counts_until": NOON + DAY}
    assert verdict(**paid, refunded_at=NOON) == (False, Reason.REFUNDED)
    assert verdict(**paid, disputed_at=NOON) == (False, Reason.DISPUTED)


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


def test_a_person_counts_until_the_last_of_several_memberships_ends() -> None:
    short = make_membership(source=Source.GIFT, counts_until=NOON + DAY)
    long = make_membership(source=Source.GIFT, counts_until=NOON + 3 * DAY)
    assert person_counts([short, long], NOON, GRACE).until == NOON + 3 * DAY
    assert person_counts([long, short], NOON, GRACE).until == NOON + 3 * DAY


def test_the_latest_of_several_memberships_says_why_a_person_does_not_count() -> None:
    ended = make_membership(status=Status.CANCELED, ended_at=NOON - 9 * DAY)
    refunded = make_membership(refunded_at=NOON - DAY)
    assert person_counts([ended, refunded], NOON, GRACE).reason is Reason.REFUNDED
    assert person_counts([refunded, ended], NOON, GRACE).reason is Reason.REFUNDED


# What the rule reads of invoices and charges


def facts_of(*invoices: tuple[Invoice, list[str]], **changes: Any) -> PaymentFacts:
    state = customer_state(*invoices)
    charges = tuple(
        replace(charge, **changes.get(charge.id.rpartition("_")[2], {})) for charge in state.charges
    )
    return payment_facts(replace(state, charges=charges), "sub")


def for_a_period(status: str, at: datetime, **values: Any) -> Invoice:
    line = Line("si", 1000, at, at + 30 * DAY, is_proration=False)
    return replace(invoice(status, at), **{"lines": (line,), **values})


def difference(at: datetime) -> Invoice:
    lines = tuple(
        Line("si", amount, at, at + 10 * DAY, is_proration=True) for amount in (-500, 1400)
    )
    return replace(invoice("paid", at), lines=lines)


FAILED, PAID = ["failed"], ["succeeded"]


Tried = tuple[Invoice, list[str]]


def test_grace_runs_from_the_first_failure_of_an_unbroken_row() -> None:
    first, second, third = NOON - 60 * DAY, NOON - 30 * DAY, NOON
    row = [(invoice("open", at), FAILED) for at in (third, second, first)]
    paid = (invoice("paid", first - 30 * DAY), PAID)
    assert facts_of(*row, paid).grace_from == first
    # What is paid or forgiven ends a row; what is given up or asks for nothing does not.
    assert facts_of(row[0], (invoice("paid", second), PAID), row[2], paid).grace_from == third
    assert facts_of(row[0], (invoice("void", second), FAILED), row[2], paid).grace_from == first
    given_up = (invoice("uncollectible", second), FAILED)
    assert facts_of(row[0], given_up, row[2], paid).grace_from == first
    nothing: Tried = (replace(invoice("paid", second), amount=0), [])
    assert facts_of(row[0], nothing, row[2], paid).grace_from == first


def test_an_invoice_by_e_mail_is_overdue_from_its_due_date() -> None:
    at = now()
    paid = (invoice("paid", at - 400 * DAY), PAID)

    def sent(due: timedelta) -> PaymentFacts:
        found = invoice("open", at - 35 * DAY)
        return facts_of((replace(found, attempted=False, due_at=at + due), []), paid)

    assert (sent(DAY).payment_status, sent(DAY).grace_from) == (Dues.PAID, None)
    assert (sent(-DAY).payment_status, sent(-DAY).grace_from) == (
        Dues.OVERDUE,
        at - DAY,
    )


def test_a_refund_is_judged_by_the_payment_of_the_period() -> None:
    year, more = for_a_period("paid", NOON - 30 * DAY), difference(NOON)
    refunded = {"refunded_at": NOON + DAY}
    both = [(more, PAID), (year, PAID)]
    assert facts_of(*both).refunded_at is None
    assert facts_of(*both, **{f"{NOON:%m%d}": refunded}).refunded_at is None
    assert facts_of(*both, **{f"{NOON - 30 * DAY:%m%d}": refunded}).refunded_at == NOON + DAY
    disputed = {"dispute": "needs_response", "disputed_at": NOON}
    assert facts_of(*both, **{f"{NOON:%m%d}": disputed}).disputed_at is None
    assert facts_of(*both, **{f"{NOON - 30 * DAY:%m%d}": disputed}).disputed_at == NOON
    inquiry = {"dispute": "warning_needs_response", "disputed_at": NOON}
    assert facts_of(*both, **{f"{NOON - 30 * DAY:%m%d}": inquiry}).disputed_at is None


def test_an_older_period_that_was_refunded_changes_nothing() -> None:
    new, old = for_a_period("paid", NOON), for_a_period("paid", NOON - 30 * DAY)
    refunded = {f"{NOON - 30 * DAY:%m%d}": {"refunded_at": NOON}}
    assert facts_of((new, PAID), (old, PAID), **refunded).refunded_at is None


def test_a_payment_without_an_intent_is_found_by_its_charge() -> None:
    old = replace(invoice("paid", NOON), intents=frozenset(), charges=frozenset({"ch_old"}))
    state = customer_state((invoice("paid", NOON), PAID))
    charge = replace(state.charges[0], id="ch_old", intent_id=None, refunded_at=NOON)
    facts = payment_facts(replace(state, invoices=(old,), charges=(charge,)), "sub")
    assert (facts.refunded_at, facts.has_paid) == (NOON, False)


def test_only_what_was_kept_was_paid() -> None:
    month = for_a_period("paid", NOON)
    assert facts_of((month, PAID)).has_paid
    assert facts_of((month, [])).has_paid, "in cash, or by credit"
    assert not facts_of((month, PAID), **{f"{NOON:%m%d}": {"refunded_at": NOON}}).has_paid


def test_what_is_paid_for_ends_with_the_newest_paid_period() -> None:
    paid, unpaid = for_a_period("paid", NOON - 30 * DAY), for_a_period("void", NOON)
    assert facts_of((unpaid, []), (paid, PAID)).paid_until == NOON
    assert facts_of((difference(NOON), PAID), (paid, PAID)).paid_until == NOON


def test_a_period_is_free_while_its_invoice_asked_for_nothing() -> None:
    paid = (for_a_period("paid", NOON - 30 * DAY), PAID)
    free: Tried = (for_a_period("paid", NOON, amount=0), [])
    assert facts_of(free, paid).payment_status is Dues.FREE
    draft: Tried = (for_a_period("draft", NOON + 30 * DAY), [])
    assert facts_of(draft, free, paid).payment_status is Dues.FREE
    failed = (for_a_period("open", NOON + 30 * DAY), FAILED)
    assert facts_of(failed, free, paid).payment_status is Dues.OVERDUE
    assert facts_of(failed, free).payment_status is Dues.NOTHING, "nothing was ever paid"
    by_credit: Tried = (replace(difference(NOON), amount=0), [])
    assert facts_of(by_credit, paid).payment_status is Dues.PAID
