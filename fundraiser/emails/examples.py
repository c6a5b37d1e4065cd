"""Each kind of e-mail as a member would get it today: for staff, who write it and look at it.

Nothing of it is kept or sent, and what is a key in a real e-mail opens nothing in these.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import class_mapper

from fundraiser.campaigns.progress import current_campaign
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.bodies import (
    body_of_changed_address,
    body_of_contribution,
    body_of_welcome,
    body_with_code,
)
from fundraiser.emails.debits import body_of_debit
from fundraiser.emails.gifts import ABOUT_GIFT, TO_RECIPIENT, body_of_gift
from fundraiser.emails.invitations import body_of_campaign, body_of_reminder
from fundraiser.emails.links import TOPIC_OF
from fundraiser.emails.money import (
    ABOUT_MONEY,
    body_of_deposits,
    body_of_late_payment,
    body_of_refund,
    body_of_second,
)
from fundraiser.emails.sequences import ABOUT_MEMBERSHIP, body_about, body_of_receipt
from fundraiser.joining.reminders import months_to_choose
from fundraiser.members.addresses import Minted
from fundraiser.members.gifts import Gift, hash_code, make_code
from fundraiser.members.models import (
    Dues,
    Interval,
    Member,
    Membership,
    Source,
    Status,
)
from fundraiser.outbox import EmailKind
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from fundraiser.payments.money_back import MoneyBack

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.emails.parts import Body

ABOUT_CAMPAIGN = {EmailKind.MILESTONE, EmailKind.LAST_DAYS}
TO_READERS = {
    EmailKind.REMINDER_CONFIRMATION,
    EmailKind.REMINDER,
    EmailKind.UNFINISHED_JOIN,
}


def example_of(session: Session, kind: EmailKind, member: Member | None) -> Body | None:
    """What this kind would say to a member, or to an invented one; None before any campaign."""
    if kind in ABOUT_CAMPAIGN | TO_READERS:
        return _about_campaign(session, kind)
    if kind in ABOUT_GIFT | TO_RECIPIENT:
        return body_of_gift(session, kind, _gift(session, member))
    membership = _membership(session, kind, member)
    match kind:
        case EmailKind.SIGN_IN | EmailKind.CHANGE_OF_ADDRESS | EmailKind.ADDRESS_CHANGED:
            return _about_address(kind)
        case EmailKind.WELCOME:
            number = member.number if member else 1
            return body_of_welcome(session, number, membership, is_new=True)
        case _ if kind in ABOUT_MONEY:
            return _about_money(kind, membership)
        case EmailKind.CONTRIBUTION:
            payment = _payment(session, CheckoutKind.CONTRIBUTION, member, membership)
            return body_of_contribution(session, payment, is_member=bool(member))
        case EmailKind.DEBIT_FAILED:
            payment = _payment(session, CheckoutKind.CONTRIBUTION, member, membership)
            return body_of_debit(payment)
        case EmailKind.RECEIPT:
            payment = _payment(session, CheckoutKind.MEMBERSHIP, member, membership)
            return body_of_receipt(payment, membership)
        case _ if kind in ABOUT_MEMBERSHIP:
            return body_about(kind, membership)
    return None


def _about_address(kind: EmailKind) -> Body:
    if kind is EmailKind.ADDRESS_CHANGED:
        return body_of_changed_address("olena@example.org", "o…@example.net", 0)
    return body_with_code(kind, Minted("", "", "123456"))


def _about_money(kind: EmailKind, membership: Membership) -> Body:
    amount, currency = membership.amount, membership.currency
    match kind:
        case EmailKind.SECOND_MEMBERSHIP:
            second = {
                name: getattr(membership, name) for name in ("amount", "currency", "interval")
            }
            return body_of_second(second, membership, MoneyBack(refunded=amount))
        case EmailKind.PAID_AFTER_END:
            return body_of_late_payment(amount, currency, _nowhere())
        case EmailKind.BANK_TO_CONFIRM:
            return body_of_deposits(membership, _nowhere())
    return body_of_refund(amount, currency)


def _about_campaign(session: Session, kind: EmailKind) -> Body | None:
    campaign = current_campaign(session)
    if campaign is None:
        return None
    if kind in ABOUT_CAMPAIGN:
        return body_of_campaign(session, kind, campaign)
    month = months_to_choose()[0]
    return body_of_reminder(session, kind, month, campaign, _nowhere())


def example_of_stop_address(kind: EmailKind) -> str | None:
    """Where e-mails like this one could be refused, if this kind can be; it leads nowhere."""
    return _nowhere() if kind in TO_READERS or kind in TOPIC_OF else None


def _nowhere() -> str:
    return f"{current_settings().public_url}/letters/example"


def _membership(session: Session, kind: EmailKind, member: Member | None) -> Membership:
    """A copy of the member's newest, changed so that this e-mail is about it."""
    at = now()
    found = (
        session.scalars(
            select(Membership)
            .where(Membership.member_id == member.id, Membership.source == Source.STRIPE)
            .order_by(Membership.started_at.desc())
            .limit(1)
        ).first()
        if member
        else None
    )
    values = _values_of(found) if found else _invented(at)
    values |= {"id": 0, "card_last4": values["card_last4"] or "4242"}
    values["card_expires_at"] = values["card_expires_at"] or at + timedelta(days=25)
    values["period_end"] = values["period_end"] or at + timedelta(days=14)
    if kind is EmailKind.RENEWAL_COMING:
        values["interval"] = Interval.YEAR
    is_unpaid = kind.value.startswith("payment_")
    is_ended = kind in {EmailKind.ENDED, EmailKind.WIN_BACK}
    values["grace_from"] = (values["grace_from"] or at) if is_unpaid else None
    values["ended_at"] = (values["ended_at"] or at) if is_ended else None
    values["cancel_at"] = (
        values["cancel_at"] or values["period_end"] if kind is EmailKind.CANCELED else None
    )
    return Membership(**values)


