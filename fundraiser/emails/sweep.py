"""Who is owed a letter by the passing of time: found by the database, never one by one.

Each kind has one rule. The sweep owes a letter to whomever it holds for, and just before the letter
leaves the same rule is asked again of that one person: who has paid meanwhile, came back, or waited
too long in the queue gets none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import aliased

from fundraiser.campaigns.models import Campaign, CampaignStatus
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.campaigns.reminders import Reminder, ReminderKind
from fundraiser.db import now
from fundraiser.emails.models import LetterSwitch, Mailing, Suppression
from fundraiser.jobs import Job, hint
from fundraiser.members.gifts import Gift
from fundraiser.members.models import Interval, Member, Membership, Source, Standing, Status
from fundraiser.outbox import (
    URGENT,
    Letter,
    LetterChoice,
    LetterKind,
    LetterState,
    Topic,
)
from fundraiser.payments.models import Checkout, CheckoutKind, Payment, PaymentStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.progress import Progress

Owed = Select[tuple[int | None, int | None, str, dict[str, Any]]]

# Stripe itself sends receipts unless it is told not to.
OFF_UNLESS_SWITCHED_ON = {LetterKind.RECEIPT}
_QUARTERS = (25, 50, 75, 100)  # per cent of a campaign's goal
_LAST_DAYS = timedelta(days=3)


def _days(count: float) -> timedelta:
    return timedelta(days=count)


def sweep(session: Session) -> int:
    """Owe what is due now; returns how many letters that are new."""
    at, off = now(), kinds_switched_off(session)
    owed = 0
    for kind, rule in RULES.items():
        if kind not in off:
            owed += _owe_all(session, kind, rule(at), at)
    campaign = current_campaign(session)
    if campaign is not None:
        owed += _owe_of_campaign(session, campaign, at, off)
    if owed:
        hint(session, Job.DELIVER)
    return owed


def is_still_owed(session: Session, letter: Letter) -> bool:
    """Whether the rule of a letter's kind holds for its recipient now; True for kinds without."""
    rule = RULES.get(letter.kind)
    if rule is None:
        return True
    owed = rule(now()).subquery()
    if letter.gift_id is not None:
        to_whom = _gift_id(owed) == letter.gift_id
    elif letter.reminder_id is not None:
        to_whom = owed.c.reminder_id == letter.reminder_id
    else:
        to_whom = owed.c.member_id == letter.member_id
    found = select(exists().where(to_whom, owed.c.cycle == letter.cycle))
    return bool(session.scalar(found))


def kinds_switched_off(session: Session) -> set[LetterKind]:
    """The kinds that are not sent: as staff said, or as they are from the start."""
    said = {row.kind: row.is_on for row in session.scalars(select(LetterSwitch))}
    return {
        kind for kind in LetterKind if not said.get(kind.value, kind not in OFF_UNLESS_SWITCHED_ON)
    }


def _owe_all(session: Session, kind: LetterKind, owed: Owed, at: datetime) -> int:
    found = owed.subquery()
    has_one = exists().where(
        Letter.kind == kind,
        Letter.cycle == found.c.cycle,
        or_(
            Letter.member_id == found.c.member_id,
            Letter.reminder_id == found.c.reminder_id,
            Letter.gift_id == _gift_id(found),
        ),
    )
    columns = {
        "member_id": found.c.member_id,
        "reminder_id": found.c.reminder_id,
        "gift_id": _gift_id(found),
        "kind": literal(kind.value),
        "cycle": found.c.cycle,
        "context": found.c.context,
        "urgent": literal(kind in URGENT),
        "state": literal(LetterState.QUEUED.value),
        "due_at": literal(at),
        "created_at": literal(at),
        "attempts": literal(0),
    }
    rows = select(*columns.values()).where(~has_one)
    made = (
        insert(Letter)
        .from_select(list(columns), rows)
        .on_conflict_do_nothing()
        .returning(Letter.id)
        .cte()
    )
    return session.scalar(select(func.count()).select_from(made)) or 0


