"""Which e-mails are due by the passing of time: one query a kind, which says to whom."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, exists, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from fundraiser.config import current_settings
from fundraiser.joining.reminders import Reminder, ReminderKind
from fundraiser.members.eligibility import counted_until, counts_at
from fundraiser.members.gifts import Gift
from fundraiser.members.models import (
    Dues,
    Interval,
    Member,
    Membership,
    Source,
    Status,
)
from fundraiser.members.renewals import RENEWS
from fundraiser.outbox import Email, EmailChoice, EmailKind, Topic
from fundraiser.payments.models import Checkout, CheckoutKind, Payment, PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Callable

# A row for each e-mail that is due: the member or the reader, the cycle, what it is about.
Due = Select[tuple[int | None, int | None, str, dict[str, Any]]]


def _days(count: float) -> timedelta:
    return timedelta(days=count)


def _to_members(cycle: ColumnElement[str], *conditions: ColumnElement[bool]) -> Due:
    """Those whose membership the conditions hold for."""
    return (
        select(
            Membership.member_id.label("member_id"),
            null().cast(Email.reminder_id.type).label("reminder_id"),
            cycle.label("cycle"),
            func.jsonb_build_object("membership", Membership.reference, type_=JSONB).label(
                "context"
            ),
        )
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.source == Source.STRIPE,
            Membership.duplicate_of.is_(None),
            Member.address.is_not(None),
            *conditions,
        )
    )


def _named(*parts: Any) -> ColumnElement[str]:  # noqa: ANN401 - columns of several types
    """A cycle named by the membership and by a time that differs from one cycle to the next."""
    texts = [
        func.to_char(func.timezone("UTC", part), "YYYY-MM-DD HH24:MI:SS")
        if isinstance(part.type, type(Membership.started_at.type))
        else part
        for part in parts
    ]
    return func.concat_ws(" ", *texts)


_OVERDUE = (
    Membership.payment_status == Dues.OVERDUE,
    Membership.status.in_((Status.PAST_DUE, Status.ACTIVE)),
    Membership.ended_at.is_(None),
    # Stripe itself reminds those who get an invoice by e-mail.
    Membership.collection_method.is_distinct_from("send_invoice"),
)
_RUNS = (
    Membership.status == Status.ACTIVE,
    Membership.payment_status == Dues.PAID,
    Membership.collection_paused.is_(False),
    RENEWS,
    Membership.amount > 0,
)
# Until the next payment that arrives it is one failure, however often it is tried.
_OF_THIS_FAILURE = _named(Membership.reference, Membership.paid_at)


def _failed(day: float, next_day: float, *more: ColumnElement[bool]) -> Callable[[datetime], Due]:
    """From its day after the failure until the next e-mail's, and not just before the last one."""

    def due(at: datetime) -> Due:
        until = min(next_day, _day_of_the_last() - 1, current_settings().grace_days)
        return _failing(at, day, until, *more)

    return due


def _failed_for_the_last_time(at: datetime) -> Due:
    return _failing(at, _day_of_the_last(), current_settings().grace_days)


def _day_of_the_last() -> int:
    """On day 12 of 14; sooner where the grace ends sooner, so that two days are left to pay in.

    Of a grace of one or two days nothing is left by then: the first e-mail is the only one.
    """
    return min(12, max(2, current_settings().grace_days - 2))


def _failing(at: datetime, first: float, last: float, *more: ColumnElement[bool]) -> Due:
    """Whose payment failed so many days ago."""
    return _to_members(
        _OF_THIS_FAILURE,
        # These e-mails say until when the person is counted.
        counts_at(at, current_settings().grace),
        Membership.grace_from <= at - _days(first),
        Membership.grace_from > at - _days(last),
        *_OVERDUE,
        *more,
    )


def _card_expires(first: float, last: float) -> Callable[[datetime], Due]:
    return lambda at: _to_members(
        _named(Membership.reference, Membership.card_expires_at),
        Membership.card_expires_at <= at + _days(first),
        Membership.card_expires_at > at + _days(last),
        *_RUNS,
    )


def _renewal(at: datetime) -> Due:
    return _to_members(
        _named(Membership.reference, Membership.period_end),
        Membership.interval == Interval.YEAR,
        Membership.period_end <= at + _days(14),
        Membership.period_end > at + _days(3),
        *_RUNS,
    )


def _canceled(at: datetime) -> Due:
    return _to_members(
        _named(Membership.reference, Membership.canceled_at),
        Membership.canceled_at > at - _days(3),
        Membership.cancel_at > at,
        ~RENEWS,
        Membership.ended_at.is_(None),
        Membership.paid_at.is_not(None),
    )


def _has_left(at: datetime, first: float, last: float) -> tuple[ColumnElement[bool], ...]:
    return (
        Membership.ended_at <= at - _days(first),
        Membership.ended_at > at - _days(last),
        Membership.paid_at.is_not(None),
        Member.counting.is_(False),
    )


def _ended(at: datetime) -> Due:
    return _to_members(_named(Membership.reference), *_has_left(at, 0, 3))


def _win_back(at: datetime) -> Due:
    """Where the reason was the price, or none was given: of their own will, and not otherwise."""
    return _to_members(
        _named(Membership.reference),
        *_has_left(at, 14, 17),
        Membership.payment_status == Dues.PAID,
        Membership.cancel_reason.is_distinct_from("payment_failed"),
        Membership.cancel_reason.is_distinct_from("payment_disputed"),
        or_(
            Membership.cancel_feedback.is_(None),
            Membership.cancel_feedback == "too_expensive",
        ),
        Membership.refunded_at.is_(None),
        Membership.disputed_at.is_(None),
        ~exists().where(
            EmailChoice.member_id == Membership.member_id,
            EmailChoice.topic == Topic.RETURN,
            EmailChoice.wanted.is_(False),
        ),
    )


