"""Settlement: our rows are made to match what Stripe says of a customer, and the person is counted.

Whoever settles holds the customer's lock from before the look at Stripe until the commit, so that
neither order nor number of the reasons to look matters. The worker and the thanks page call it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, or_, select

from fundraiser.db import lock, now, put
from fundraiser.errors import NotFoundError
from fundraiser.members.counting import find_or_add_person, recount
from fundraiser.members.invitations import note_inviter
from fundraiser.members.models import Cause, Interval, Member, Membership, Source, Status
from fundraiser.outbox import LetterKind, owe
from fundraiser.payments.catalogue import our_products
from fundraiser.payments.debits import find_failed_debits, owe_of_failed_debit
from fundraiser.payments.gateway import SECOND_KEY, checkout_id
from fundraiser.payments.gifts import write_gifts
from fundraiser.payments.models import (
    Checkout,
    CheckoutKind,
    Customer,
    Payment,
    PaymentStatus,
)
from fundraiser.payments.second import end_second_memberships
from fundraiser.payments.standing import charges_of, payment_facts

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.payments.catalogue import OurProduct
    from fundraiser.payments.facts import Card, Charge, CustomerState, Subscription
    from fundraiser.payments.gateway import Gateway

_CHECKOUTS = select(Checkout).where(Checkout.id.in_(bindparam("ids", expanding=True)))


def settle(
    session: Session,
    gateway: Gateway,
    grace: timedelta,
    customer_id: str,
    *,
    cause: Cause = Cause.STRIPE,
    cause_ref: str | None = None,
) -> Member | None:
    """Make our rows match Stripe's for this customer; returns the person, if one of ours.

    ``cause_ref`` is what made us look (an event, a Checkout session, who of the staff changed it):
    the ledger keeps it.
    """
    lock(session, "customer", customer_id)
    try:
        state = gateway.fetch_customer(customer_id)
    except NotFoundError:
        return None
    products = our_products(session)
    known = session.get(Customer, customer_id)
    before = known.member_id if known else None
    member = _write(session, state, products, known)
    if member is None:
        return None
    recipients = write_gifts(session, member, state)
    if end_second_memberships(session, gateway, member, state):
        known = session.get(Customer, customer_id)
        _write(session, gateway.fetch_customer(customer_id), products, known)
    # From here on people are counted, and nobody is asked or waited for: the ledger's lock, which
    # all workers meet at, is the last that is taken.
    if before not in {None, member.id}:
        left = session.get_one(Member, before)
        recount(session, left, grace, cause=Cause.MERGE, cause_ref=customer_id)
    for recipient in recipients:
        recount(session, recipient, grace, cause=cause, cause_ref=cause_ref)
    adopted = _began_before_us(state, products)
    if adopted and member.turns == 0:
        began = adopted.started_at
        recount(session, member, grace, cause=Cause.IMPORT, cause_ref=adopted.id, began=began)
        return member
    entry = recount(session, member, grace, cause=cause, cause_ref=cause_ref)
    if entry is not None and entry.change > 0 and not adopted:
        owe(session, LetterKind.WELCOME, member_id=member.id, cycle=str(entry.turn), context={})
    return member


def _began_before_us(state: CustomerState, products: dict[str, OurProduct]) -> Subscription | None:
    """The first running subscription of who began to pay for a product before it was adopted.

    Nobody is welcomed who has been there for years; the ledger says when they began.
    """
    adopted = {name: found.adopted_at for name, found in products.items() if found.adopted_at}
    return min(
        (
            found
            for found in state.subscriptions
            if found.product_id in adopted
            and found.started_at < adopted[found.product_id]
            and found.ended_at is None
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
    ours = [found for found in state.subscriptions if found.product_id in products]
    once = [charge for charge in state.charges if checkout_id(charge.metadata)]
    if not ours and not once:
        return None
    checkouts = _checkouts(session, ours, once)
    member = _person(session, state, known, next(iter(checkouts.values()), None))
    if member is None:
        return None
    for found in ours:
        checkout = checkouts.get(found.id)
        _write_membership(
            session, member, state, found, tier=products[found.product_id].tier, checkout=checkout
        )
    for name, checkout in checkouts.items():
        _note_outcome(checkout, member, name, state)
        note_inviter(session, member, checkout.invite)
    adopted = (products[found.product_id].adopted_at for found in ours)
    since = max((at for at in adopted if at), default=None)
    failed = find_failed_debits(session, state, since)
    _write_payments(session, member, state, ours, checkouts, failed=failed)
    session.flush()
    return member


def _checkouts(
    session: Session, subscriptions: list[Subscription], charges: list[Charge]
) -> dict[str, Checkout]:
    """Our checkout by the id of the subscription or charge that came of it."""
    ids = {found.id: checkout_id(found.metadata) for found in subscriptions}
    ids |= {charge.id: checkout_id(charge.metadata) for charge in charges}
    keys = {key for key in ids.values() if key is not None}
    rows = {row.id: row for row in session.scalars(_CHECKOUTS, {"ids": keys})} if keys else {}
    return {name: rows[key] for name, key in ids.items() if key in rows}


def _note_outcome(checkout: Checkout, member: Member, name: str, state: CustomerState) -> None:
    """Remember what came of a checkout: of several tries at one contribution, the one that went.

    A debit that fails is no try: the payment page had taken it for good.
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
    session: Session, state: CustomerState, known: Customer | None, checkout: Checkout | None
) -> Member | None:
    """The person behind the customer, by the e-mail address in any case; locked."""
    email = state.email or (known.email if known else None)
    if email is None:
        return None
    if known is None:
        member = find_or_add_person(
            session, email, language=checkout.language if checkout else "en"
        )
    else:
        member = _person_with_address(session, known, email)
    member.name = state.name or member.name
    member.country = state.country or member.country
    row = {
        "id": state.id,
        "member_id": member.id,
        "email": email,
        "deleted": state.deleted,
        "settled_at": now(),
    }
    put(session, Customer, row, "id")
    if known is not None:
        session.expire(known)
    return member


