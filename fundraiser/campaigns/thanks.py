"""What became of a checkout, in the words of the page that a reader comes back to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog
from flask_babel import format_decimal
from sqlalchemy import select

from fundraiser.campaigns.offers import money
from fundraiser.db import now
from fundraiser.errors import UnavailableError
from fundraiser.members.gifts import Gift, card_address, code_of, recipient_of
from fundraiser.members.models import Interval, Member, Membership, Source, Standing
from fundraiser.members.rule import membership_counts
from fundraiser.payments import sync
from fundraiser.payments.cases import CaseKind, is_open
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from fundraiser.payments.money_back import read_money_back, say_money_back
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.payments.gateway import Gateway
    from fundraiser.payments.models import Checkout

log = structlog.get_logger()


class Outcome(StrEnum):
    """What a reader who comes back from the payment page has to know."""

    JOINED = "joined"
    IN_PROCESS = "in_process"
    CONTRIBUTED = "contributed"
    CONTRIBUTION_IN_PROCESS = "contribution_in_process"
    GIFT = "gift"
    GIFT_IN_PROCESS = "gift_in_process"
    SECOND = "second"
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
    """The page's words; ``code`` and ``card`` (its address) are a gift's."""

    outcome: Outcome
    heading: str
    sentences: list[str]
    steps: list[Step] = field(default_factory=list)
    code: str | None = None
    card: str | None = None


def find_outcome(
    session: Session, gateway: Gateway, grace: timedelta, checkout: Checkout
) -> Outcome:
    """What became of the checkout; settles the customer where no worker has done so yet."""
    if checkout.reference is None:
        try:
            found = gateway.fetch_session(checkout.session_id or "")
            if found.status != "complete":
                return Outcome.NOT_PAID
            if found.customer_id:
                sync.settle(
                    session, gateway, grace, found.customer_id, cause_ref=checkout.session_id
                )
        except UnavailableError as error:
            # The worker will find it all the same; the page looks again by itself.
            log.warning("thanks_without_stripe", error=str(error))
    if checkout.kind is not CheckoutKind.MEMBERSHIP:
        return _outcome_of_one_payment(session, checkout)
    return _outcome_of_membership(session, checkout, grace)


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
    if membership.second_to or is_open(session, CaseKind.SECOND_END, membership.reference):
        return Outcome.SECOND
    if membership_counts(membership, now(), grace).counts:
        in_process = membership.standing is Standing.IN_PROCESS
        return Outcome.IN_PROCESS if in_process else Outcome.JOINED
    return Outcome.ENDED if membership.paid_at else Outcome.NOT_PAID


def find_membership(session: Session, checkout: Checkout) -> Membership | None:
    """The membership that came of the checkout, once it is settled."""
    return session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE, Membership.reference == checkout.reference
        )
    ).first()


def say_thanks(session: Session, checkout: Checkout, outcome: Outcome) -> Thanks:
    """The words for this outcome."""
    amount = money(checkout.amount, checkout.currency)
    match outcome:
        case Outcome.JOINED | Outcome.IN_PROCESS:
            return _joined(session, checkout, outcome, amount)
        case Outcome.CONTRIBUTED:
            heading = _("Thank you for %(amount)s", amount=amount)
            sentences = [
                _("We took %(amount)s, once, and nothing more will be taken.", amount=amount),
                _("A contribution does not make you a member, so it is not in the number."),
            ]
        case Outcome.CONTRIBUTION_IN_PROCESS:
            heading = _("Thank you for %(amount)s", amount=amount)
            sentences = [
                _("Your bank has the order. It can take some days until the money arrives."),
                _("Do not pay again; we will write to you if the payment fails."),
            ]
        case Outcome.GIFT:
            return _gift(session, checkout, amount)
        case Outcome.GIFT_IN_PROCESS:
            heading = _("Thank you for the gift")
            sentences = [
                _("Your bank has the order for %(amount)s.", amount=amount),
                _("It can take some days until the money arrives. Then we send you the code."),
                _("Do not pay again; we will write to you if the payment fails."),
            ]
        case Outcome.SECOND:
            heading = _("You were a member already")
            sentences = _second(session, checkout, amount)
        case Outcome.ENDED:
            heading = _("This membership is over")
            sentences = [_("Nothing more will be taken for it. You can join again at any time.")]
        case Outcome.WAITING:
            heading = _("We are waiting for the payment service")
            sentences = [
                _("It has not told us yet what became of your payment. Do not pay again."),
                _("This page looks again by itself. We will also write to you by e-mail."),
            ]
        case Outcome.NOT_PAID:
            heading = _("The payment was not completed")
            sentences = [_("Nothing was taken. You can try again with the same or another card.")]
    return Thanks(outcome, heading, sentences)


def _second(session: Session, checkout: Checkout, amount: str) -> list[str]:
    reference = checkout.reference or ""
    if is_open(session, CaseKind.SECOND_END, reference):
        return [
            _("Your first membership continues as before."),
            _(
                "We couldn’t cancel the second one yet. We’re trying again, will refund your "
                "%(amount)s and e-mail you.",
                amount=amount,
            ),
        ]
    return [
        _("We’ve canceled the second membership; your first one continues as before."),
        say_money_back(checkout.currency, read_money_back(session, reference), amount),
    ]


def _gift(session: Session, checkout: Checkout, amount: str) -> Thanks:
    gift = session.scalars(select(Gift).where(Gift.checkout_id == checkout.id)).one()
    if gift.is_void:
        return Thanks(
            Outcome.GIFT,
            _("This gift was paid back"),
            [_("Its code is good no longer, and nothing more is taken.")],
        )
    name = recipient_of(gift)
    if gift.tell_at is None:
        told = Step(_("To give it"), _("Print the card, or write the code into one of your own."))
    elif gift.tell_at <= now():
        told = Step(_("Today"), _("We write to %(name)s and send the code.", name=name))
    else:
        told = Step(date(gift.tell_at), _("We write to %(name)s and send the code.", name=name))
    steps = [
        told,
        Step(
            _("When it is accepted"),
            _("The membership begins on that day, and we tell you. The code has no end."),
        ),
        Step(
            _("When it runs out"),
            _(
                "It ends by itself, and nothing is taken from anybody. Two weeks before, we ask "
                "whether to go on."
            ),
        ),
    ]
    return Thanks(
        Outcome.GIFT,
        _("Your gift for %(name)s is paid", name=name),
        [
            _(
                "Thank you. We took %(amount)s, once, and nothing more will be taken.",
                amount=amount,
            ),
            _("%(name)s is in the number as soon as the gift is accepted.", name=name),
        ],
        steps,
        code=code_of(gift),
        card=card_address(gift),
    )


def _joined(session: Session, checkout: Checkout, outcome: Outcome, amount: str) -> Thanks:
    member = session.get_one(Member, checkout.member_id)
    number = format_decimal(member.number or 0)
    if outcome is Outcome.IN_PROCESS:
        sentences = [
            _("Thank you. Your bank has the order for %(amount)s.", amount=amount),
            _("It can take some days until the money arrives. You are in the number from today."),
        ]
    else:
        sentences = [
            _("Thank you. We took %(amount)s today, and you are in the number.", amount=amount),
            _("A letter is on its way to you by e-mail."),
        ]
    sentences.append(_("Your number is yours for good: it counts everybody who ever joined."))
    membership = find_membership(session, checkout)
    steps = []
    if membership and membership.period_end and not membership.cancel_at:
        after = (
            _("We take the next %(amount)s, and so on every year until you stop.", amount=amount)
            if checkout.interval is Interval.YEAR
            else _(
                "We take the next %(amount)s, and so on every month until you stop.", amount=amount
            )
        )
        steps = [
            Step(date(membership.period_end), after),
            Step(_("If it fails"), _("We write to you and try again. Nothing ends at once.")),
            Step(
                _("If you stop"),
                _("You stay a member until the end of what you paid for. Nothing more is taken."),
            ),
        ]
    return Thanks(outcome, _("You are member %(number)s", number=number), sentences, steps)
