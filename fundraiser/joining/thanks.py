"""The result of a checkout, for the page to which readers return."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog
from flask_babel import format_decimal
from sqlalchemy import select
from sqlalchemy.exc import OperationalError, TimeoutError as NoConnectionError

from fundraiser.db import checkpoint, current_database, now
from fundraiser.errors import FundraiserError
from fundraiser.joining.asking import asking
from fundraiser.joining.offers import money
from fundraiser.members.counting import verdict_of
from fundraiser.members.gifts import Gift, card_address, code_of, recipient_of
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import (
    Dues,
    Interval,
    Member,
    Membership,
    Source,
    Status,
)
from fundraiser.payments import Confirmation, queue, settlement
from fundraiser.payments.cases import CaseKind, is_open
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from fundraiser.payments.money_back import read_money_back, say_money_back
from fundraiser.texts import Named, date, gettext as _

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.payments import Gateway
    from fundraiser.payments.models import Checkout

log = structlog.get_logger()

_MOMENT = 2.0  # seconds
# A join's events are synced together, MERGE after the first of them, which takes about as long
# again: the thanks page waits for that instead of fetching the customer a second time.
_SHARED = 2.5  # times queue.MERGE
_POLL = 0.4  # seconds


class Outcome(StrEnum):
    """What a reader who returns from the payment page needs to know."""

    JOINED = "joined"
    IN_PROCESS = "in_process"
    CONTRIBUTED = "contributed"
    CONTRIBUTION_IN_PROCESS = "contribution_in_process"
    GIFT = "gift"
    GIFT_IN_PROCESS = "gift_in_process"
    SECOND = "second"
    CONFIRM = "confirm"
    INACTIVE = "inactive"
    ENDED = "ended"
    WAITING = "waiting"
    NOT_PAID = "not_paid"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens next, and when."""

    when: str
    what: str


@dataclass(frozen=True, slots=True)
class Thanks:
    """The page's texts; ``code`` and ``card`` (its URL) are a gift's."""

    outcome: Outcome
    heading: str
    sentences: list[str]
    steps: list[Step] = field(default_factory=list)
    code: str | None = None
    card: str | None = None


def find_outcome(
    session: Session, gateway: Gateway, grace: timedelta, checkout: Checkout
) -> Outcome:
    """Find the result of a checkout; syncs the customer if no worker has.

    If called too often, it returns ``WAITING``.

    People who may have paid never see an error: if anything fails, the result is ``WAITING``, and a
    worker syncs the customer.
    """
    if not _is_settled(session, checkout):
        with asking(checkout, "outcome") as may_ask:
            if not may_ask:
                return Outcome.WAITING
            outcome = _settle(session, gateway, grace, checkout)
        if outcome:
            return outcome
    if checkout.kind is not CheckoutKind.MEMBERSHIP:
        return _outcome_of_one_payment(session, checkout)
    return _outcome_of_membership(session, checkout, grace)


def _settle(
    session: Session, gateway: Gateway, grace: timedelta, checkout: Checkout
) -> Outcome | None:
    """Sync the checkout's customer; None if the result is in our database now.

    Waits for the sync that the webhooks have requested, so that one fetch serves both; then for a
    moment for whoever is syncing already.
    """
    customer_id = None
    try:
        if _is_settled_soon(session, checkout):
            return None
        found = gateway.fetch_session(checkout.session_id or "")
        if found.status != "complete":
            return Outcome.NOT_PAID
        customer_id = found.customer_id
        if customer_id:
            with settlement.leased(current_database(), [customer_id], _MOMENT) as (claim,):
                if not _is_settled(session, checkout):
                    settlement.settle_claim(
                        current_database(), gateway, grace, claim, cause_ref=checkout.session_id
                    )
            session.refresh(checkout)
    except (OperationalError, NoConnectionError):
        raise
    except Exception as error:
        unforeseen = not isinstance(error, FundraiserError)
        log.warning("thanks_not_settled", error=type(error).__name__, exc_info=unforeseen)
        session.refresh(checkout)
        if customer_id:
            queue.request_sync(session, customer_id)
        return Outcome.WAITING
    return None


