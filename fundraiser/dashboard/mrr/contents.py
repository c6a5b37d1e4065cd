"""What the monthly recurring income contains: overdue and cancelled memberships, covered fees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, literal, select, union_all

from fundraiser.dashboard.models import MemberMrr, Part
from fundraiser.dashboard.mrr.movements import paying
from fundraiser.members.models import Membership
from fundraiser.members.monthly import monthly_in_sql
from fundraiser.members.overdue import overdue
from fundraiser.payments.models import Checkout

if TYPE_CHECKING:
    from datetime import date, datetime, timedelta


def contents(today: date, at: datetime, grace: timedelta) -> Select[Any]:
    """SQL: daily figures of all and of each part, by currency.

    ``people`` are people for all, and memberships for a part.
    """
    m = Membership
    paid = paying(at, grace)
    covered = paid.join(Checkout, Checkout.reference == m.reference).where(
        Checkout.fee > 0,
        # Who has changed the amount since may not cover the fee any more.
        Checkout.amount == m.amount,
    )
    parts = (
        (Part.OVERDUE, paid.where(overdue(m)), monthly_in_sql(m)),
        (Part.LEAVING, paid.where(m.cancel_at.is_not(None)), monthly_in_sql(m)),
        (Part.FEES, covered, monthly_in_sql(m, Checkout.fee)),
    )
    everything = select(
        literal(Part.ALL.value).label("key"),
        MemberMrr.currency.label("currency"),
        func.count().label("people"),
        func.sum(MemberMrr.amount).label("amount"),
    ).group_by(MemberMrr.currency)
    found = union_all(
        everything,
        *(
            rows.with_only_columns(
                literal(part.value), m.currency, func.count(), func.sum(amount)
            ).group_by(m.currency)
            for part, rows, amount in parts
        ),
    ).subquery()
    return select(
        literal(today), found.c.key, found.c.currency, found.c.people, literal(0), found.c.amount
    )
