"""What staff and members change at Stripe: asked for there, then settled like after any event.

Nothing is written to our rows directly. Each verb takes the customer's lease before it speaks to
Stripe. ``key`` becomes Stripe's idempotency key: the same change asked for again, after an answer
that was lost or by a second click, is one change.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fundraiser.db import checkpoint, current_database
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.members.address_changes import note_change
from fundraiser.members.models import Cause, Member, fold_address
from fundraiser.payments.disputes import holds_money
from fundraiser.payments.models import Customer, Payment, PaymentStatus
from fundraiser.payments.queue import promise
from fundraiser.payments.settlement import leased, settle_claim
from fundraiser.payments.stripe.gateway import StripeRefusedError, StripeUnavailableError
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Membership
    from fundraiser.payments.queue import Claim
    from fundraiser.payments.stripe.member_gateway import MemberGateway


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes something: ``cause`` and ``cause_ref`` are what the ledger keeps of it.

    ``check`` raises where it should not be done after all: it is called when nobody else can change
    the customer any more.
    """

    gateway: MemberGateway
    grace: timedelta
    key: str
    cause: Cause
    cause_ref: str | None = None
    check: Callable[[], None] = lambda: None

    @contextmanager
    def leased(self, session: Session, customers: list[str]) -> Iterator[list[Claim]]:
        """Have these customers to ourselves; what the session has loaded is read anew."""
        checkpoint(session)
        with leased(current_database(), customers) as claims:
            session.expire_all()
            self.check()
            yield claims

    def settle(self, session: Session, claim: Claim) -> None:
        """Make our rows match what Stripe says now; what the session has loaded is read anew."""
        checkpoint(session)
        settle_claim(
            current_database(),
            self.gateway,
            self.grace,
            claim,
            cause=self.cause,
            cause_ref=self.cause_ref,
        )
        session.expire_all()


def end_membership(
    session: Session, change: Change, membership: Membership, *, at_period_end: bool
) -> None:
    """End a membership that is paid through Stripe, now or with what is paid for.

    One that has ended at Stripe already is what was wanted. Nothing is refunded.

    Raises:
        StripeRefusedError: Stripe does not do it, and says why; nothing has changed.
        StripeUnavailableError: Stripe does not answer; asking again does it once.
    """
    customer_id, subscription_id = _customer_of(membership), membership.reference
    with change.leased(session, [customer_id]) as (claim,):
        promise(session, claim)
        checkpoint(session)
        with suppress(NotFoundError):
            if at_period_end:
                change.gateway.cancel_at_period_end(subscription_id, f"end-{change.key}")
            else:
                change.gateway.cancel(subscription_id)
        change.settle(session, claim)


def refund(session: Session, change: Change, payment: Payment, amount: int) -> None:
    """Pay back ``amount`` (smallest unit) of a payment: a part of what is left, or all of it.

    Raises:
        UnprocessableError: nothing, or not so much, can be paid back.
        StripeUnavailableError: Stripe does not answer; asking again does it once.
    """
    with change.leased(session, [payment.customer_id]) as (claim,):
        left, charge_id = refundable(payment), payment.charge_id
        if left == 0:
            raise UnprocessableError(_("Nothing of this payment is left to pay back."))
        if not 0 < amount <= left:
            raise UnprocessableError(_("Enter an amount that was paid and not paid back yet."))
        promise(session, claim)
        checkpoint(session)
        change.gateway.pay_back(charge_id, amount, f"refund-{change.key}")
        change.settle(session, claim)


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
        select(Customer.id).where(Customer.member_id == member.id, Customer.deleted.is_(False))
    ).all()
    with change.leased(session, list(customers)) as claims:
        check_email(session, member, email)
        before = member.email
        for claim in claims:
            promise(session, claim)
        checkpoint(session)
        changed: list[str] = []
        try:
            for claim in claims:
                changed.append(claim.name)
                with suppress(NotFoundError):  # one that was deleted at Stripe needs no address
                    change.gateway.change_email(claim.name, email)
        except (StripeUnavailableError, StripeRefusedError):
            _change_back(change.gateway, changed, before)
            raise
        # Before a customer is settled: with an unknown address they would be a person of their own.
        session.refresh(member, with_for_update=True)
        check_email(session, member, email)
        member.email = email
        session.flush()
        note_change(session, member, before, is_undo=is_undo)
        for claim in claims:
            change.settle(session, claim)


def check_email(session: Session, member: Member, email: str) -> None:
    """Whether a person may have this address.

    Raises:
        UnprocessableError: it is no address, the one they have, or somebody else's.
    """
    local, _at, domain = email.rpartition("@")
    if not local or "." not in domain.strip(".") or any(character.isspace() for character in email):
        raise UnprocessableError(
            Named("address-none", _("Enter an e-mail address, like olena@example.org.")),
            field="email",
        )
    if email == member.email:
        raise UnprocessableError(
            Named("address-same", _("This is the address that we have already.")), field="email"
        )
    owner = session.scalars(
        select(Member.id).where(Member.address == fold_address(email), Member.id != member.id)
    ).first()
    if owner is not None:
        raise UnprocessableError(
            Named(
                "address-somebody-elses",
                _("This address is another person’s. Two people can’t have the same one."),
            ),
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
