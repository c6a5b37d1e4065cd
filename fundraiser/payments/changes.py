"""Changes by members and staff at Stripe: call Stripe, then sync the customer.

These functions don't write our rows. Each takes the customer's lease before it calls Stripe.
``key`` becomes Stripe's idempotency key: repeating a change, after a lost answer or by a second
click, makes one change.
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
    """Who makes a change, and why; the ledger records ``cause`` and ``cause_ref``.

    ``check`` runs under the customer's lease and raises an error to stop the change.
    """

    gateway: MemberGateway
    grace: timedelta
    key: str
    cause: Cause
    cause_ref: str | None = None
    check: Callable[[], None] = lambda: None

    @contextmanager
    def leased(self, session: Session, customers: list[str]) -> Iterator[list[Claim]]:
        """Hold these customers' leases, and reload what the session had loaded."""
        checkpoint(session)
        with leased(current_database(), customers) as claims:
            session.expire_all()
            self.check()
            yield claims

    def settle(self, session: Session, claim: Claim) -> None:
        """Sync the customer, and reload what the session had loaded."""
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
    """Cancel a membership paid through Stripe, now or at the end of the paid period.

    Does nothing if it has already ended. Refunds nothing.

    Raises:
        StripeRefusedError: Stripe refuses and says why; nothing has changed.
        StripeUnavailableError: Stripe doesn't answer; it is safe to try again.
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
    """Refund ``amount`` (smallest unit) of a payment: a part of what is left, or all of it.

    Raises:
        UnprocessableError: this much, or anything, can't be refunded.
        StripeUnavailableError: Stripe doesn't answer; it is safe to try again.
    """
    with change.leased(session, [payment.customer_id]) as (claim,):
        left, charge_id = refundable(payment), payment.charge_id
        if left == 0:
            raise UnprocessableError(_("There’s nothing left to refund from this payment."))
        if not 0 < amount <= left:
            raise UnprocessableError(_("Enter an amount that has been paid and not refunded yet."))
        promise(session, claim)
        checkpoint(session)
        change.gateway.pay_back(charge_id, amount, f"refund-{change.key}")
        change.settle(session, claim)


def refundable(payment: Payment) -> int:
    """How much of a payment can be refunded: nothing if a dispute holds the money.

    The payment of an inquiry can be refunded, which closes it, and that of a dispute that we won.
    """
    if payment.status is not PaymentStatus.SUCCEEDED or holds_money(payment.dispute):
        return 0
    return payment.amount - payment.refunded


def change_email(
    session: Session, change: Change, member: Member, email: str, *, is_undo: bool = False
) -> None:
    """Change a person's address, here and for each of their Stripe customers.

    E-mails both addresses, and ends all of the person's sessions.

    Raises:
        UnprocessableError: the address is invalid, unchanged, or somebody else's.
        StripeUnavailableError: Stripe doesn't answer; no customer has the new address.
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
                with suppress(NotFoundError):  # a customer deleted at Stripe needs no address
                    change.gateway.change_email(claim.name, email)
        except (StripeUnavailableError, StripeRefusedError):
            _change_back(change.gateway, changed, before)
            raise
        # Before the sync, which would make a new person for an unknown address.
        session.refresh(member, with_for_update=True)
        check_email(session, member, email)
        member.email = email
        session.flush()
        note_change(session, member, before, is_undo=is_undo)
        for claim in claims:
            change.settle(session, claim)


def check_email(session: Session, member: Member, email: str) -> None:
    """Check that a person may have this address.

    Raises:
        UnprocessableError: the address is invalid, unchanged, or somebody else's.
    """
    local, _at, domain = email.rpartition("@")
    if not local or "." not in domain.strip(".") or any(character.isspace() for character in email):
        raise UnprocessableError(
            Named("address-none", _("Enter an e-mail address, like name@example.org.")),
            field="email",
        )
    if email == member.email:
        raise UnprocessableError(
            Named("address-same", _("That’s the address we already have.")), field="email"
        )
    owner = session.scalars(
        select(Member.id).where(Member.address == fold_address(email), Member.id != member.id)
    ).first()
    if owner is not None:
        raise UnprocessableError(
            Named(
                "address-somebody-elses",
                _("This address belongs to another person. Two people can’t have the same one."),
            ),
            field="email",
        )


def _change_back(gateway: MemberGateway, customers: list[str], email: str | None) -> None:
    """Restore the old address of all customers if one change fails."""
    for name in customers if email else ():
        with suppress(StripeUnavailableError, StripeRefusedError, NotFoundError):
            gateway.change_email(name, email or "")


def _customer_of(membership: Membership) -> str:
    if membership.customer_id is None:
        raise UnprocessableError(_("This membership isn’t paid through Stripe."))
    return membership.customer_id