def _values_of(row: Membership) -> dict[str, object]:
    return {column.key: getattr(row, column.key) for column in class_mapper(type(row)).columns}


def _invented(at: datetime) -> dict[str, object]:
    row = Membership(
        source=Source.STRIPE,
        reference="",
        amount=1000,
        credit=0,
        currency="EUR",
        interval=Interval.MONTH,
        status=Status.ACTIVE,
        payment_status=Dues.PAID,
        started_at=at,
        paid_at=at,
    )
    return _values_of(row)


def _gift(session: Session, member: Member | None) -> Gift:
    """A gift by the member that nobody has paid for: its code and its card open nothing."""
    nobody = UUID(int=0)
    name, at = (member.name if member else None) or "Olena", now()
    campaign = current_campaign(session)
    return Gift(
        id=0,
        checkout_id=nobody,
        code_hash=hash_code(make_code(nobody)),
        giver_name=name,
        recipient_name="Petro",
        message="",
        tier=campaign.default_tier if campaign else "",
        years=1,
        amount=10_000,
        currency="EUR",
        tell_at=at,
        paid_at=at,
    )


def _payment(
    session: Session, kind: CheckoutKind, member: Member | None, membership: Membership
) -> Payment:
    """The member's newest payment of the kind, or one that would fit."""
    found = (
        session.scalars(
            select(Payment)
            .where(Payment.member_id == member.id, Payment.kind == kind)
            .order_by(Payment.paid_at.desc())
            .limit(1)
        ).first()
        if member
        else None
    )
    return found or Payment(
        charge_id="ch_1",
        kind=kind,
        status=PaymentStatus.SUCCEEDED,
        amount=membership.amount,
        currency=membership.currency,
        refunded=0,
        paid_at=membership.paid_at or now(),
    )
