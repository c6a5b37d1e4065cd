"""Sync one customer: update our rows from Stripe, and recount the person.

``fetch`` calls Stripe without a database; ``write`` is one transaction without calls. The caller
holds the customer's lease (``queue``) across both, so the order and number of syncs don't matter.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, or_, select

from fundraiser.db import now, upsert
from fundraiser.errors import NotFoundError
from fundraiser.members.address_changes import note_change
from fundraiser.members.counting import find_or_add_person, recount
from fundraiser.members.eligibility import Reason
from fundraiser.members.invitations import note_inviter
from fundraiser.members.merging import absorb
from fundraiser.members.models import (
    ENDED,
    Cause,
    Dues,
    Interval,
    LedgerEntry,
    Member,
    MemberAlias,
    Membership,
    Source,
    Status,
    fold_address,
)
from fundraiser.outbox import enqueue
from fundraiser.payments.debits import (
    enqueue_of_failed_debit,
    find_failed_debits,
    is_untried,
    note_accounts_to_confirm,
)
from fundraiser.payments.duplicates import end_second_memberships, note_refunds
from fundraiser.payments.gifts import write_gifts
from fundraiser.payments.intents import is_new_address
from fundraiser.payments.late import note_late_payments
from fundraiser.payments.methods import follow_new_method
from fundraiser.payments.models import (
    Checkout,
    CheckoutKind,
    Customer,
    Payment,
    PaymentStatus,
)
from fundraiser.payments.payment_status import charges_of, payment_facts
from fundraiser.payments.price_changes import enqueue_of_new_prices, read_prices
from fundraiser.payments.products import our_products
from fundraiser.payments.stripe.gateway import SECOND_KEY, checkout_id
from fundraiser.texts import DEFAULT_LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.payments.payment_status import PaymentFacts
    from fundraiser.payments.products import OurProduct
    from fundraiser.payments.stripe.gateway import Gateway
    from fundraiser.payments.stripe.types import Charge, CustomerState, PaymentMethod, Subscription
    from fundraiser.payments.telling import Telling

# Version of the facts that a sync writes; raise it to make ``fundraiser recount`` sync everybody.
FACTS = 2

_MEMBERSHIPS = (
    select(Membership)
    .where(Membership.member_id == bindparam("member_id"))
    .order_by(Membership.started_at, Membership.reference)
)
_CHECKOUTS = select(Checkout).where(Checkout.id.in_(bindparam("ids", expanding=True)))


def fetch(gateway: Gateway, customer_id: str, running: Collection[str]) -> CustomerState | None:
    """Fetch the customer's state from Stripe; None if Stripe doesn't know the customer.

    ``running`` are the running subscriptions in our database: one that Stripe's list lacks is
    fetched separately.
    """
    try:
        state = gateway.fetch_customer(customer_id)
    except NotFoundError:
        return None
    listed = {found.id for found in state.subscriptions}
    looked_up = [gateway.fetch_subscription(name) for name in sorted(set(running) - listed)]
    more = tuple(found for found in looked_up if found)
    to_confirm = is_untried(state) and bool(gateway.find_confirmation(customer_id).address)
    return replace(
        state, subscriptions=(*state.subscriptions, *more), account_to_confirm=to_confirm
    )


def write(
    session: Session,
    grace: timedelta,
    state: CustomerState,
    telling: Telling,
    *,
    cause: Cause,
    cause_ref: str | None,
    count: bool,
) -> Member | None:
    """Update our rows for this customer from Stripe's state; returns the person, if ours.

    It makes no calls: calls that Stripe needs go into ``telling``. The ledger records ``cause`` and
    ``cause_ref`` (an event, a Checkout session, a member of staff). With ``count=False`` it writes
    the rows and leaves the number as it is.
    """
    customer_id = state.id
    products = our_products(session)
    known = session.get(Customer, customer_id)
    before = known.member_id if known else None
    prices = read_prices(session, customer_id) if known else {}
    member = _write(session, state, products, known)
    if member is None:
        return None
    recipients = write_gifts(session, member, state)
    memberships = session.scalars(_MEMBERSHIPS, {"member_id": member.id}).all()
    end_second_memberships(session, grace, member, memberships, state, telling=telling)
    note_late_payments(session, member, memberships, state, products=products, telling=telling)
    follow_new_method(session, state, products, telling)
    enqueue_of_new_prices(session, prices, memberships)
    note_refunds(session, member, state)
    note_accounts_to_confirm(session, member, state)
    if not count:
        return member
    # Count last, without further calls or waiting: all workers need the ledger's lock.
    if before not in {None, member.id}:
        left = session.get_one(Member, before)
        recount(session, left, grace, cause=Cause.MERGE, cause_ref=customer_id)
    for recipient in recipients:
        recount(session, recipient, grace, cause=cause, cause_ref=cause_ref)
    imported = _began_before_us(state, products)
    if imported and member.sequence == 0:
        began = imported.started_at
        recount(session, member, grace, cause=Cause.IMPORT, cause_ref=imported.id, began=began)
        return member
    entry = recount(session, member, grace, cause=cause, cause_ref=cause_ref)
    if entry is not None and entry.change > 0 and not imported and _has_joined(session, entry):
        enqueue(session, "welcome", to=member.id, key=str(entry.sequence))
    return member


def customers_without_facts(session: Session) -> Sequence[str]:
    """Customers whose rows lack facts that the current rule needs: the last sync was older."""
    return session.scalars(
        select(Customer.id).where(Customer.facts < FACTS).order_by(Customer.id)
    ).all()


def _has_joined(session: Session, entry: LedgerEntry) -> bool:
    """Whether somebody who is counted again has paid since they last stopped.

    A dispute that we won, or a failed refund, counts people again who didn't choose to come back.
    So does the next charge of the same membership after a lost dispute, a refund or a pause.
    """
    if entry.sequence == 1:
        return True
    left = session.execute(
        select(LedgerEntry.happened_at, LedgerEntry.reason).where(
            LedgerEntry.member_id == entry.member_id, LedgerEntry.sequence == entry.sequence - 1
        )
    ).one()
    newest = func.max(func.coalesce(Membership.paid_at, Membership.started_at))
    if left.reason in {Reason.REFUNDED, Reason.DISPUTED, Reason.COLLECTION_PAUSED}:
        newest = func.max(Membership.started_at)
    joined_at = session.scalar(
        select(newest).where(
            Membership.member_id == entry.member_id, Membership.source == Source.STRIPE
        )
    )
    return joined_at is not None and joined_at > left.happened_at


def _began_before_us(state: CustomerState, products: dict[str, OurProduct]) -> Subscription | None:
    """The first running subscription of a customer who subscribed before its product was imported.

    We don't welcome people who have subscribed for years; the ledger says since when.
    """
    imported = {name: found.imported_at for name, found in products.items() if found.imported_at}
    return min(
        (
            found
            for found in _only(state.subscriptions, imported)
            if found.started_at < imported[found.product_id] and found.ended_at is None
        ),
        key=lambda found: found.started_at,
        default=None,
    )


def _write(
    session: Session,
    state: CustomerState,
    products: dict[str, OurProduct],
    known: Customer | None,
) -> Member | None:
    ours = _only(state.subscriptions, products)
    once = [charge for charge in state.charges if checkout_id(charge.metadata)]
    if not ours and not once and known is None:
        return None
    checkouts = _checkouts(session, ours, once)
    member = _person(session, state, known, ours, next(iter(checkouts.values()), None))
    if member is None:
        return None
    lost = _write_lost(session, member, state, {found.id for found in ours})
    for found in ours:
        checkout = checkouts.get(found.id)
        _write_membership(
            session, member, state, found, tier=products[found.product_id].tier, checkout=checkout
        )
    for name, checkout in checkouts.items():
        _note_outcome(checkout, member, name, state)
        note_inviter(session, member, checkout.invite)
    imported = (products[found.product_id].imported_at for found in ours)
    since = max((at for at in imported if at), default=None)
    failed = find_failed_debits(session, state, since)
    _write_payments(session, member, state, ours, checkouts, lost=lost, failed=failed)
    session.flush()
    return member


def _only(subscriptions: Iterable[Subscription], products: Collection[str]) -> list[Subscription]:
    """The subscriptions with items of these products, each with only those items."""
    return [ours for found in subscriptions if (ours := found.only(products))]


def _write_lost(session: Session, member: Member, state: CustomerState, ours: set[str]) -> set[str]:
    """Update memberships whose subscription Stripe no longer lists under a product of ours.

    Returns their references.
    """
    rows = session.scalars(
        select(Membership)
        .where(
            Membership.customer_id == state.id,
            Membership.source == Source.STRIPE,
            Membership.reference.not_in(ours),
        )
        .execution_options(populate_existing=True)
    ).all()
    at_stripe = {found.id: found for found in state.subscriptions}
    for row in rows:
        row.member_id = member.id
        found = at_stripe.get(row.reference)
        if found is None:
            row.status, row.ended_at = Status.CANCELED, row.ended_at or now()
            continue
        row.status, row.moved_at = Status(found.status), row.moved_at or now()
        row.has_paid = payment_facts(state, found.id).has_paid
        row.cancel_at, row.canceled_at = found.cancel_at, found.canceled_at
        row.ended_at, row.period_end = found.ended_at, found.period_end
        row.collection_paused, row.resumes_at = found.collection_paused, found.resumes_at
    return {row.reference for row in rows}


def _checkouts(
    session: Session, subscriptions: list[Subscription], charges: list[Charge]
) -> dict[str, Checkout]:
    """Our checkouts by the ID of the resulting subscription or charge."""
    ids = {found.id: checkout_id(found.metadata) for found in subscriptions}
    ids |= {charge.id: checkout_id(charge.metadata) for charge in charges}
    keys = {key for key in ids.values() if key is not None}
    rows = {row.id: row for row in session.scalars(_CHECKOUTS, {"ids": keys})} if keys else {}
    return {name: rows[key] for name, key in ids.items() if key in rows}


def _note_outcome(checkout: Checkout, member: Member, name: str, state: CustomerState) -> None:
    """Record a checkout's result: of several attempts at one contribution, the successful one.

    A failed debit isn't an attempt: the payment page had already accepted it.
    """
    failed = {
        charge.id
        for charge in state.charges
        if charge.status == PaymentStatus.FAILED and not charge.is_debit
    }
    checkout.member_id = member.id
    if name not in failed:
        checkout.reference = name


def _person(
    session: Session,
    state: CustomerState,
    known: Customer | None,
    ours: list[Subscription],
    checkout: Checkout | None,
) -> Member | None:
    """The customer's person, by e-mail address, ignoring case; locked."""
    email = state.email or (known.email if known else None)
    if email is None:
        return None
    if known is None:
        member = find_or_add_person(
            session, email, language=checkout.language if checkout else DEFAULT_LANGUAGE
        )
    else:
        runs = any(found.status not in ENDED for found in ours)
        member = _known_person(session, known, email, runs=runs)
    member.name = state.name or member.name
    member.country = state.country or member.country
    row = {
        "id": state.id,
        "member_id": member.id,
        "email": email,
        "deleted": state.deleted,
        "facts": FACTS,
        "settled_at": now(),
    }
    upsert(session, Customer, row, "id")
    if known is not None:
        session.expire(known)
    return member


