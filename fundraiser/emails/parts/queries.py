"""Queries that find the recipients of several kinds of e-mails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, exists, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from fundraiser.config import current_settings
from fundraiser.joining.reminders import Reminder
from fundraiser.members.eligibility import counts_at
from fundraiser.members.models import Dues, Member, Membership, Source, Status
from fundraiser.members.renewals import RENEWS

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute

# A row for each e-mail that is due, with the columns "to", "key" and "context" of ``enqueue``.
Due = Select[tuple[int, str, dict[str, Any]]]
Query = Callable[[datetime], Due]

# It is paid for, renews, and costs something.
RUNS = (
    Membership.status == Status.ACTIVE,
    Membership.payment_status == Dues.PAID,
    Membership.collection_paused.is_(False),
    RENEWS,
    Membership.amount > 0,
)
_OVERDUE = (
    Membership.payment_status == Dues.OVERDUE,
    Membership.status.in_((Status.PAST_DUE, Status.ACTIVE)),
    Membership.ended_at.is_(None),
    # Stripe itself reminds those who get an invoice by e-mail.
    Membership.collection_method.is_distinct_from("send_invoice"),
)


def days(count: float) -> timedelta:
    return timedelta(days=count)


def due_to(to: InstrumentedAttribute[Any], key: Any, **context: InstrumentedAttribute[Any]) -> Due:  # noqa: ANN401 - any column of text
    """A query for recipients' IDs and keys; ``context`` has values for the body."""
    pairs = [part for name, column in context.items() for part in (literal(name), column)]
    return select(
        to.label("to"),
        key.label("key"),
        func.jsonb_build_object(*pairs, type_=JSONB).label("context"),
    )


def due_to_members(key: ColumnElement[str], *conditions: ColumnElement[bool]) -> Due:
    """Members with a Stripe membership that meets the conditions."""
    return (
        due_to(Membership.member_id, key, membership=Membership.reference)
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.source == Source.STRIPE,
            Membership.duplicate_of.is_(None),
            Member.address.is_not(None),
            *conditions,
        )
    )


def due_to_readers(*conditions: ColumnElement[bool]) -> Due:
    """Readers who left and confirmed an address and aren't members: once each."""
    is_member = exists().where(
        func.lower(Member.email) == func.lower(Reminder.email), Member.counting
    )
    return due_to(Reminder.id, literal("once")).where(
        Reminder.stopped_at.is_(None),
        Reminder.confirmed_at.is_not(None),
        ~is_member,
        *conditions,
    )


def key_of(*parts: Any) -> ColumnElement[str]:  # noqa: ANN401 - columns of several types
    """A key made from a membership and a time that differs each time."""
    texts = [
        func.to_char(func.timezone("UTC", part), "YYYY-MM-DD HH24:MI:SS")
        if isinstance(part.type, type(Membership.started_at.type))
        else part
        for part in parts
    ]
    return func.concat_ws(" ", *texts)


def has_left(at: datetime, first: float, last: float) -> tuple[ColumnElement[bool], ...]:
    """The membership ended ``first`` to ``last`` days ago, and the member has no other."""
    return (
        Membership.ended_at <= at - days(first),
        Membership.ended_at > at - days(last),
        Membership.paid_at.is_not(None),
        Member.counting.is_(False),
    )


def card_expires(first: float, last: float) -> Query:
    """The card expires within ``first`` days, and not within ``last``."""
    return lambda at: due_to_members(
        key_of(Membership.reference, Membership.card_expires_at),
        Membership.card_expires_at <= at + days(first),
        Membership.card_expires_at > at + days(last),
        *RUNS,
    )


def payment_failed(day: float, next_day: float, *more: ColumnElement[bool]) -> Query:
    """From ``day`` after the failure until the next e-mail; not the day before the last one."""

    def due(at: datetime) -> Due:
        until = min(next_day, day_of_the_last() - 1, current_settings().grace_days)
        return failing(at, day, until, *more)

    return due


def failing(at: datetime, first: float, last: float, *more: ColumnElement[bool]) -> Due:
    """Members whose payment failed ``first`` to ``last`` days ago."""
    return due_to_members(
        # Until the next payment that arrives it is one failure, however often it is tried.
        key_of(Membership.reference, Membership.paid_at),
        # These e-mails say until when the person is counted.
        counts_at(at, current_settings().grace),
        Membership.grace_from <= at - days(first),
        Membership.grace_from > at - days(last),
        *_OVERDUE,
        *more,
    )


def day_of_the_last() -> int:
    """The day of the last e-mail: 12 of 14, or earlier, so that two days are left to pay.

    With one or two days of grace none are left by then, and the first e-mail is the only one.
    """
    return min(12, max(2, current_settings().grace_days - 2))
