"""Filters of the list of members by what happened: changes of income, cancellations by reason."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING

from sqlalchemy import ColumnExpressionArgument, Select, func, select

from fundraiser.dashboard.members.filters import NO_REASON, read_month
from fundraiser.dashboard.models import MrrMovement
from fundraiser.dashboard.periods import months_before
from fundraiser.dashboard.retention.stays import canceled_by_choice
from fundraiser.members.models import Member, Membership

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

    from fundraiser.dashboard.members.filters import Filters


def happened(
    filters: Filters, who: type[Member], zone: ZoneInfo
) -> list[ColumnExpressionArgument[bool]]:
    """Conditions on a person: a movement of the recurring income, a reason for cancelling."""
    conditions: list[ColumnExpressionArgument[bool]] = []
    if filters.movement:
        conditions.append(who.id.in_(_moved(filters)))
    if filters.reason:
        conditions.append(who.id.in_(_canceled(filters, zone)))
    return conditions


def _moved(filters: Filters) -> Select[int]:
    found = select(MrrMovement.member_id).where(MrrMovement.kind == filters.movement)
    if first := read_month(filters.moved_from):
        found = found.where(MrrMovement.month >= first)
    if last := read_month(filters.moved_to):
        found = found.where(MrrMovement.month <= last)
    if filters.currency:
        found = found.where(MrrMovement.currency == filters.currency)
    return found


def _canceled(filters: Filters, zone: ZoneInfo) -> Select[int]:
    reason = "" if filters.reason == NO_REASON else filters.reason
    m = Membership
    found = select(m.member_id).where(
        m.canceled_at.is_not(None),
        canceled_by_choice(),
        func.coalesce(m.cancel_feedback, "") == reason,
    )
    if first := read_month(filters.canceled_from):
        found = found.where(m.canceled_at >= _midnight(first, zone))
    if last := read_month(filters.canceled_to):
        found = found.where(m.canceled_at < _midnight(months_before(last, -1), zone))
    return found


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
