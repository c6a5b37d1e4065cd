"""The rule "paying-members/1": who counts, and until when if nothing but time happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fundraiser.members.models import Source, Standing, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from fundraiser.members.models import Membership

RULE = "paying-members/1"


class Reason(StrEnum):
    """Why a membership counts or does not: the words of the ledger and of the public page."""

    PAID = "paid"
    FIRST_PAYMENT_IN_PROCESS = "first_payment_in_process"
    IN_GRACE = "in_grace"
    GIFT = "gift"
    IMPORTED = "imported"
    NOTHING_TO_PAY = "nothing_to_pay"
    COLLECTION_PAUSED = "collection_paused"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    GRACE_OVER = "grace_over"
    NOT_PAID = "not_paid"
    ENDED = "ended"
    NO_MEMBERSHIP = "no_membership"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it counts and why; ``since`` when that began, as far as the facts tell.

    ``until`` is when time alone may change the answer.
    """

    counts: bool
    reason: Reason
    since: datetime | None = None
    until: datetime | None = None


def person_counts(memberships: Iterable[Membership], at: datetime, grace: timedelta) -> Verdict:
    """A person counts while at least one membership does."""
    verdicts = [membership_counts(membership, at, grace) for membership in memberships]
    counting = [verdict for verdict in verdicts if verdict.counts]
    if counting:
        since = min((v.since for v in counting if v.since), default=None)
        # Endless beats any end; otherwise the person counts until the last of them runs out.
        endless = any(verdict.until is None for verdict in counting)
        until = None if endless else max(v.until for v in counting if v.until)
        return Verdict(True, counting[0].reason, since, until)
    if not verdicts:
        return Verdict(False, Reason.NO_MEMBERSHIP)
    return max(verdicts, key=lambda v: v.since.timestamp() if v.since else 0.0)


def membership_counts(membership: Membership, at: datetime, grace: timedelta) -> Verdict:
    """Whether this membership counts at this time, row by row of the published table."""
    m = membership
    if m.source is Source.COMPLIMENTARY or m.amount == 0:
        return Verdict(False, Reason.NOTHING_TO_PAY, m.started_at)
    if m.status is Status.CANCELED:
        return Verdict(False, Reason.ENDED, m.ended_at)
    if m.source is Source.GIFT:
        if m.refunded_at:
            return Verdict(False, Reason.REFUNDED, m.refunded_at)
        if m.disputed_at:
            return Verdict(False, Reason.DISPUTED, m.disputed_at)
        return _until(m, at, m.counts_until, Reason.GIFT)
    if m.source is Source.IMPORT:
        end = m.counts_until + grace if m.counts_until else None
        return _until(m, at, end, Reason.IMPORTED)
    return _stripe_counts(m, at, grace)


def _stripe_counts(m: Membership, at: datetime, grace: timedelta) -> Verdict:
    if m.collection_paused:
        return Verdict(False, Reason.COLLECTION_PAUSED)
    if m.refunded_at:
        return Verdict(False, Reason.REFUNDED, m.refunded_at)
    if m.disputed_at:
        return Verdict(False, Reason.DISPUTED, m.disputed_at)
    match m.status, m.standing:
        case Status.ACTIVE, Standing.PAID:
            return _until(m, at, m.cancel_at, Reason.PAID)
        case Status.ACTIVE, Standing.IN_PROCESS:
            return _until(m, at, m.cancel_at, Reason.FIRST_PAYMENT_IN_PROCESS)
        case Status.PAST_DUE, Standing.PAID | Standing.OVERDUE:
            over = (m.grace_from or at) + grace
            if m.cancel_at and m.cancel_at < over:
                return _until(m, at, m.cancel_at, Reason.IN_GRACE)
            return _until(m, at, over, Reason.IN_GRACE, Reason.GRACE_OVER)
    return Verdict(False, Reason.NOT_PAID, m.ended_at or m.grace_from)


def _until(
    m: Membership,
    at: datetime,
    end: datetime | None,
    reason: Reason,
    after: Reason = Reason.ENDED,
) -> Verdict:
    if end is not None and at >= end:
        return Verdict(False, after, end)
    return Verdict(True, reason, m.paid_at or m.started_at, end)