def _known_person(session: Session, known: Customer, email: str, *, runs: bool) -> Member:
    """The person of a customer that we already know; locked.

    A customer without a running membership stays with the person, whose address may have changed.
    """
    # Lock the address's owner too, in a fixed order: two people may swap addresses at once.
    people = session.scalars(
        select(Member)
        .where(or_(Member.id == known.member_id, Member.address == fold_address(email)))
        .order_by(Member.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    person = next(person for person in people if person.id == known.member_id)
    other = next((person for person in people if person.id != known.member_id), None)
    is_the_same = fold_address(email) == fold_address(known.email)
    if fold_address(email) == person.address or (is_the_same and not runs):
        return person
    alias = session.get(MemberAlias, fold_address(email))
    if alias is not None and alias.member_id == person.id:
        return person
    if is_new_address(session, person.id, email):
        return person
    return _person_with_new_address(session, known, person, other, email, runs=runs)


def _person_with_new_address(
    session: Session,
    known: Customer,
    person: Member,
    other: Member | None,
    email: str,
    *,
    runs: bool,
) -> Member:
    """The person of a customer whose address was changed at Stripe.

    The person follows the running membership (``runs``: this customer has one) and gets the new
    address. If the address belongs to ``other``, who is counted, the customer moves to ``other``.
    If the person has another customer with a running membership, this customer becomes a new
    person.
    """
    another_runs = session.scalar(
        select(Membership.id)
        .where(
            Membership.member_id == person.id,
            Membership.status.not_in(ENDED),
            func.coalesce(Membership.customer_id, "") != known.id,
        )
        .limit(1)
    )
    if other is not None:
        if other.counting or not runs or another_runs:
            return other
        absorb(session, person, other)
    elif another_runs:
        return find_or_add_person(session, email, language=person.language)
    before, person.email = person.email, email
    note_change(session, person, before)
    return person


def _write_membership(
    session: Session,
    member: Member,
    state: CustomerState,
    found: Subscription,
    *,
    tier: str,
    checkout: Checkout | None,
) -> None:
    facts = payment_facts(state, found.id)
    # A deleted customer isn't charged again, and we forget the payment method.
    method = None if state.deleted else found.method or state.method
    price = facts.listed if found.price is None else found.price
    amount = None if price is None else found.charged(price)
    if amount is None:
        # If Stripe lists no price, use the latest invoice's amount.
        amount = (price or 0) if facts.invoiced is None else facts.invoiced
    row = {
        "source": Source.STRIPE,
        "reference": found.id,
        "member_id": member.id,
        "customer_id": state.id,
        "tier": tier,
        "amount": amount,
        "price": price,
        "credit": state.credit if state.currency in {"", found.currency} else 0,
        "currency": found.currency,
        "interval": Interval(found.interval),
        "interval_count": found.interval_count,
        "status": Status(found.status),
        "collection_paused": found.collection_paused,
        "resumes_at": found.resumes_at,
        "started_at": found.started_at,
        "period_end": found.period_end,
        "cancel_at": found.cancel_at,
        "canceled_at": found.canceled_at,
        "ended_at": found.ended_at,
        "payment_status": facts.payment_status,
        "paid_at": facts.paid_at,
        "paid_until": facts.paid_until,
        "has_paid": facts.has_paid,
        "free_until": _free_until(found, facts, amount),
        "discount_until": found.discount_until,
        "moved_at": None,
        "grace_from": facts.grace_from,
        "refunded_at": facts.refunded_at,
        "disputed_at": facts.disputed_at,
        "duplicate_of": found.metadata.get(SECOND_KEY),
        "method": method.type if method else None,
        "card_last4": method.last4 if method else None,
        "card_expires_at": _end_of_month(method) if method else None,
        "schedule_id": found.schedule_id,
        "collection_method": found.collection_method,
        # Don't ask anybody to pay for an ended membership, though its invoice may be open.
        "pay_url": None if found.ended_at else facts.pay_url,
        "due": facts.due,
        "next_attempt_at": None if found.ended_at else facts.next_attempt_at,
        # Without a payment method there is nothing to confirm.
        "needs_confirmation": facts.needs_confirmation and method is not None,
        "cancel_reason": found.cancel_reason,
        "cancel_feedback": found.cancel_feedback,
        # Stripe keeps the words after we deleted the customer for an erasure.
        "cancel_comment": None if state.deleted else found.cancel_comment,
    }
    if checkout:
        row |= {"campaign": checkout.campaign, "ref": checkout.ref, "utm": checkout.utm}
    upsert(session, Membership, row, "source", "reference")


def _free_until(found: Subscription, facts: PaymentFacts, amount: int) -> datetime | None:
    """The end of a free period; None if it isn't free, or free without an end."""
    if found.status == Status.TRIALING:
        return found.trial_end
    if facts.payment_status is not Dues.FREE:
        return None
    return found.period_end if amount else found.discount_until


def _end_of_month(method: PaymentMethod) -> datetime | None:
    """The moment a card expires; None if the method doesn't expire."""
    if method.month is None or method.year is None:
        return None
    years, month = divmod(method.month, 12)
    return datetime(method.year + years, month + 1, 1, tzinfo=UTC)


def _write_payments(
    session: Session,
    member: Member,
    state: CustomerState,
    ours: list[Subscription],
    checkouts: dict[str, Checkout],
    *,
    lost: set[str],
    failed: set[str],
) -> None:
    of_ours = lost | {found.id for found in ours}
    subscription_of = {
        charge.id: invoice.subscription_id
        for invoice in state.invoices
        if invoice.subscription_id in of_ours
        for charge in charges_of(invoice, state.charges)
    }
    for charge in state.charges:
        checkout = checkouts.get(charge.id)
        kind = CheckoutKind.MEMBERSHIP if checkout is None else checkout.kind
        is_contribution = kind is CheckoutKind.CONTRIBUTION
        if charge.id not in subscription_of and kind is CheckoutKind.MEMBERSHIP:
            continue
        row = {
            "charge_id": charge.id,
            "member_id": member.id,
            "customer_id": state.id,
            "kind": kind,
            "subscription_id": subscription_of.get(charge.id),
            "campaign": checkout.campaign if checkout else None,
            "status": PaymentStatus(charge.status),
            "amount": charge.amount,
            "refunded": charge.refunded,
            "currency": charge.currency,
            "dispute": charge.dispute,
            "failure": charge.failure,
            "paid_at": charge.created_at,
        }
        upsert(session, Payment, row, "charge_id")
        if is_contribution and charge.status == PaymentStatus.SUCCEEDED:
            enqueue(
                session,
                "contribution",
                to=member.id,
                key=charge.id,
                context={"amount": charge.amount, "currency": charge.currency},
            )
        if charge.id in failed:
            name = subscription_of.get(charge.id)
            of_it = next((found for found in ours if found.id == name), None)
            enqueue_of_failed_debit(session, member, state, charge, of_it)
