"""Carrying out intents: call Stripe, store the outcome, sync the customers.

An intent whose process died, or to which Stripe didn't answer, is first compared with Stripe's
state.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select

from fundraiser.db import checkpoint, current_database
from fundraiser.errors import NotFoundError, UnavailableError, UnprocessableError
from fundraiser.jobs import Job, hint
from fundraiser.members.address_changes import check_email, note_change
from fundraiser.members.models import ENDED, Member, Membership, Source
from fundraiser.members.renewals import renews
from fundraiser.payments.intents import (
    Intent,
    IntentKind,
    Refusal,
    claim_due_intent,
    open_intents,
)
from fundraiser.payments.models import Customer
from fundraiser.payments.queue import promise
from fundraiser.payments.settlement import leased, settle, settle_claim
from fundraiser.payments.stripe.errors import BankRefusedError
from fundraiser.payments.stripe.member_gateway import Terms
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.payments.queue import Claim
    from fundraiser.payments.stripe.member_gateway import MemberGateway

log = structlog.get_logger()

# To end what has ended at Stripe already is what was wanted.
_ENDS = {IntentKind.CANCEL, IntentKind.CANCEL_NOW, IntentKind.ERASURE}


def carry_out(
    session: Session,
    gateway: MemberGateway,
    grace: timedelta,
    claims: list[Claim],
    intent: Intent,
) -> None:
    """Commit an intent, call Stripe, close it and sync its customers, whose leases we hold.

    Leaves an erasure open, since our own rows are still to be erased.

    Raises:
        StripeUnavailableError: Stripe doesn't answer; the sweep retries.
        SyncBusyError: we lost a lease to another process.
    """
    for claim in claims:
        promise(session, claim)
    checkpoint(session)
    customers = [claim.name for claim in claims]
    refusal, error = _call(gateway, customers, intent)
    if refusal is None and not _note_email(session, intent):
        refusal = Refusal.TAKEN
        _change_back(gateway, customers, intent)
    if intent.kind is not IntentKind.ERASURE or refusal:
        if refusal is None and intent.kind is IntentKind.DETAILS:
            member = session.get_one(Member, intent.member_id)
            member.name, member.language = intent.details["name"], intent.details["language"]
        intent.close(refusal, error)
    checkpoint(session)
    for claim in claims:
        settle_claim(
            current_database(),
            gateway,
            grace,
            claim,
            cause=intent.cause,
            cause_ref=intent.cause_ref,
        )
    session.expire_all()
    hint(session, Job.ENQUEUE)  # its confirmation


def finish_open(session: Session, gateway: MemberGateway, grace: timedelta, member_id: int) -> None:
    """Carry out a person's open intents, before another one is added.

    Raises:
        StripeUnavailableError: Stripe still doesn't answer.
        SyncBusyError: another process holds a lease.
    """
    ids = [
        intent.id
        for intent in open_intents(session, member_id)
        if intent.kind is not IntentKind.ERASURE
    ]
    for intent_id in ids:
        checkpoint(session)
        finish(gateway, grace, intent_id)
    if ids:
        session.expire_all()


def finish_next(gateway: MemberGateway, grace: timedelta) -> bool:
    """Carry out a due intent, left by a killed process or a silent Stripe; False if none is due."""
    with current_database().transaction() as session:
        intent = claim_due_intent(session, erasures=False)
    if intent is None:
        return False
    try:
        finish(gateway, grace, intent.id)
    except UnavailableError as error:
        log.warning("intent_waits", intent=intent.id, error=type(error).__name__)
    return True


def finish(gateway: MemberGateway, grace: timedelta, intent_id: int) -> None:
    """Compare an intent with Stripe's state, and carry it out if it isn't done.

    Raises:
        StripeUnavailableError: Stripe doesn't answer.
        SyncBusyError: another process holds a lease.
    """
    database = current_database()
    with database.transaction() as session:
        intent = session.get_one(Intent, intent_id)
        customers = customers_of(session, intent)
    is_refunded = intent.kind is IntentKind.REFUND and gateway.has_refund(
        intent.target or "", intent.key
    )
    for name in customers:
        settle(database, gateway, grace, name, cause=intent.cause, cause_ref=intent.cause_ref)
    with leased(database, customers) as claims, database.transaction() as session:
        intent = session.get_one(Intent, intent_id)
        if not intent.is_open:
            return
        if is_refunded or _is_done(session, intent):
            intent.close()
        elif intent.is_late:
            if intent.call_is_over:
                intent.close(Refusal.LATE)
        else:
            intent.call_again()
            carry_out(session, gateway, grace, claims, intent)


def customers_of(session: Session, intent: Intent) -> list[str]:
    """The IDs of the customers that an intent is about."""
    if intent.customer_id:
        return [intent.customer_id]
    return customers_of_member(session, intent.member_id)


def customers_of_member(session: Session, member_id: int) -> list[str]:
    """The IDs of a person's customers that aren't deleted."""
    return list(
        session.scalars(
            select(Customer.id)
            .where(Customer.member_id == member_id, Customer.deleted.is_(False))
            .order_by(Customer.id)
        )
    )


def is_so(kind: IntentKind, details: dict[str, Any], membership: Membership) -> bool:
    """Whether a membership already is as an intent of this kind requests."""
    has_ended, m = membership.status in ENDED, membership
    match kind:
        case IntentKind.CANCEL:
            return has_ended or (m.cancel_at is not None and not renews(m))
        case IntentKind.CANCEL_NOW:
            return has_ended
        case IntentKind.RESUME:
            return not has_ended and m.cancel_at is None and not m.collection_paused
        case IntentKind.PAUSE:
            return m.collection_paused
        case IntentKind.PRICE:
            terms = details["terms"]
            wanted = (terms["amount"], terms["interval"], details["tier"])
            listed = m.amount if m.price is None else m.price
            return wanted == (listed, m.interval, m.tier) and m.cancel_at is None
    return False


def _is_done(session: Session, intent: Intent) -> bool:
    membership = session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE, Membership.reference == intent.target
        )
    ).first()
    return membership is not None and is_so(intent.kind, intent.details, membership)


def _call(
    gateway: MemberGateway, customers: list[str], intent: Intent
) -> tuple[Refusal | None, str | None]:
    """Call Stripe; returns why it refused for good, with its message."""
    try:
        _make_calls(gateway, customers, intent)
    except NotFoundError:
        return (None if intent.kind in _ENDS else Refusal.ENDED), None
    except UnprocessableError as error:
        log.warning("intent_refused", intent=intent.id, kind=intent.kind, reason=str(error))
        if intent.kind is IntentKind.EMAIL:
            _change_back(gateway, customers, intent)
        refusal = Refusal.BANK if isinstance(error, BankRefusedError) else Refusal.STRIPE
        return refusal, redact(str(error))[:500]
    return None, None


def _make_calls(gateway: MemberGateway, customers: list[str], intent: Intent) -> None:
    key, target, details = intent.idempotency_key, intent.target or "", intent.details
    match intent.kind:
        case IntentKind.CANCEL:
            gateway.stop(target, details.get("reason"), details.get("comment", ""), key)
        case IntentKind.CANCEL_NOW:
            gateway.cancel(target)
        case IntentKind.RESUME:
            gateway.go_on(target, key)
        case IntentKind.PAUSE:
            gateway.pause(target, datetime.fromtimestamp(details["until"], UTC), key)
        case IntentKind.PRICE:
            at = datetime.fromtimestamp(details["at"], UTC)
            gateway.change(target, Terms.from_json(details["terms"]), at, key)
        case IntentKind.REFUND:
            gateway.pay_back(target, details["amount"], key)
        case _:
            for name in customers:
                with suppress(NotFoundError):  # one that was deleted at Stripe needs nothing
                    _call_for_customer(gateway, name, intent)


def _call_for_customer(gateway: MemberGateway, name: str, intent: Intent) -> None:
    """Change one customer; safe to repeat."""
    details = intent.details
    match intent.kind:
        case IntentKind.EMAIL:
            gateway.change_email(name, details["email"])
        case IntentKind.DETAILS:
            gateway.change_customer(name, name=details["name"], language=details["language"])
        case IntentKind.ERASURE:
            gateway.delete_customer(name)


def _note_email(session: Session, intent: Intent) -> bool:
    """Store a person's new address; False if it now belongs to somebody else.

    Runs before their customers are synced: one with an unknown address becomes another person.
    """
    if intent.kind is not IntentKind.EMAIL:
        return True
    member = session.get_one(Member, intent.member_id, with_for_update=True, populate_existing=True)
    before, email = member.email, intent.details["email"]
    if before == email:
        return True
    try:
        check_email(session, member, email)
    except UnprocessableError:
        checkpoint(session)
        return False
    member.email = email
    session.flush()
    note_change(session, member, before, is_undo=intent.details["is_undo"])
    return True


def _change_back(gateway: MemberGateway, customers: list[str], intent: Intent) -> None:
    """Restore the old address of all customers."""
    for name in customers if intent.details["before"] else ():
        with suppress(NotFoundError, UnprocessableError):
            gateway.change_email(name, intent.details["before"])
