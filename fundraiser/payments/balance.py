"""Import Stripe's balance transactions and payouts, and check that they add up to the cent.

A scan reads Stripe's balance, then the transactions since the last scan, the payouts, and each
payout's contents. Each page is one transaction, so an interrupted scan continues. Stripe's IDs
prevent duplicates. At the end it adds up each month; all transactions together must equal Stripe's
balance. A difference is shown and never corrected.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert as plain_insert, select, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.members.models import Membership, Source
from fundraiser.payments.models import (
    BalanceScan,
    BalanceTransaction,
    HeldAtStripe,
    MoneyStage,
    MonthlySum,
    Part,
    Payment,
    Payout,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.payments.stripe.money_gateway import MoneyGateway
    from fundraiser.payments.stripe.types import Movement, PayoutState

# Stripe's reporting categories; all others are shown as "other".
_PARTS = {
    **dict.fromkeys(("charge",), Part.GROSS),
    **dict.fromkeys(
        ("refund", "refund_failure", "charge_failure", "partial_capture_reversal"), Part.REFUNDS
    ),
    **dict.fromkeys(("dispute", "dispute_reversal"), Part.DISPUTES),
    **dict.fromkeys(("fee", "network_cost", "tax", "platform_earning_refund"), Part.FEES),
    **dict.fromkeys(("payout", "payout_reversal"), Part.PAYOUTS),
}
_ABOUT_CHARGES = {Part.GROSS, Part.REFUNDS, Part.DISPUTES}
EVERY = timedelta(minutes=10)
# Stripe may list a transaction late; later still, we find it in its payout.
_OVERLAP = timedelta(hours=6)
# A bank may return a payout weeks later.
_PAYOUT_MOVES_FOR = timedelta(days=35)
# Allows for differing clocks, and for transactions while Stripe was answering.
_SAME_MOMENT = timedelta(minutes=1)
_AT_ONCE = 1000


def scan_on(session: Session, gateway: MoneyGateway, zone: ZoneInfo, *, every: timedelta) -> bool:
    """Run the next step of the scan, or start one that is due; True if there is more to do.

    If another worker runs a step, it returns without waiting.
    """
    empty = {"id": 1, "stage": MoneyStage.DONE, "months": [], "zone": zone.key}
    session.execute(insert(BalanceScan).values(empty).on_conflict_do_nothing())
    scan = session.scalars(select(BalanceScan).with_for_update(skip_locked=True)).first()
    if scan is None:
        return False
    try:
        match scan.stage:
            case MoneyStage.DONE:
                return _begin(session, gateway, scan, every)
            case MoneyStage.TRANSACTIONS:
                _bring_movements(session, gateway, zone, scan)
            case MoneyStage.PAYOUTS:
                _bring_payouts(session, gateway, scan)
            case MoneyStage.CONTENTS:
                _bring_contents(session, gateway, zone, scan)
            case MoneyStage.ADDING_UP:
                _add_up(session, zone, scan)
    except NotFoundError:  # the cursor's object is gone from the list: start again
        scan.cursor = None
    return scan.stage is not MoneyStage.DONE


def scan_soon(session: Session) -> None:
    """Start the next scan at the next tick, regardless of the last one's time."""
    session.execute(update(BalanceScan).values(began_at=None))


def month_of(at: datetime, zone: ZoneInfo) -> date:
    """The first day of this moment's month, in the newsroom's time zone."""
    return at.astimezone(zone).date().replace(day=1)


