"""Members' changes to their membership: record an intent, carry it out, and show a notice.

Each change takes the customer's lease and reads the current state before it is recorded: a second
click finds the change done, and an outdated page changes nothing.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from fundraiser.config import current_settings
from fundraiser.db import checkpoint, current_database, now
from fundraiser.errors import NotFoundError, UnavailableError
from fundraiser.members.models import ENDED, Interval, Membership, Source, Status
from fundraiser.payments import BankRefusedError
from fundraiser.payments.carry_out import carry_out, finish_open, is_so
from fundraiser.payments.intents import Intent, IntentKind, Refusal, add_intent, find_intent
from fundraiser.payments.queue import SyncBusyError
from fundraiser.payments.settlement import leased
from fundraiser.security import digest, new_nonce
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member
    from fundraiser.payments import MemberGateway

# Nothing is paid for that it could run on until: it ends at once, and no more is tried.
UNPAID = {Status.PAST_DUE, Status.UNPAID, Status.INCOMPLETE}
_BY_ACCOUNT = "account"


class Notice(StrEnum):
    """The notice about a change, for the next page."""

    STOPPED = "stopped"
    STOP_REFUSED = "stop_refused"
    RESUMED = "resumed"
    STILL_ENDING = "still_ending"
    STILL_PAUSED = "still_paused"
    PAUSED = "paused"
    CHANGED = "changed"
    TO_CONFIRM = "to_confirm"
    REFUSED = "refused"
    METHOD = "method"
    METHOD_KEPT = "method_kept"
    METHOD_SAVED = "method_saved"
    METHOD_PAID = "method_paid"
    OVERDUE_PAID = "overdue_paid"
    METHOD_PROCESSING = "method_processing"
    METHOD_TO_CONFIRM = "method_to_confirm"
    METHOD_REFUSED = "method_refused"
    SAVED = "saved"
    EMAIL = "email"
    MEANWHILE = "meanwhile"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    ENDED = "ended"
    GIFT = "gift"
    GIFT_TOLD = "gift_told"


_DONE = {
    IntentKind.CANCEL: Notice.STOPPED,
    IntentKind.CANCEL_NOW: Notice.STOPPED,
    IntentKind.RESUME: Notice.RESUMED,
    IntentKind.PAUSE: Notice.PAUSED,
    IntentKind.PRICE: Notice.CHANGED,
}


def find_membership(session: Session, member: Member, membership_id: int) -> Membership:
    """Find a membership of this person that is paid through Stripe.

    Raises:
        NotFoundError: there is none, or it belongs to somebody else.
    """
    found = session.get(Membership, membership_id)
    if found is None or found.member_id != member.id or found.source is not Source.STRIPE:
        raise NotFoundError(_("We can’t find this membership in your account."))
    return found


def running(session: Session, member: Member) -> list[Membership]:
    """This person's memberships that haven't ended, latest first."""
    return list(
        session.scalars(
            select(Membership)
            .where(
                Membership.member_id == member.id,
                Membership.status.not_in(ENDED),
                or_(Membership.source != Source.GIFT, Membership.counts_until > now()),
            )
            .order_by(Membership.started_at.desc())
        )
    )


def seen(membership: Membership) -> str:
    """A membership's state as a short hash; forms carry the state that their page showed."""
    state = (
        membership.status,
        membership.amount,
        membership.interval,
        membership.tier,
        membership.cancel_at,
        membership.collection_paused,
        membership.period_end,
    )
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def pauses_of(membership: Membership) -> tuple[int, ...]:
    """The lengths of the pauses on offer, in months: each skips one payment or more."""
    months = {Interval.MONTH: 1, Interval.YEAR: 12}.get(membership.interval or Interval.DAY, 0)
    period = months * membership.interval_count
    return (1, 2, 3) if period == 1 else (period,) if period else ()


def change(
    session: Session,
    gateway: MemberGateway,
    membership: Membership,
    page_showed: str,
    *,
    kind: IntentKind,
    key: str,
    details: dict[str, Any] | None = None,
    cause_ref: str = _BY_ACCOUNT,
) -> Notice:
    """Record the change to a membership that a member requests, carry it out, and sync.

    ``key`` identifies the form: sent twice, it makes one intent.

    Raises:
        BankRefusedError: the bank refused a payment; nothing has changed.
    """
    grace, details, customer_id = current_settings().grace, details or {}, membership.customer_id
    key = digest(f"{membership.member_id} {membership.id} {kind} {key or new_nonce()}")
    intent: Intent | None = None
    try:
        finish_open(session, gateway, grace, membership.member_id)
        checkpoint(session)
        with leased(current_database(), [customer_id or ""]) as (claim,):
            session.refresh(membership)
            intent = find_intent(session, key)
            if intent is None:
                if is_so(kind, details, membership):
                    return _DONE[kind]
                if membership.status in ENDED:
                    return Notice.ENDED
                if page_showed != seen(membership):
                    return Notice.MEANWHILE
                intent = add_intent(
                    session,
                    kind,
                    key=key,
                    member_id=membership.member_id,
                    customer_id=customer_id,
                    target=membership.reference,
                    details=details,
                    cause_ref=cause_ref,
                )
                carry_out(session, gateway, grace, [claim], intent)
    except UnavailableError as error:
        if intent or find_intent(session, key):
            return Notice.UNKNOWN
        return Notice.MEANWHILE if isinstance(error, SyncBusyError) else Notice.WAITING
    session.refresh(membership)
    match intent.refusal:
        case None:
            return _DONE[kind]
        case Refusal.ENDED:
            return Notice.ENDED
        case Refusal.BANK:
            raise BankRefusedError(intent.error or "")
    return Notice.REFUSED


def stop(
    session: Session,
    gateway: MemberGateway,
    membership: Membership,
    page_showed: str,
    *,
    reason: str | None,
    comment: str,
    key: str,
) -> Notice:
    """Cancel a membership at the end of the paid period, or at once if it is overdue.

    If Stripe refuses, we store the request, so that staff see it and act on it.
    """
    kind = IntentKind.CANCEL_NOW if membership.status in UNPAID else IntentKind.CANCEL
    done = change(
        session,
        gateway,
        membership,
        page_showed,
        kind=kind,
        key=key,
        details={"reason": reason, "comment": comment},
    )
    if done is Notice.STOPPED and not is_so(IntentKind.CANCEL, {}, membership):
        done = Notice.REFUSED
    if done is Notice.REFUSED:
        membership.cancel_wanted_at = now()
        return Notice.STOP_REFUSED
    return done


def resume(
    session: Session,
    gateway: MemberGateway,
    membership: Membership,
    page_showed: str,
    *,
    key: str,
) -> Notice:
    """Undo a cancellation that hasn't taken effect, or a pause."""
    kind, was_ending = IntentKind.RESUME, membership.cancel_at is not None
    done = change(session, gateway, membership, page_showed, kind=kind, key=key)
    if done is Notice.RESUMED:
        membership.cancel_wanted_at = None
        if not is_so(kind, {}, membership):
            return Notice.STILL_ENDING if was_ending else Notice.STILL_PAUSED
    return done
