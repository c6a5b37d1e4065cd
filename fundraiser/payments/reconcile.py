"""Reconciliation: compare everything that Stripe lists with our database, and sync differences.

Each page of Stripe's lists is one transaction, so an interrupted run continues. The run itself
repairs nothing: it requests a sync of each customer that differs, which stays recorded as drift
until both sides match.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import lock, memoize, now, upsert
from fundraiser.errors import NotFoundError
from fundraiser.jobs import Job, hint
from fundraiser.members.consistency import Finding, note_drift
from fundraiser.members.eligibility import counts_at, membership_counts
from fundraiser.members.models import (
    ENDED,
    Drift,
    DriftKind,
    Dues,
    Membership,
    Source,
    Status,
)
from fundraiser.payments.models import (
    Customer,
    ListedSubscription,
    OtherProduct,
    Payment,
    Reconciliation,
    Stage,
    SyncRequest,
)
from fundraiser.payments.products import our_products
from fundraiser.payments.queue import request_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.payments.products import OurProduct
    from fundraiser.payments.stripe.gateway import Gateway
    from fundraiser.payments.stripe.types import ChargeNews, CustomerState, Subscription

Differences = dict[str, list[str]]  # differences by customer, one sentence each

_COMPARED = (
    *("status", "currency", "interval", "interval_count", "collection_paused"),
    *("period_end", "cancel_at", "ended_at"),
)
# A refund may fail after a month, and a bank may decide a dispute after half a year.
_REFUND_MOVES_FOR, _DISPUTE_MOVES_FOR = timedelta(days=35), timedelta(days=190)
_RUNS = {Status.ACTIVE, Status.PAST_DUE, Status.TRIALING, Status.UNPAID, Status.PAUSED}
_FEW = 100  # customers to check a second time, one by one
_NIGHT = range(3, 5)  # hours, in the newsroom's time zone
_ONCE_A_NIGHT, _LONGEST_WAIT = timedelta(hours=12), timedelta(hours=36)


def begin(session: Session) -> Reconciliation:
    """Start a run, or continue an interrupted one."""
    lock(session, "reconciliation", "begin")
    return session.scalars(_unfinished()).first() or _new_run(session)


def begin_if_due(session: Session, zone: ZoneInfo) -> None:
    """Start the nightly run, at night or as soon as it is overdue."""
    last = session.scalar(select(func.max(Reconciliation.started_at)))
    at = now()
    is_night = at.astimezone(zone).hour in _NIGHT
    if (is_night and (last is None or at - last > _ONCE_A_NIGHT)) or (
        last is not None and at - last > _LONGEST_WAIT
    ):
        begin(session)


def take_step(session: Session, gateway: Gateway, grace: timedelta) -> Reconciliation | None:
    """Compare the next page of the run, and store differences; None if there is nothing to do.

    If another worker runs a step, it returns without waiting.
    """
    run = session.scalars(_unfinished().with_for_update(skip_locked=True)).first()
    if run is None:
        return None
    run.differing += _keep(session, look_through(session, gateway, grace, run))
    return run


def compare_all(
    session: Session, gateway: Gateway, grace: timedelta, seen: Callable[[int], None]
) -> tuple[Reconciliation, Differences]:
    """Compare everything without storing anything; roll back the transaction afterwards.

    Calls ``seen`` with the number of items on each page.
    """
    run = _new_run(session)
    differences: Differences = {}
    while run.stage is not Stage.DONE:
        before = run.looked_at
        _add(differences, look_through(session, gateway, grace, run))
        seen(run.looked_at - before)
    if len(differences) <= _FEW:
        # Ignore changes made while we were reading the list.
        again = {name: still_differs(session, gateway, name) for name in differences}
        differences = {name: details for name, details in again.items() if details}
    session.rollback()
    return run, differences


def look_through(
    session: Session, gateway: Gateway, grace: timedelta, run: Reconciliation
) -> Differences:
    """Compare the next page of Stripe's lists with our database; changes only the run's row."""
    try:
        match run.stage:
            case Stage.SUBSCRIPTIONS:
                subscriptions = gateway.list_subscriptions(run.cursor)
                differences = _compare_listed(session, grace, run, subscriptions.facts)
                count, following = len(subscriptions.facts), subscriptions.next
            case Stage.REFUNDS:
                news = gateway.list_refunds(_since(session, run, _REFUND_MOVES_FOR), run.cursor)
                differences = _compare_news(session, news.facts)
                count, following = len(news.facts), news.next
            case _:
                news = gateway.list_disputes(_since(session, run, _DISPUTE_MOVES_FOR), run.cursor)
                differences = _compare_news(session, news.facts)
                count, following = len(news.facts), news.next
    except NotFoundError:  # the cursor's object is gone from the list: start again
        run.cursor = None
        return {}
    run.looked_at += count
    run.cursor = following
    if following is None:
        if run.stage is Stage.SUBSCRIPTIONS:
            _add(differences, _not_listed(session, run))
            _note_unknown_drift(session, gateway, run)
        _end_stage(session, grace, run)
    return differences


def still_differs(session: Session, gateway: Gateway, customer_id: str) -> list[str]:
    """Compare one customer's complete state at Stripe with our database."""
    products = our_products(session)
    try:
        state: CustomerState | None = gateway.fetch_customer(customer_id)
    except NotFoundError:
        state = None
    rows = _memberships(session, Membership.customer_id == customer_id)
    details = [
        detail
        for found in (state.subscriptions if state else ())
        if (detail := _difference(found, products, rows.pop(found.id, None)))
    ]
    details += [
        f"{name} is running in our books and not known to Stripe."
        for name, row in rows.items()
        if row.status not in ENDED
    ]
    payments = _payments(session, (charge.id for charge in (state.charges if state else ())))
    for charge in state.charges if state else ():
        details += _charge_difference(
            payments.get(charge.id), charge.id, charge.refunded, charge.dispute
        )
    return details