def bounds(month: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The start of a month and of the next one, in the newsroom's time zone."""
    following = (month + timedelta(days=31)).replace(day=1)
    first, last = (datetime(day.year, day.month, 1, tzinfo=zone) for day in (month, following))
    return first, last


def _begin(session: Session, gateway: MoneyGateway, scan: BalanceScan, every: timedelta) -> bool:
    at = now()
    if scan.began_at is not None and at - scan.began_at < every:
        return False
    # Read the balance first, then the transactions, which include those in between.
    held = gateway.held()
    known = session.scalars(select(HeldAtStripe.currency))
    for currency in {*held, *known}:
        row = {"amount": held.get(currency, 0), "told_at": at}
        session.execute(
            insert(HeldAtStripe)
            .values(currency=currency, **row)
            .on_conflict_do_update(index_elements=[HeldAtStripe.currency], set_=row)
        )
    scan.began_at, scan.newest = at, scan.since
    scan.stage, scan.cursor = MoneyStage.TRANSACTIONS, None
    return True


def _bring_movements(
    session: Session, gateway: MoneyGateway, zone: ZoneInfo, scan: BalanceScan
) -> None:
    since = scan.since - _OVERLAP if scan.since else None
    page = gateway.list_movements(since=since, after=scan.cursor)
    _keep(session, gateway, zone, scan, page.facts)
    seen = [found.created_at for found in page.facts]
    scan.newest = max([*seen, *([scan.newest] if scan.newest else [])], default=None)
    scan.cursor = page.next
    if page.next is None:
        scan.since, scan.stage = scan.newest, MoneyStage.PAYOUTS


def _bring_payouts(session: Session, gateway: MoneyGateway, scan: BalanceScan) -> None:
    newest = session.scalar(
        select(func.max(Payout.created_at)).where(Payout.contents_at.is_not(None))
    )
    page = gateway.list_payouts(newest - _PAYOUT_MOVES_FOR if newest else None, scan.cursor)
    for found in page.facts:
        _write_payout(session, found)
    scan.cursor = page.next
    if page.next is None:
        scan.stage = MoneyStage.CONTENTS


def _write_payout(session: Session, found: PayoutState) -> None:
    row = {
        "amount": found.amount,
        "currency": found.currency,
        "status": found.status,
        "listed": found.listed,
        "created_at": found.created_at,
        "arrives_at": found.arrives_at,
        "failure": found.failure,
    }
    session.execute(
        insert(Payout)
        .values(id=found.id, **row)
        .on_conflict_do_update(index_elements=[Payout.id], set_=row)
    )


def _bring_contents(
    session: Session, gateway: MoneyGateway, zone: ZoneInfo, scan: BalanceScan
) -> None:
    """Import the next payout's contents, including transactions that no list had."""
    payout = session.scalars(
        select(Payout)
        .where(Payout.listed, Payout.contents_at.is_(None))
        .order_by(Payout.created_at)
        .limit(1)
    ).first()
    if payout is None:
        scan.stage = MoneyStage.ADDING_UP
        return
    try:
        page = gateway.list_movements(payout_id=payout.id, after=payout.cursor)
    except NotFoundError:
        payout.cursor = None
        raise
    _keep(session, gateway, zone, scan, page.facts)
    session.execute(
        update(BalanceTransaction)
        .where(BalanceTransaction.id.in_([found.id for found in page.facts]))
        .values(payout_id=payout.id)
    )
    payout.cursor = page.next
    if page.next is None:
        payout.contents_at = now()


def _keep(
    session: Session,
    gateway: MoneyGateway,
    zone: ZoneInfo,
    scan: BalanceScan,
    listed: Sequence[Movement],
) -> None:
    """Store new transactions with what was paid for, if we know it."""
    ids = [found.id for found in listed]
    known = set(
        session.scalars(select(BalanceTransaction.id).where(BalanceTransaction.id.in_(ids)))
    )
    movements = [found for found in listed if found.id not in known]
    if not movements:
        return
    charges = {
        found.id: found.charge_id or gateway.charge_behind(found.source_id)
        for found in movements
        if found.source_id and _PARTS.get(found.category) in _ABOUT_CHARGES
    }
    paid_for = {
        charge: (kind, tier)
        for charge, kind, tier in session.execute(
            select(Payment.charge_id, Payment.kind, Membership.tier)
            .outerjoin(
                Membership,
                (Membership.reference == Payment.subscription_id)
                & (Membership.source == Source.STRIPE),
            )
            .where(Payment.charge_id.in_(set(charges.values()) - {None}))
        )
    }
    rows = []
    for found in movements:
        charge = charges.get(found.id)
        kind, tier = paid_for.get(charge or "", (None, None))
        rows.append(
            {
                "id": found.id,
                "part": _PARTS.get(found.category, Part.OTHER),
                "category": found.category,
                "amount": found.amount,
                "fee": found.fee,
                "net": found.net,
                "currency": found.currency,
                "created_at": found.created_at,
                "available_at": found.available_at,
                "source_id": found.source_id,
                "charge_id": charge,
                "description": found.description,
                "kind": kind,
                "tier": tier,
            }
        )
    session.execute(insert(BalanceTransaction).values(rows))
    _mark(scan, zone, (found.created_at for found in movements))


def _mark(scan: BalanceScan, zone: ZoneInfo, moments: Iterable[datetime]) -> None:
    """Mark the months that we have to add up again."""
    months = {month_of(at, zone).isoformat() for at in moments}
    scan.months = sorted({*scan.months, *months})


def _add_up(session: Session, zone: ZoneInfo, scan: BalanceScan) -> None:
    """Assign transactions of newly synced charges, add up a month, or finish by comparing."""
    if scan.zone != zone.key:
        session.execute(delete(MonthlySum))
        first, last = session.execute(
            select(func.min(BalanceTransaction.created_at), func.max(BalanceTransaction.created_at))
        ).one()
        while first is not None and first <= last + timedelta(days=31):
            _mark(scan, zone, [first])
            first += timedelta(days=28)
        scan.zone = zone.key
    elif late := _attribute(session):
        _mark(scan, zone, late)
    elif scan.months:
        month, *rest = scan.months
        sum_up(session, date.fromisoformat(month), zone)
        scan.months = rest
    else:
        _compare(session)
        scan.stage, scan.finished_at = MoneyStage.DONE, now()


def _attribute(session: Session) -> Sequence[datetime]:
    """Assign some transactions that arrived before we synced their charge."""
    found = (
        select(BalanceTransaction.id, Payment.kind, Membership.tier)
        .join(Payment, Payment.charge_id == BalanceTransaction.charge_id)
        .outerjoin(
            Membership,
            (Membership.reference == Payment.subscription_id)
            & (Membership.source == Source.STRIPE),
        )
        .where(BalanceTransaction.kind.is_(None))
        .limit(_AT_ONCE)
        .subquery()
    )
    return session.scalars(
        update(BalanceTransaction)
        .where(BalanceTransaction.id == found.c.id)
        .values(kind=found.c.kind, tier=found.c.tier)
        .returning(BalanceTransaction.created_at)
        .execution_options(synchronize_session=False)
    ).all()


def sum_up(session: Session, month: date, zone: ZoneInfo) -> None:
    """Add up a month again."""
    first, following = bounds(month, zone)
    session.execute(delete(MonthlySum).where(MonthlySum.month == month))
    found = BalanceTransaction
    keys = (
        *(found.currency, found.part),
        *(func.coalesce(found.kind, ""), func.coalesce(found.tier, "")),
    )
    session.execute(
        plain_insert(MonthlySum).from_select(
            ["month", "currency", "part", "kind", "tier", "count", "amount", "fee"],
            select(
                func.date(month.isoformat()),
                *keys,
                func.count(),
                func.sum(found.amount),
                func.sum(found.fee),
            )
            .where(found.created_at >= first, found.created_at < following)
            .group_by(*keys),
        )
    )


def _compare(session: Session) -> None:
    """Compare the sum of all transactions with Stripe's balance.

    Transactions in the minute of the request may be in Stripe's answer or not: the books match if
    the sum at some moment of that minute equals it.
    """
    sums = dict(
        session.execute(
            select(MonthlySum.currency, func.sum(MonthlySum.amount - MonthlySum.fee)).group_by(
                MonthlySum.currency
            )
        ).all()
    )
    for currency in sums:
        session.execute(
            insert(HeldAtStripe)
            .values(currency=currency, amount=0, told_at=now())
            .on_conflict_do_nothing()
        )
    for held in session.scalars(select(HeldAtStripe)):
        total = int(sums.get(held.currency, 0))
        newest = session.execute(
            select(BalanceTransaction.net, BalanceTransaction.created_at <= held.told_at)
            .where(
                BalanceTransaction.currency == held.currency,
                BalanceTransaction.created_at > held.told_at - _SAME_MOMENT,
            )
            .order_by(BalanceTransaction.created_at.desc(), BalanceTransaction.id.desc())
        ).all()
        moments, before = [total], total
        for net, was_before in newest:
            moments.append(moments[-1] - net)
            if not was_before:
                before -= net
        held.difference = 0 if held.amount in moments else held.amount - before
        held.compared_at = held.told_at