def _gift_id(owed: Subquery) -> ColumnElement[int | None]:
    """The gift whose recipient a rule speaks of; most rules speak of members."""
    return owed.c.gift_id if "gift_id" in owed.c else null().cast(Letter.gift_id.type)


# The rules: to whom, in which cycle, about what


def _to_members(cycle: ColumnElement[str], *conditions: ColumnElement[bool]) -> Owed:
    """Those whose membership the conditions hold for."""
    return (
        select(
            Membership.member_id.label("member_id"),
            null().cast(Letter.reminder_id.type).label("reminder_id"),
            cycle.label("cycle"),
            func.jsonb_build_object("membership", Membership.reference, type_=JSONB).label(
                "context"
            ),
        )
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.source == Source.STRIPE,
            Membership.second_to.is_(None),
            *_can_be_written_to(Member.email),
            *conditions,
        )
    )


def _can_be_written_to(address: Any) -> tuple[ColumnElement[bool], ...]:  # noqa: ANN401 - a column
    return (
        address.is_not(None),
        ~exists().where(Suppression.address == func.lower(address)),
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
    Membership.standing == Standing.OVERDUE,
    Membership.status.in_((Status.PAST_DUE, Status.ACTIVE)),
    Membership.ended_at.is_(None),
)
_RUNS = (
    Membership.status == Status.ACTIVE,
    Membership.standing == Standing.PAID,
    Membership.collection_paused.is_(False),
    Membership.cancel_at.is_(None),
    Membership.amount > 0,
)
# Until the next payment that arrives it is one failure, however often it is tried.
_OF_THIS_FAILURE = _named(Membership.reference, Membership.paid_at)


def _failed(first: float, last: float, *more: ColumnElement[bool]) -> Callable[[datetime], Owed]:
    """From so many days after the failure until so many: the next letter takes over then."""
    return lambda at: _to_members(
        _OF_THIS_FAILURE,
        Membership.grace_from <= at - _days(first),
        Membership.grace_from > at - _days(last),
        *_OVERDUE,
        *more,
    )


def _card_expires(first: float, last: float) -> Callable[[datetime], Owed]:
    return lambda at: _to_members(
        _named(Membership.reference, Membership.card_expires_at),
        Membership.card_expires_at <= at + _days(first),
        Membership.card_expires_at > at + _days(last),
        *_RUNS,
    )


def _renewal(at: datetime) -> Owed:
    return _to_members(
        _named(Membership.reference, Membership.period_end),
        Membership.interval == Interval.YEAR,
        Membership.period_end <= at + _days(14),
        Membership.period_end > at + _days(3),
        *_RUNS,
    )


