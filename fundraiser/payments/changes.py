"""What staff and members change at Stripe: asked for there, then settled like after any event.

Nothing is written to our rows directly. Each verb takes the customer's lock before it speaks to
Stripe. ``key`` becomes Stripe's idempotency key: the same change asked for again, after an answer
that was lost or by a second click, is one change.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.db import lock
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.members.address_changes import note_change
from fundraiser.members.models import Cause, Member, fold_address
from fundraiser.payments.disputes import holds_money
from fundraiser.payments.models import Customer, Payment, PaymentStatus
from fundraiser.payments.stripe.gateway import StripeRefusedError, StripeUnavailableError
from fundraiser.payments.sync import settle
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Membership
    from fundraiser.payments.stripe.member_gateway import MemberGateway


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes something: ``cause`` and ``cause_ref`` are what the ledger keeps of it."""

    gateway: MemberGateway
    grace: timedelta
    key: str
    cause: Cause
    cause_ref: str | None = None

    def settle(self, session: Session, customer_id: str) -> None:
        """Make our rows match what Stripe says now; what the session has loaded is read anew."""
        session.flush()
        session.expire_all()
        settle(
            session,
            self.gateway,
            self.grace,
            customer_id,
            cause=self.cause,
            cause_ref=self.cause_ref,
        )


def end_membership(
    session: Session, change: Change, membership: Membership, *, at_period_end: bool
) -> None:
    """End a membership that is paid through Stripe, now or with what is paid for.

    One that has ended at Stripe already is what was wanted. Nothing is refunded.

    Raises:
        StripeRefusedError: Stripe does not do it, and says why; nothing has changed.
        StripeUnavailableError: Stripe does not answer; asking again does it once.
    """
    customer_id = _customer_of(membership)
    lock(session, "customer", customer_id)
    with suppress(NotFoundError):
        if at_period_end:
            change.gateway.cancel_at_period_end(membership.reference, f"end-{change.key}")
        else:
            change.gateway.cancel(membership.reference)
    change.settle(session, customer_id)


def refund(session: Session, change: Change, payment: Payment, amount: int) -> None:
    """Pay back ``amount`` (smallest unit) of a payment: a part of what is left, or all of it.

    Raises:
        UnprocessableError: nothing, or not so much, can be paid back.
        StripeUnavailableError: Stripe does not answer; asking again does it once.
    """
    lock(session, "customer", payment.customer_id)
    session.refresh(payment)
    left = refundable(payment)
    if left == 0:
        raise UnprocessableError(_("Nothing of this payment is left to pay back."))
    if not 0 < amount <= left:
        raise UnprocessableError(_("Enter an amount that was paid and not paid back yet."))
    change.gateway.pay_back(payment.charge_id, amount, f"refund-{change.key}")
    change.settle(session, payment.customer_id)


def refundable(payment: Payment) -> int:
    """How much of a payment can be refunded: nothing while, or because, the bank has taken it back.

    The payment of an inquiry can be refunded, which closes it, and that of a dispute that was won.
    """
    if payment.status is not PaymentStatus.SUCCEEDED or holds_money(payment.dispute):
        return 0
    return payment.amount - payment.refunded


def change_email(
    session: Session, change: Change, member: Member, email: str, *, is_undo: bool = False
) -> None:
    """Give a person another address, here and with each of their customers at Stripe.

    Both addresses are e-mailed, and all of the person's sessions end.

    Raises:
        UnprocessableError: it is no address, the one they have, or somebody else's.
        StripeUnavailableError: Stripe does not answer; all customers have the address they had.
    """
    customers = session.scalars(
        select(Customer)
        .where(Customer.member_id == member.id, Customer.deleted.is_(False))
        .order_by(Customer.id)
    ).all()
    for customer in customers:
        lock(session, "customer", customer.id)
    session.refresh(member, with_for_update=True)
    check_email(session, member, email)
    # First: a customer who is settled with an unknown address would become a person of its own.
    before, member.email = member.email, email
    session.flush()
    note_change(session, member, before, is_undo=is_undo)
    changed: list[str] = []
    try:
        for customer in customers:
            changed.append(customer.id)
            with suppress(NotFoundError):  # one that was deleted at Stripe needs no address
                change.gateway.change_email(customer.id, email)
    except (StripeUnavailableError, StripeRefusedError):
        _change_back(change.gateway, changed, before)
        raise
    for customer in customers:
        change.settle(session, customer.id)


def check_email(session: Session, member: Member, email: str) -> None:
    """Whether a person may have this address.

    Raises:
        UnprocessableError: it is no address, the one they have, or somebody else's.
    """
    local, _at, domain = email.rpartition("@")
    if not local or "." not in domain.strip(".") or any(character.isspace() for character in email):
        raise UnprocessableError(
            _("Enter an e-mail address, like olena@example.org."), field="email"
        )
    if email == member.email:
        raise UnprocessableError(_("This is the address that we have already."), field="email")
    owner = session.scalars(
        select(Member.id).where(Member.address == fold_address(email), Member.id != member.id)
    ).first()
    if owner is not None:
        raise UnprocessableError(
            _("This address is another person’s. Two people can’t have the same one."),
            field="email",
        )


def _change_back(gateway: MemberGateway, customers: list[str], email: str | None) -> None:
    """All of a person's customers get the new address, or none."""
    for name in customers if email else ():
        with suppress(StripeUnavailableError, StripeRefusedError, NotFoundError):
            gateway.change_email(name, email or "")


def _customer_of(membership: Membership) -> str:
    if membership.customer_id is None:
        raise UnprocessableError(_("This membership is not paid through Stripe."))
    return membership.customer_id