def _is_settled_soon(session: Session, checkout: Checkout) -> bool:
    merge = queue.MERGE.total_seconds()
    until = time.monotonic() + _SHARED * merge
    time.sleep(merge)  # there is no result before
    while time.monotonic() < until:
        if _is_settled(session, checkout):
            return True
        time.sleep(_POLL)
    return False


def _is_settled(session: Session, checkout: Checkout) -> bool:
    """Whether the result of the checkout is in our database.

    It isn't yet while a sync runs that may go on to end a second membership.
    """
    session.refresh(checkout)
    is_settled = checkout.reference is not None
    if is_settled and (membership := find_membership(session, checkout)):
        is_settled = not queue.is_leased(session, membership.customer_id or "")
    checkpoint(session)
    return is_settled


def find_confirmation(session: Session, gateway: Gateway, checkout: Checkout) -> Confirmation:
    """Whether we are waiting for the payer to confirm a bank account."""
    membership = find_membership(session, checkout)
    checkpoint(session)
    with asking(checkout, "confirmation") as may_ask:
        try:
            if not may_ask:
                return Confirmation()
            customer_id = (
                membership.customer_id
                if membership
                else gateway.fetch_session(checkout.session_id or "").customer_id
            )
            return gateway.find_confirmation(customer_id) if customer_id else Confirmation()
        except Exception as error:  # noqa: BLE001 - the page does without the link
            log.warning("confirmation_not_found", error=type(error).__name__)
            return Confirmation()


def came_back_unpaid(session: Session, gateway: Gateway, checkout: Checkout) -> bool | None:
    """Whether a reader returned from the payment page without paying; None if unknown."""
    if checkout.reference:
        return False
    checkpoint(session)
    with asking(checkout, "return") as may_ask:
        try:
            if not may_ask:
                return None
            return gateway.fetch_session(checkout.session_id or "").status != "complete"
        except Exception as error:  # noqa: BLE001 - that it is not known is an answer
            log.warning("return_not_looked_up", error=type(error).__name__)
            return None


def say_came_back(unpaid: bool | None) -> str:  # noqa: FBT001 - three answers
    """The notice for a reader who returns without having finished the payment."""
    if unpaid:
        return Named("unpaid", _("You came back without paying, so you haven’t been charged."))
    return Named(
        "perhaps-paid",
        _(
            "You’re back from the payment page. If you finished paying there, don’t pay again: "
            "we’ll e-mail you."
        ),
    )


def _outcome_of_one_payment(session: Session, checkout: Checkout) -> Outcome:
    is_gift = checkout.kind is CheckoutKind.GIFT
    status = session.scalar(select(Payment.status).where(Payment.charge_id == checkout.reference))
    match status:
        case PaymentStatus.SUCCEEDED:
            return Outcome.GIFT if is_gift else Outcome.CONTRIBUTED
        case PaymentStatus.PENDING:
            return Outcome.GIFT_IN_PROCESS if is_gift else Outcome.CONTRIBUTION_IN_PROCESS
        case PaymentStatus.FAILED:
            return Outcome.NOT_PAID
        case None:
            return Outcome.WAITING


def _outcome_of_membership(session: Session, checkout: Checkout, grace: timedelta) -> Outcome:
    membership = find_membership(session, checkout)
    if membership is None:
        return Outcome.WAITING
    if membership.duplicate_of or is_open(session, CaseKind.SECOND_END, membership.reference):
        return Outcome.SECOND
    if verdict_of(session, membership, grace).counts:
        in_process = membership.payment_status is Dues.IN_PROCESS
        return Outcome.IN_PROCESS if in_process else Outcome.JOINED
    if membership.paid_at:
        return Outcome.ENDED if membership.ended_at else Outcome.INACTIVE
    if membership.status is Status.INCOMPLETE_EXPIRED or _has_failed(session, membership):
        return Outcome.NOT_PAID
    return Outcome.ENDED if membership.ended_at else Outcome.WAITING