def _canceled(at: datetime) -> Owed:
    return _to_members(
        _named(Membership.reference, Membership.canceled_at),
        Membership.canceled_at > at - _days(3),
        Membership.cancel_at > at,
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


def _ended(at: datetime) -> Owed:
    return _to_members(_named(Membership.reference), *_has_left(at, 0, 3))


def _win_back(at: datetime) -> Owed:
    """Where the reason was the price, or none was given: of their own will, and not otherwise."""
    return _to_members(
        _named(Membership.reference),
        *_has_left(at, 14, 17),
        Membership.standing == Standing.PAID,
        Membership.cancel_reason.is_distinct_from("payment_failed"),
        Membership.cancel_reason.is_distinct_from("payment_disputed"),
        or_(
            Membership.cancel_feedback.is_(None),
            Membership.cancel_feedback == "too_expensive",
        ),
        Membership.refunded_at.is_(None),
        Membership.disputed_at.is_(None),
        ~exists().where(
            LetterChoice.member_id == Membership.member_id,
            LetterChoice.topic == Topic.RETURN,
            LetterChoice.wanted.is_(False),
        ),
    )


def _receipt(at: datetime) -> Owed:
    return (
        select(
            Payment.member_id.label("member_id"),
            null().cast(Letter.reminder_id.type).label("reminder_id"),
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
            *_can_be_written_to(Member.email),
        )
    )


def _to_readers(*conditions: ColumnElement[bool]) -> Owed:
    counts_already = exists().where(
        func.lower(Member.email) == func.lower(Reminder.email), Member.counting
    )
    return select(
        null().cast(Letter.member_id.type).label("member_id"),
        Reminder.id.label("reminder_id"),
        literal("once").label("cycle"),
        func.jsonb_build_object(type_=JSONB).label("context"),
    ).where(
        Reminder.stopped_at.is_(None),
        Reminder.confirmed_at.is_not(None),
        ~counts_already,
        *_can_be_written_to(Reminder.email),
        *conditions,
    )


def _reminder(at: datetime) -> Owed:
    return _to_readers(
        Reminder.kind == ReminderKind.LATER, Reminder.due_at <= at, Reminder.due_at > at - _days(7)
    )


def _unfinished_join(at: datetime) -> Owed:
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


def _gift_told(at: datetime) -> Owed:
    """At once or on its day; who hears of it a week late hears of it all the same."""
    return select(
        null().cast(Letter.member_id.type).label("member_id"),
        null().cast(Letter.reminder_id.type).label("reminder_id"),
        Gift.id.label("gift_id"),
        _named(Gift.tell_at).label("cycle"),
        func.jsonb_build_object(type_=JSONB).label("context"),
    ).where(
        Gift.tell_at <= at,
        Gift.tell_at > at - _days(30),
        *_WAITS,
        *_can_be_written_to(Gift.recipient_email),
    )


def _gift_reminder(at: datetime) -> Owed:
    """Once, a month after the recipient was told or the card could be printed."""
    told_at = func.coalesce(Gift.tell_at, Gift.paid_at)
    return (
        select(
            Gift.giver_id.label("member_id"),
            null().cast(Letter.reminder_id.type).label("reminder_id"),
            Gift.charge_id.label("cycle"),
            func.jsonb_build_object("gift", Gift.id, type_=JSONB).label("context"),
        )
        .join(Member, Member.id == Gift.giver_id)
        .where(
            told_at <= at - _days(30),
            told_at > at - _days(60),
            *_WAITS,
            *_can_be_written_to(Member.email),
        )
    )


def _gift_ending(at: datetime) -> Owed:
    """Two weeks before its end, unless the person stays a member by something else."""
    other = aliased(Membership)
    stays = exists().where(
        other.member_id == Membership.member_id,
        other.id != Membership.id,
        other.refunded_at.is_(None),
        other.disputed_at.is_(None),
        or_(
            and_(other.source == Source.GIFT, other.counts_until > Membership.counts_until),
            and_(
                other.source == Source.STRIPE,
                other.status == Status.ACTIVE,
                other.cancel_at.is_(None),
                other.collection_paused.is_(False),
            ),
        ),
    )
    return (
        select(
            Membership.member_id.label("member_id"),
            null().cast(Letter.reminder_id.type).label("reminder_id"),
            _named(Membership.reference).label("cycle"),
            func.jsonb_build_object("membership", Membership.reference, type_=JSONB).label(
                "context"
            ),
        )
        .join(Member, Member.id == Membership.member_id)
        .where(
            Membership.source == Source.GIFT,
            Membership.counts_until <= at + _days(14),
            Membership.counts_until > at,
            Membership.status == Status.ACTIVE,
            Membership.refunded_at.is_(None),
            Membership.disputed_at.is_(None),
            ~stays,
            *_can_be_written_to(Member.email),
        )
    )


RULES: dict[LetterKind, Callable[[datetime], Owed]] = {
    LetterKind.PAYMENT_CONFIRMATION: _failed(0, 3, Membership.needs_confirmation.is_(True)),
    LetterKind.PAYMENT_FAILED_DAY_0: _failed(0, 3, Membership.needs_confirmation.is_(False)),
    LetterKind.PAYMENT_FAILED_DAY_3: _failed(3, 7),
    LetterKind.PAYMENT_FAILED_DAY_7: _failed(7, 12),
    LetterKind.PAYMENT_FAILED_DAY_12: _failed(12, 14),
    LetterKind.CARD_EXPIRING_30_DAYS: _card_expires(30, 7),
    LetterKind.CARD_EXPIRING_7_DAYS: _card_expires(7, 0),
    LetterKind.RENEWAL_COMING: _renewal,
    LetterKind.CANCELED: _canceled,
    LetterKind.ENDED: _ended,
    LetterKind.WIN_BACK: _win_back,
    LetterKind.RECEIPT: _receipt,
    LetterKind.REMINDER: _reminder,
    LetterKind.UNFINISHED_JOIN: _unfinished_join,
    LetterKind.GIFT_TOLD: _gift_told,
    LetterKind.GIFT_REMINDER: _gift_reminder,
    LetterKind.GIFT_ENDING: _gift_ending,
}


# What a campaign tells to those who asked to be told


def _owe_of_campaign(
    session: Session, campaign: Campaign, at: datetime, off: set[LetterKind]
) -> int:
    progress = read_progress(session, campaign)
    if progress.status not in {CampaignStatus.RUNNING, CampaignStatus.REACHED}:
        return 0
    owed = 0
    milestone = _new_milestone(session, progress, at)
    if milestone and LetterKind.MILESTONE not in off:
        cycle = _milestone_cycle(progress, milestone)
        owed += _owe_to_who_asked(session, LetterKind.MILESTONE, campaign, cycle, at)
    if (
        progress.status is CampaignStatus.RUNNING
        and at > campaign.deadline - _LAST_DAYS
        and LetterKind.LAST_DAYS not in off
        and _begin_mailing(session, LetterKind.LAST_DAYS, campaign.slug, at)
    ):
        owed += _owe_to_who_asked(session, LetterKind.LAST_DAYS, campaign, campaign.slug, at)
    return owed


def _new_milestone(session: Session, progress: Progress, at: datetime) -> int | None:
    """The highest quarter of the goal that was passed since the last look; each counts once.

    What was passed before anybody looked, at this campaign or at a new goal, is told to nobody.
    """
    passed = [quarter for quarter in _QUARTERS if progress.percent >= quarter]
    goal = f"{progress.campaign} {progress.goal}"
    first_look = _begin_mailing(session, LetterKind.MILESTONE, goal, at)
    new = [
        quarter
        for quarter in passed
        if _begin_mailing(session, LetterKind.MILESTONE, _milestone_cycle(progress, quarter), at)
    ]
    return max(new) if new and not first_look else None


def _milestone_cycle(progress: Progress, quarter: int) -> str:
    return f"{progress.campaign} {quarter}% of {progress.goal}"


def _begin_mailing(session: Session, kind: LetterKind, cycle: str, at: datetime) -> bool:
    """True for the one who is the first to ask."""
    begun = insert(Mailing).values(kind=kind.value, cycle=cycle, at=at).on_conflict_do_nothing()
    return session.scalar(begun.returning(Mailing.cycle)) is not None


def _owe_to_who_asked(
    session: Session, kind: LetterKind, campaign: Campaign, cycle: str, at: datetime
) -> int:
    who = (
        select(
            LetterChoice.member_id.label("member_id"),
            null().cast(Letter.reminder_id.type).label("reminder_id"),
            literal(cycle).label("cycle"),
            func.jsonb_build_object("campaign", campaign.slug, type_=JSONB).label("context"),
        )
        .join(Member, Member.id == LetterChoice.member_id)
        .where(
            and_(LetterChoice.topic == Topic.CAMPAIGN, LetterChoice.wanted),
            *_can_be_written_to(Member.email),
        )
    )
    return _owe_all(session, kind, who, at)