def recheck_next(session: Session, gateway: Gateway, after: int) -> int | None:
    """Check whether a customer that differed matches now; returns the row's ID, or None at the end.

    Skips customers who are still waiting for a sync.
    """
    waiting = select(SyncRequest.id).where(SyncRequest.customer_id == Drift.customer_id)
    drift = session.scalars(
        select(Drift)
        .where(
            Drift.kind == DriftKind.STRIPE,
            Drift.gone_at.is_(None),
            Drift.id > after,
            ~waiting.exists(),
        )
        .order_by(Drift.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if drift is None:
        return None
    if drift.customer_id is not None:
        details = still_differs(session, gateway, drift.customer_id)
        if details:
            drift.detail = " ".join(details)
        else:
            drift.gone_at = now()
    return drift.id


def is_being_settled(session: Session) -> bool:
    """Whether a customer that differs still waits for a sync; failed ones don't."""
    waiting = select(Drift.id).where(
        Drift.kind == DriftKind.STRIPE,
        Drift.gone_at.is_(None),
        Drift.customer_id == SyncRequest.customer_id,
        SyncRequest.due_at.is_not(None),
    )
    return bool(session.scalar(select(waiting.exists())))


def last_run(session: Session) -> Reconciliation | None:
    """The latest run that finished all of Stripe's lists."""
    return session.scalars(
        select(Reconciliation)
        .where(Reconciliation.finished_at.is_not(None))
        .order_by(Reconciliation.id.desc())
        .limit(1)
    ).first()


def _keep(session: Session, differences: Differences) -> int:
    """Store customers that differ and request their sync; returns how many. Skips waiting ones."""
    waiting = select(SyncRequest.customer_id).where(
        SyncRequest.customer_id.in_(differences), SyncRequest.due_at.is_not(None)
    )
    for customer_id in session.scalars(waiting.distinct()):
        differences.pop(customer_id or "")
    people = dict(
        session.execute(
            select(Customer.id, Customer.member_id).where(Customer.id.in_(differences))
        ).all()
    )
    for customer_id, details in differences.items():
        request_sync(session, customer_id)
        found = Finding(DriftKind.STRIPE, people.get(customer_id), " ".join(details))
        note_drift(session, found, customer_id)
    hint(session, Job.SETTLE)
    return len(differences)


def _compare_listed(
    session: Session, grace: timedelta, run: Reconciliation, page: Sequence[Subscription]
) -> Differences:
    products = our_products(session)
    rows = _memberships(session, Membership.reference.in_([found.id for found in page]))
    ours = [found for found in page if found.id in rows or found.only(products)]
    _note_unknown(session, run, (found for found in page if found not in ours))
    differences: Differences = {}
    listed = []
    at = now()
    counting = set(
        session.scalars(
            select(Membership.reference).where(
                Membership.source == Source.STRIPE,
                Membership.reference.in_(rows),
                counts_at(at, grace),
            )
        )
    )
    for found in ours:
        row = rows.get(found.id)
        detail = _difference(found, products, row)
        if detail:
            _add(differences, {found.customer_id: [detail]})
        counts = found.id in counting
        if detail or row is None:
            as_listed = _as_listed(found, at, is_ours=found.only(products) is not None)
            counts = membership_counts(as_listed, at, grace).counts
        listed.append(
            {
                "run_id": run.id,
                "subscription_id": found.id,
                "customer_id": found.customer_id,
                "counts": counts,
            }
        )
    if listed:
        session.execute(insert(ListedSubscription).on_conflict_do_nothing(), listed)
    return differences


def _note_unknown(session: Session, run: Reconciliation, others: Iterable[Subscription]) -> None:
    """Count running subscriptions of products that nobody has classified."""
    known = memoize(
        session, "other products", lambda: set(session.scalars(select(OtherProduct.id)))
    )
    unknown = Counter(run.unknown)
    for found in others:
        if found.status not in _RUNS or found.customer_deleted:
            continue
        unknown.update({item.product_id for item in found.items} - known)
    run.unknown = dict(unknown)


def name_unknown(gateway: Gateway, run: Reconciliation) -> list[str]:
    """One sentence for each unclassified product with running subscriptions."""
    return [
        f"{product} ({gateway.product_name(product)}): {count} running subscriptions. It is "
        "neither a membership of ours nor known as something else."
        for product, count in sorted(run.unknown.items())
    ]


def ignore_products(session: Session, products: Iterable[str]) -> None:
    """Mark these products at Stripe as no memberships; safe to repeat."""
    for product in products:
        upsert(session, OtherProduct, {"id": product, "noted_at": now()})


def _difference(
    found: Subscription, products: dict[str, OurProduct], row: Membership | None
) -> str:
    """Describe how a subscription in our database differs from Stripe's; empty if it matches."""
    ours = found.only(products)
    if row is None and (ours is None or found.customer_deleted):
        return ""  # for another product, or ended and of a customer that Stripe has forgotten
    if row is None:
        return f"{found.id} is {found.status} at Stripe and not in our books."
    at_stripe = {name: getattr(found, name) for name in _COMPARED} if ours else {}
    at_stripe |= {"status": found.status, "ended_at": found.ended_at}
    if ours and ours.price is not None:
        at_stripe["price"] = ours.price
    if ours and ours.price is not None and (amount := ours.charged(ours.price)) is not None:
        at_stripe["amount"] = amount
    words = [
        f"{name} is {_word(value)} at Stripe, {_word(getattr(row, name))} here"
        for name, value in at_stripe.items()
        if value != getattr(row, name)
    ]
    if ours and products[ours.product_id].tier != row.tier:
        words.append(f"tier is {products[ours.product_id].tier} by its product, {row.tier} here")
    if (ours is None) != (row.moved_at is not None):
        words.append("it is for another product at Stripe" if ours is None else "it is ours again")
    return f"{found.id}: {'; '.join(words)}." if words else ""


def _note_unknown_drift(session: Session, gateway: Gateway, run: Reconciliation) -> None:
    """Store unclassified products for staff to see, or mark them as resolved."""
    sentences = name_unknown(gateway, run)
    if sentences:
        note_drift(session, Finding(DriftKind.STRIPE, None, " ".join(sentences)))
        return
    session.execute(
        update(Drift)
        .where(
            Drift.kind == DriftKind.STRIPE,
            Drift.customer_id.is_(None),
            Drift.member_id.is_(None),
            Drift.gone_at.is_(None),
        )
        .values(gone_at=now())
    )


def _not_listed(session: Session, run: Reconciliation) -> Differences:
    """Running memberships in our database that Stripe's list lacks."""
    listed = select(ListedSubscription.subscription_id).where(
        ListedSubscription.run_id == run.id,
        ListedSubscription.subscription_id == Membership.reference,
    )
    missing = session.execute(
        select(Membership.customer_id, Membership.reference).where(
            Membership.source == Source.STRIPE,
            Membership.customer_id.is_not(None),
            Membership.status.not_in(ENDED),
            Membership.started_at < run.started_at,
            ~listed.exists(),
        )
    )
    differences: Differences = defaultdict(list)
    for customer_id, reference in missing:
        differences[customer_id or ""].append(
            f"{reference} is running in our books and not in Stripe's listing."
        )
    return differences


def _compare_news(session: Session, page: Sequence[ChargeNews]) -> Differences:
    payments = _payments(session, (news.charge_id for news in page))
    differences: Differences = defaultdict(list)
    for news in page:
        payment = payments.get(news.charge_id)
        details = _charge_difference(payment, news.charge_id, news.refunded, news.dispute)
        if payment is not None and details:
            differences[payment.customer_id] += details
    return differences


def _charge_difference(
    payment: Payment | None, name: str, refunded: int | None, dispute: str | None
) -> list[str]:
    if payment is None:
        return []  # for another product of the account, or for a membership that we lack
    details = []
    if refunded is not None and refunded != payment.refunded:
        details.append(f"{name}: {refunded} is refunded at Stripe, {payment.refunded} here.")
    if dispute is not None and dispute != payment.dispute:
        details.append(f"{name}: its dispute is {dispute} at Stripe, {payment.dispute} here.")
    return details


def _end_stage(session: Session, grace: timedelta, run: Reconciliation) -> None:
    stages = list(Stage)
    run.stage = stages[stages.index(run.stage) + 1]
    if run.stage is Stage.DONE:
        run.finished_at = now()
        run.members_listed = _count_listed(session, grace, run)
        session.execute(delete(ListedSubscription).where(ListedSubscription.run_id == run.id))


def _as_listed(found: Subscription, at: datetime, *, is_ours: bool) -> Membership:
    """A membership as Stripe's list shows it, without refunds and disputes."""
    amount = 1 if found.price is None else found.price
    return Membership(
        source=Source.STRIPE,
        status=Status(found.status),
        payment_status=Dues.PAID,
        amount=amount,
        price=found.price,
        collection_paused=found.collection_paused,
        started_at=found.started_at,
        grace_from=at,
        cancel_at=found.cancel_at,
        moved_at=None if is_ours else at,
    )


def _count_listed(session: Session, grace: timedelta, run: Reconciliation) -> int:
    """Count people who are members by Stripe's list, or by a membership from elsewhere."""
    people: set[int | str] = set()
    for member_id, customer_id in session.execute(
        select(Customer.member_id, ListedSubscription.customer_id)
        .outerjoin_from(ListedSubscription, Customer, Customer.id == ListedSubscription.customer_id)
        .where(ListedSubscription.run_id == run.id, ListedSubscription.counts)
    ):
        people.add(member_id or customer_id)
    elsewhere = select(Membership.member_id).where(
        Membership.source != Source.STRIPE, counts_at(now(), grace)
    )
    return len(people.union(session.scalars(elsewhere)))


def _since(session: Session, run: Reconciliation, moves_for: timedelta) -> datetime:
    """Where to start: at the last run, and as long before as something may still change."""
    last = last_run(session)
    return (last.started_at if last else run.started_at) - moves_for


def _memberships(session: Session, which: ColumnElement[bool]) -> dict[str, Membership]:
    rows = session.scalars(
        select(Membership)
        .where(Membership.source == Source.STRIPE, which)
        .execution_options(populate_existing=True)
    )
    return {row.reference: row for row in rows}


def _payments(session: Session, charges: Iterable[str]) -> dict[str, Payment]:
    rows = session.scalars(
        select(Payment)
        .where(Payment.charge_id.in_(list(charges)))
        .execution_options(populate_existing=True)
    )
    return {row.charge_id: row for row in rows}


def _add(differences: Differences, more: Differences) -> None:
    for customer_id, details in more.items():
        differences[customer_id] = [*differences.get(customer_id, ()), *details]


def _word(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def _new_run(session: Session) -> Reconciliation:
    run = Reconciliation(started_at=now(), stage=Stage.SUBSCRIPTIONS, looked_at=0, differing=0)
    session.add(run)
    session.flush()
    return run


def _unfinished() -> Select[Reconciliation]:
    return (
        select(Reconciliation)
        .where(Reconciliation.finished_at.is_(None))
        .order_by(Reconciliation.id)
        .limit(1)
    )