def _has_failed(session: Session, membership: Membership) -> bool:
    """Whether the latest payment attempt is known to have failed."""
    latest = (
        select(Payment.status)
        .where(Payment.subscription_id == membership.reference)
        .order_by(Payment.paid_at.desc(), Payment.id.desc())
        .limit(1)
    )
    return session.scalar(latest) is PaymentStatus.FAILED


def find_membership(session: Session, checkout: Checkout) -> Membership | None:
    """The membership from this checkout, once it is synced."""
    return session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE, Membership.reference == checkout.reference
        )
    ).first()


def say_thanks(session: Session, checkout: Checkout, outcome: Outcome) -> Thanks:
    """The texts for this result."""
    amount = money(checkout.amount, checkout.currency)
    match outcome:
        case Outcome.JOINED | Outcome.IN_PROCESS:
            return _joined(session, checkout, outcome, amount)
        case Outcome.CONTRIBUTED:
            heading = _("Thank you for %(amount)s", amount=amount)
            sentences = [
                _("Your payment has gone through. It’s a single payment."),
                Named(
                    "not-counted",
                    _("A contribution doesn’t make you a member, so you aren’t counted as one."),
                ),
            ]
        case Outcome.CONTRIBUTION_IN_PROCESS:
            heading = _("Thank you for %(amount)s", amount=amount)
            sentences = [_bank_is_processing(), _dont_pay_again()]
        case Outcome.GIFT:
            return _gift(session, checkout, amount)
        case Outcome.GIFT_IN_PROCESS:
            heading = _("Thank you for the gift")
            sentences = [
                _bank_is_processing(),
                _("We’ll e-mail you the gift code when the money arrives."),
                _dont_pay_again(),
            ]
        case Outcome.SECOND:
            heading = _("You were already a member")
            sentences = _second(session, checkout, amount)
        case _:
            heading, sentences = _say_not_joined(outcome)
    return Thanks(outcome, heading, sentences)


def _say_not_joined(outcome: Outcome) -> tuple[str, list[str]]:
    """The texts for an unfinished or reversed payment."""
    match outcome:
        case Outcome.CONFIRM:
            return _("Confirm your bank account"), [
                _(
                    "Stripe, our payment service, will send a small deposit to your "
                    "bank account within one or two business days. When you see it, "
                    "confirm it on Stripe’s page."
                ),
                _("Don’t pay again: you can come back to this page for the link."),
            ]
        case Outcome.INACTIVE:
            return _("Your membership isn’t active"), [
                _("A payment for it was refunded, is disputed or is overdue."),
                _("Sign in to your account to see its status, or write to us."),
            ]
        case Outcome.ENDED:
            return _("This membership has ended"), [
                _("You won’t be charged for it again. You can rejoin at any time.")
            ]
        case Outcome.NOT_PAID:
            return _("The payment wasn’t completed"), [
                Named(
                    "not-charged",
                    _("You haven’t been charged. You can choose again and pay another way."),
                )
            ]
    return _("We’re waiting for the payment service"), [
        Named(
            "dont-pay-again",
            _(
                "Stripe, our payment service, hasn’t told us yet whether your payment "
                "went through. Don’t pay again."
            ),
        ),
        _("This page checks again automatically, and we’ll e-mail you."),
    ]


def _bank_is_processing() -> str:
    return _("Your bank is processing the payment. That can take a few days.")


def _dont_pay_again() -> str:
    return _("Don’t pay again: we’ll e-mail you if the payment fails.")


def _second(session: Session, checkout: Checkout, amount: str) -> list[str]:
    reference = checkout.reference or ""
    if is_open(session, CaseKind.SECOND_END, reference):
        return [
            _("Your first membership continues as before."),
            Named(
                "not-canceled",
                _(
                    "We couldn’t cancel the second one yet. We’ll keep trying, refund "
                    "your %(amount)s and e-mail you.",
                    amount=amount,
                ),
            ),
        ]
    return [
        Named(
            "canceled",
            _("We’ve cancelled the second membership; your first one continues as before."),
        ),
        say_money_back(checkout.currency, read_money_back(session, reference), amount),
    ]