def _receipt(at: datetime) -> Due:
    return (
        select(
            Payment.member_id.label("member_id"),
            null().cast(Email.reminder_id.type).label("reminder_id"),
            Payment.charge_id.label("cycle"),
            func.jsonb_build_object("membership", Payment.subscription_id, type_=JSONB).label(
                "context"
            ),
        )
        .join(Member, Member.id == Payment.member_id)
        .where(
            Payment.kind == CheckoutKind.MEMBERSHIP,
            Payment.status == PaymentStatus.SUCCEEDED,
            Payment.paid_at > at - _days(3),
            Payment.refunded < Payment.amount,
            Member.address.is_not(None),
        )
    )


def _to_readers(*conditions: ColumnElement[bool]) -> Due:
    counts_already = exists().where(
        func.lower(Member.email) == func.lower(Reminder.email), Member.counting
    )
    return select(
        null().cast(Email.member_id.type).label("member_id"),
        Reminder.id.label("reminder_id"),
        literal("once").label("cycle"),
        func.jsonb_build_object(type_=JSONB).label("context"),
    ).where(
        Reminder.stopped_at.is_(None),
        Reminder.confirmed_at.is_not(None),
        ~counts_already,
        *conditions,
    )


def _reminder(at: datetime) -> Due:
    return _to_readers(
        Reminder.kind == ReminderKind.LATER, Reminder.due_at <= at, Reminder.due_at > at - _days(7)
    )


def _unfinished_join(at: datetime) -> Due:
    is_finished = exists().where(
        Checkout.id == Reminder.checkout_id, Checkout.reference.is_not(None)
    )
    return _to_readers(
        Reminder.kind == ReminderKind.UNFINISHED,
        Reminder.due_at <= at,
        Reminder.due_at > at - _days(2),
        ~is_finished,
    )


_WAITS = (Gift.redeemed_at.is_(None), Gift.refunded_at.is_(None), Gift.disputed_at.is_(None))


def _gift_told(at: datetime) -> Due:
    """At once or on its day; who hears of it a week late hears of it all the same."""
    return select(
        null().cast(Email.member_id.type).label("member_id"),
        null().cast(Email.reminder_id.type).label("reminder_id"),
        Gift.id.label("gift_id"),
        _named(Gift.tell_at).label("cycle"),
        func.jsonb_build_object(type_=JSONB).label("context"),
    ).where(
        Gift.tell_at <= at,
        Gift.tell_at > at - _days(30),
        *_WAITS,
        Gift.recipient_email.is_not(None),
    )


def _gift_reminder(at: datetime) -> Due:
    """Once, a month after the recipient was told or the card could be printed."""
    told_at = func.coalesce(Gift.tell_at, Gift.paid_at)
    return (
        select(
            Gift.giver_id.label("member_id"),
            null().cast(Email.reminder_id.type).label("reminder_id"),
            Gift.charge_id.label("cycle"),
            func.jsonb_build_object("gift", Gift.id, type_=JSONB).label("context"),
        )
        .join(Member, Member.id == Gift.giver_id)
        .where(
            told_at <= at - _days(30),
            told_at > at - _days(60),
            *_WAITS,
            Member.address.is_not(None),
        )
    )


def _gift_ending(at: datetime) -> Due:
    """Two weeks before its end, unless the person stays a member by something else."""
    grace, other = current_settings().grace, aliased(Membership)
    stays = exists().where(
        other.member_id == Membership.member_id,
        other.id != Membership.id,
        counted_until(grace, other) > Membership.counts_until,
    )
    return (
        select(
            Membership.member_id.label("member_id"),
            null().cast(Email.reminder_id.type).label("reminder_id"),
            _named(Membership.reference).label("cycle"),
            func.jsonb_build_object("membership", Membership.reference, type_=JSONB).label(
                "context"
            ),
        )
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.source == Source.GIFT,
            Membership.counts_until <= at + _days(14),
            counts_at(at, grace),
            ~stays,
            Member.address.is_not(None),
        )
    )


RULES: dict[EmailKind, Callable[[datetime], Due]] = {
    EmailKind.PAYMENT_CONFIRMATION: _failed(0, 3, Membership.needs_confirmation.is_(True)),
    EmailKind.PAYMENT_FAILED_DAY_0: _failed(0, 3, Membership.needs_confirmation.is_(False)),
    EmailKind.PAYMENT_FAILED_DAY_3: _failed(3, 7),
    EmailKind.PAYMENT_FAILED_DAY_7: _failed(7, 12),
    EmailKind.PAYMENT_FAILED_DAY_12: _failed_for_the_last_time,
    EmailKind.CARD_EXPIRING_30_DAYS: _card_expires(30, 7),
    EmailKind.CARD_EXPIRING_7_DAYS: _card_expires(7, 0),
    EmailKind.RENEWAL_COMING: _renewal,
    EmailKind.CANCELED: _canceled,
    EmailKind.ENDED: _ended,
    EmailKind.WIN_BACK: _win_back,
    EmailKind.RECEIPT: _receipt,
    EmailKind.REMINDER: _reminder,
    EmailKind.UNFINISHED_JOIN: _unfinished_join,
    EmailKind.GIFT_TOLD: _gift_told,
    EmailKind.GIFT_REMINDER: _gift_reminder,
    EmailKind.GIFT_ENDING: _gift_ending,
}