def _person_with_address(session: Session, known: Customer, email: str) -> Member:
    """Who a customer is that we know already: its address may have been changed at Stripe.

    The person takes the new address along, unless it is somebody else's: then the customer is that
    person's from now on, and whoever it belonged to is counted again without it.
    """
    people = session.scalars(
        select(Member)
        .where(or_(Member.id == known.member_id, func.lower(Member.email) == email.lower()))
        .order_by(Member.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    by_address = {(person.email or "").lower(): person for person in people}
    same = by_address.get(email.lower())
    if same is not None:
        return same
    person = next(person for person in people if person.id == known.member_id)
    others = select(Customer.id).where(
        Customer.member_id == person.id, Customer.id != known.id, Customer.deleted.is_(False)
    )
    if session.scalar(others.limit(1)):
        return find_or_add_person(session, email, language=person.language)
    person.email = email
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
    card = found.card or state.card
    row = {
        "source": Source.STRIPE,
        "reference": found.id,
        "member_id": member.id,
        "customer_id": state.id,
        "tier": tier,
        "amount": found.amount,
        "currency": found.currency,
        "interval": Interval(found.interval),
        "status": Status(found.status),
        "collection_paused": found.collection_paused,
        "started_at": found.started_at,
        "period_end": found.period_end,
        "cancel_at": found.cancel_at,
        "canceled_at": found.canceled_at,
        "ended_at": found.ended_at,
        "standing": facts.standing,
        "paid_at": facts.paid_at,
        "grace_from": facts.grace_from,
        "refunded_at": facts.refunded_at,
        "disputed_at": facts.disputed_at,
        "second_to": found.metadata.get(SECOND_KEY),
        "card_last4": card.last4 if card else None,
        "card_expires_at": _end_of_month(card) if card else None,
        "pay_url": facts.pay_url,
        # Without a card there is nothing to confirm: a new one is needed.
        "needs_confirmation": facts.needs_confirmation and card is not None,
        "cancel_reason": found.cancel_reason,
        "cancel_feedback": found.cancel_feedback,
    }
    if checkout:
        row |= {"campaign": checkout.campaign, "ref": checkout.ref, "utm": checkout.utm}
    put(session, Membership, row, "source", "reference")


def _end_of_month(card: Card) -> datetime:
    """The first moment at which the card is good no longer."""
    years, month = divmod(card.month, 12)
    return datetime(card.year + years, month + 1, 1, tzinfo=UTC)


def _write_payments(
    session: Session,
    member: Member,
    state: CustomerState,
    ours: list[Subscription],
    checkouts: dict[str, Checkout],
    *,
    failed: set[str],
) -> None:
    subscription_of = {
        charge.id: invoice.subscription_id
        for invoice in state.invoices
        if invoice.subscription_id in {found.id for found in ours}
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
        put(session, Payment, row, "charge_id")
        if is_contribution and charge.status == PaymentStatus.SUCCEEDED:
            owe(
                session,
                LetterKind.CONTRIBUTION,
                member_id=member.id,
                cycle=charge.id,
                context={"amount": charge.amount, "currency": charge.currency},
            )
        if charge.id in failed:
            name = subscription_of.get(charge.id)
            of_it = next((found for found in ours if found.id == name), None)
            owe_of_failed_debit(session, member, state, charge, of_it)