def _gift(session: Session, checkout: Checkout, amount: str) -> Thanks:
    gift = session.scalars(select(Gift).where(Gift.checkout_id == checkout.id)).one()
    if gift.is_void:
        return Thanks(
            Outcome.GIFT,
            _("This gift is no longer valid"),
            [_("It was refunded, or its payment is disputed, so its code can’t be used.")],
        )
    name = recipient_of(gift)
    if gift.tell_at is None:
        told = Step(_("How to give it"), _("Print the card, or pass the gift code on yourself."))
    elif gift.tell_at <= now():
        told = Step(_("Today"), _("We’ll e-mail %(name)s the gift code.", name=name))
    else:
        told = Step(date(gift.tell_at), _("We’ll e-mail %(name)s the gift code.", name=name))
    steps = [
        told,
        Step(
            _("When it’s accepted"),
            _("The membership starts on that day, and we’ll e-mail you. The code doesn’t expire."),
        ),
        Step(
            _("When it ends"),
            _(
                "It ends automatically, and nobody is charged. Two weeks before, "
                "we’ll ask whether to continue."
            ),
        ),
    ]
    return Thanks(
        Outcome.GIFT,
        _("Your gift for %(name)s is paid", name=name),
        [
            _(
                "Thank you. Your %(amount)s has gone through. It’s a single payment.",
                amount=amount,
            ),
            _("%(name)s is counted as a member as soon as the gift is accepted.", name=name),
        ],
        steps,
        code=code_of(gift),
        card=card_address(gift),
    )


def _paid(session: Session, checkout: Checkout) -> str:
    """Thanks for what was charged, which a discount or credit can make less than the price."""
    members = format_decimal(read_balance(session).members)
    charged = session.execute(
        select(Payment.amount, Payment.currency)
        .where(
            Payment.subscription_id == checkout.reference, Payment.status == PaymentStatus.SUCCEEDED
        )
        .order_by(Payment.paid_at, Payment.id)
        .limit(1)
    ).first()
    if charged is None:
        return _("Thank you. We are now %(members)s.", members=members)
    return _(
        "Thank you. Your %(amount)s has gone through, and we are now %(members)s.",
        amount=money(*charged),
        members=members,
    )


def _joined(session: Session, checkout: Checkout, outcome: Outcome, amount: str) -> Thanks:
    member = session.get_one(Member, checkout.member_id)
    number = format_decimal(member.number or 0)
    if outcome is Outcome.IN_PROCESS:
        sentences = [
            _("Thank you. Your bank is processing the payment of %(amount)s.", amount=amount),
            _("That can take a few days. You’re counted as a member from today."),
        ]
    else:
        sentences = [_paid(session, checkout), _("We’ve e-mailed you.")]
    sentences.append(
        _(
            "Your number stays yours. It can be higher than the number of members today, "
            "because it includes everybody who ever joined."
        )
    )
    membership = find_membership(session, checkout)
    steps = []
    if membership and membership.period_end and not membership.cancel_at:
        following = money(membership.amount, membership.currency)
        after = (
            _("You’ll be charged %(amount)s, and again every year after that.", amount=following)
            if checkout.interval is Interval.YEAR
            else _(
                "You’ll be charged %(amount)s, and again every month after that.", amount=following
            )
        )
        steps.append(Step(date(membership.period_end), after))
        if outcome is Outcome.JOINED:  # a first debit that fails ends it at once
            failed = _("We’ll e-mail you and try again. Your membership doesn’t end straight away.")
            steps.append(Step(_("If a payment fails"), failed))
        steps.append(
            Step(_("If you cancel"), _("You stay a member until the end of what you’ve paid for."))
        )
    return Thanks(outcome, _("You’re member %(number)s", number=number), sentences, steps)
