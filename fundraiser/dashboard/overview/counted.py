"""SQL for who is counted, and why known leavers leave; for daily figures and forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Select, case, exists, func, literal, or_, select

from fundraiser.dashboard.models import Loss
from fundraiser.members.eligibility import counts_at
from fundraiser.members.models import Dues, Member, Membership, Source, Status

if TYPE_CHECKING:
    from datetime import datetime, timedelta


def counted_memberships(at: datetime, grace: timedelta) -> Select[Membership]:
    """The counted memberships of counted people."""
    return (
        select(Membership)
        .join(Member, Member.id == Membership.member_id)
        .where(Member.counting, counts_at(at, grace))
    )


def loss_of_member() -> ColumnElement[str]:
    """Why a counted person stops at ``recount_at``, as a ``Loss``."""
    of_member = Membership.member_id == Member.id
    return case(
        (
            exists().where(
                of_member,
                or_(
                    Membership.status == Status.PAST_DUE,
                    Membership.payment_status == Dues.OVERDUE,
                ),
                func.coalesce(Membership.cancel_at > Member.recount_at, literal(value=True)),
            ),
            Loss.PAST_DUE.value,
        ),
        (
            exists().where(
                of_member,
                Membership.cancel_at == Member.recount_at,
                Membership.source != Source.GIFT,
            ),
            Loss.CANCELED.value,
        ),
        else_=Loss.RUNS_OUT.value,
    )
