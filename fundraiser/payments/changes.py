"""Changes by members and staff at Stripe: call Stripe, then sync the customer.

Each function records an intent under the customers' leases and carries it out. ``key`` identifies
the form: repeating a change, after a lost answer or by a second click, makes one intent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fundraiser.db import checkpoint, current_database
from fundraiser.errors import UnprocessableError
from fundraiser.members.address_changes import check_email
from fundraiser.payments.carry_out import carry_out, customers_of_member, finish_open
from fundraiser.payments.disputes import holds_money
from fundraiser.payments.intents import IntentKind, Refusal, add_intent, find_intent
from fundraiser.payments.models import Payment, PaymentStatus
from fundraiser.payments.settlement import leased
from fundraiser.payments.stripe.errors import BankRefusedError, StripeRefusedError
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Cause, Member, Membership
    from fundraiser.payments.intents import Intent
    from fundraiser.payments.stripe.member_gateway import MemberGateway


@dataclass(frozen=True, slots=True)
class Change:
    """Who makes a change, and why; the ledger records ``cause`` and ``cause_ref``.

    ``check`` runs under the customer's lease and raises an error to stop the change. ``note`` runs
    in the transaction that records the intent.
    """

    gateway: MemberGateway
    grace: timedelta
    key: str
    cause: Cause
    cause_ref: str | None = None
    check: Callable[[], None] = lambda: None
    note: Callable[[], object] = lambda: None

    def carry_out(
        self,
        session: Session,
        member_id: int,
        kind: IntentKind,
        *,
        customer_id: str | None = None,
        target: str | None = None,
        check: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """Record an intent, unless this form already has, and carry it out; reload the session.

        ``check`` returns the intent's details, or raises an error to stop the change. Without
        ``customer_id`` the intent is about all of the person's customers.

        Raises:
            StripeRefusedError: Stripe refuses and says why.
            StripeUnavailableError: Stripe doesn't answer; a recorded intent is carried out later.
            SyncBusyError: another process holds a customer's lease; as above.
        """
        finish_open(session, self.gateway, self.grace, member_id)
        customers = [customer_id] if customer_id else customers_of_member(session, member_id)
        checkpoint(session)
        with leased(current_database(), customers) as claims:
            session.expire_all()
            intent = find_intent(session, self.key)
            if intent is None:
                self.check()
                intent = add_intent(
                    session,
                    kind,
                    key=self.key,
                    member_id=member_id,
                    customer_id=customer_id,
                    target=target,
                    details=check(),
                    cause=self.cause,
                    cause_ref=self.cause_ref,
                )
                self.note()
                carry_out(session, self.gateway, self.grace, claims, intent)
        raise_refusal(intent)


def raise_refusal(intent: Intent) -> None:
    """Raise the error of a refused intent; do nothing for any other.

    Raises:
        StripeRefusedError: Stripe refused and said why.
        UnprocessableError: the subject had ended or changed.
    """
    match intent.refusal:
        case None:
            return
        case Refusal.BANK:
            raise BankRefusedError(intent.error or "")
        case Refusal.STRIPE:
            raise StripeRefusedError(intent.error or "")
        case Refusal.TAKEN:
            taken = _("This address belongs to another person. Two people can’t have the same one.")
            raise UnprocessableError(Named("address-somebody-elses", taken), field="email")
    raise UnprocessableError(_("This has ended or changed in the meantime, so nothing was done."))


def end_membership(
    session: Session, change: Change, membership: Membership, *, at_period_end: bool
) -> None:
    """Cancel a membership paid through Stripe, now or at the end of the paid period.

    Does nothing if it has already ended. Refunds nothing.

    Raises:
        StripeRefusedError: Stripe refuses and says why; nothing has changed.
        StripeUnavailableError: Stripe doesn't answer; the intent is carried out later.
    """
    if membership.customer_id is None:
        raise UnprocessableError(_("This membership isn’t paid through Stripe."))
    change.carry_out(
        session,
        membership.member_id,
        IntentKind.CANCEL if at_period_end else IntentKind.CANCEL_NOW,
        customer_id=membership.customer_id,
        target=membership.reference,
    )


def refund(session: Session, change: Change, payment: Payment, amount: int) -> None:
    """Refund ``amount`` (smallest unit) of a payment: a part of what is left, or all of it.

    Raises:
        UnprocessableError: this much, or anything, can't be refunded.
        StripeUnavailableError: Stripe doesn't answer; the intent is carried out later.
    """

    def check() -> dict[str, Any]:
        left = refundable(payment)
        if left == 0:
            raise UnprocessableError(_("There’s nothing left to refund from this payment."))
        if not 0 < amount <= left:
            raise UnprocessableError(_("Enter an amount that has been paid and not refunded yet."))
        return {"amount": amount}

    change.carry_out(
        session,
        payment.member_id,
        IntentKind.REFUND,
        customer_id=payment.customer_id,
        target=payment.charge_id,
        check=check,
    )


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
        StripeUnavailableError: Stripe doesn't answer; the intent is carried out later.
    """

    def check() -> dict[str, Any]:
        check_email(session, member, email)
        return {"email": email, "before": member.email, "is_undo": is_undo}

    change.carry_out(session, member.id, IntentKind.EMAIL, check=check)


def change_details(
    session: Session, change: Change, member: Member, *, name: str, language: str
) -> None:
    """Change a person's name and language, here and for each of their Stripe customers.

    Raises:
        StripeUnavailableError: Stripe doesn't answer; the intent is carried out later.
    """
    change.carry_out(
        session,
        member.id,
        IntentKind.DETAILS,
        check=lambda: {"name": name, "language": language},
    )
