"""Members' changes to their membership: call Stripe, sync, and show a notice.

Each change takes the customer's lease and reads the current state before it calls Stripe: a second
click finds the change done, and an outdated page changes nothing.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import or_, select

from fundraiser.config import current_settings
from fundraiser.db import checkpoint, current_database, now
from fundraiser.errors import NotFoundError, UnavailableError
from fundraiser.members.models import ENDED, Membership, Source, Status
from fundraiser.members.renewals import renews
from fundraiser.payments import BankRefusedError, StripeRefusedError
from fundraiser.payments.queue import SyncBusyError, promise
from fundraiser.payments.settlement import leased, settle_claim
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member
    from fundraiser.payments import MemberGateway

log = structlog.get_logger()
# Nothing is paid for that it could run on until: it ends at once, and no more is tried.
UNPAID = {Status.PAST_DUE, Status.UNPAID, Status.INCOMPLETE}
_BY_ACCOUNT = "account"


class Notice(StrEnum):
    """The notice about a change, for the next page."""

    STOPPED = "stopped"
    STOP_REFUSED = "stop_refused"
    RESUMED = "resumed"
    STILL_ENDING = "still_ending"
    PAUSED = "paused"
    CHANGED = "changed"
    TO_CONFIRM = "to_confirm"
    REFUSED = "refused"
    METHOD = "method"
    METHOD_KEPT = "method_kept"
    METHOD_SAVED = "method_saved"
    METHOD_PAID = "method_paid"
    METHOD_PROCESSING = "method_processing"
    METHOD_TO_CONFIRM = "method_to_confirm"
    METHOD_REFUSED = "method_refused"
    SAVED = "saved"
    EMAIL = "email"
    MEANWHILE = "meanwhile"
    UNKNOWN = "unknown"
    ENDED = "ended"
    GIFT = "gift"
    GIFT_TOLD = "gift_told"


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


def change(
    session: Session,
    gateway: MemberGateway,
    membership: Membership,
    page_showed: str,
    *,
    action: Callable[[str], None],
    is_so: Callable[[Membership], bool],
    done: Notice,
) -> Notice:
    """Make one change to a membership at Stripe, and sync it.

    Raises:
        BankRefusedError: the bank refused a payment; nothing has changed.
    """
    database = current_database()
    checkpoint(session)
    try:
        with leased(database, [membership.customer_id or ""]) as (claim,):
            session.refresh(membership)
            if is_so(membership):
                return done
            if membership.status in ENDED:
                return Notice.ENDED
            if page_showed != seen(membership):
                return Notice.MEANWHILE
            # It may be done before an answer is lost, or we are: a worker looks then.
            promise(session, claim)
            checkpoint(session)
            try:
                done = _do(action, membership) or done
                grace = current_settings().grace
                settle_claim(database, gateway, grace, claim, cause_ref=_BY_ACCOUNT)
            except UnavailableError:
                return Notice.UNKNOWN
    except SyncBusyError:
        return Notice.MEANWHILE
    session.refresh(membership)
    return done


def _do(act: Callable[[str], None], membership: Membership) -> Notice | None:
    """Make the change at Stripe; returns another notice if that failed."""
    try:
        act(membership.reference)
    except NotFoundError:
        return Notice.ENDED
    except BankRefusedError:
        raise
    except StripeRefusedError as error:
        # Stripe's reason is a sentence for developers.
        log.warning("change_refused", membership=membership.id, reason=str(error))
        return Notice.REFUSED
    return None


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

    def action(subscription_id: str) -> None:
        if membership.status in UNPAID:
            gateway.cancel(subscription_id)
        else:
            gateway.stop(subscription_id, reason, comment, f"stop-{key}")

    def is_so(found: Membership) -> bool:
        return found.status in ENDED or (found.cancel_at is not None and not renews(found))

    done = change(
        session, gateway, membership, page_showed, action=action, is_so=is_so, done=Notice.STOPPED
    )
    if done is Notice.STOPPED and not is_so(membership):
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

    def is_so(found: Membership) -> bool:
        goes_on = found.cancel_at is None and not found.collection_paused
        return goes_on and found.status not in ENDED

    done = change(
        session,
        gateway,
        membership,
        page_showed,
        action=lambda name: gateway.go_on(name, f"resume-{key}"),
        is_so=is_so,
        done=Notice.RESUMED,
    )
    if done is Notice.RESUMED:
        membership.cancel_wanted_at = None
        if not is_so(membership):
            return Notice.STILL_ENDING
    return done
