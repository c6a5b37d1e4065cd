"""Erasure: personal data go, here and at Stripe; the ledger and the books stay.

Stripe is told first. Whoever dies after that has erased nothing here, and does it again.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, or_, select, update

from fundraiser.account.models import MemberSession
from fundraiser.campaigns.reminders import Reminder
from fundraiser.config import current_settings
from fundraiser.db import lock, now
from fundraiser.errors import NotFoundError
from fundraiser.members.addresses import AddressCheck
from fundraiser.members.counting import recount
from fundraiser.members.gifts import Gift
from fundraiser.members.models import Cause, Consent, Member, Membership, Note, Source, Status
from fundraiser.outbox import Letter, LetterChoice
from fundraiser.payments.models import Checkout, Customer
from fundraiser.payments.sync import settle

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.payments.member_gateway import MemberGateway


def erase(session: Session, gateway: MemberGateway, member: Member) -> None:
    """Take away all that says who this person is; what was paid stays, without a name.

    Raises:
        StripeUnavailableError: Stripe does not answer; nothing is erased here.
    """
    grace, at = timedelta(days=current_settings().grace_days), now()
    customers = session.scalars(
        select(Customer).where(Customer.member_id == member.id).order_by(Customer.id)
    ).all()
    for customer in customers:
        lock(session, "customer", customer.id)
    for customer in customers:
        with suppress(NotFoundError):
            gateway.delete_customer(customer.id)
        settle(session, gateway, grace, customer.id, cause=Cause.ERASURE)
    session.flush()
    session.refresh(member, with_for_update=True)
    session.execute(
        update(Membership)
        .where(Membership.member_id == member.id, Membership.source != Source.STRIPE)
        .values(status=Status.CANCELED, ended_at=at)
    )
    recount(session, member, grace, cause=Cause.ERASURE)
    email = member.email or ""
    of_person = Customer.member_id == member.id
    session.execute(update(Customer).where(of_person).values(email="", deleted=True))
    session.execute(
        update(Checkout)
        .where(Checkout.member_id == member.id)
        .values(ref=None, utm=None, return_url=None, invite=None)
    )
    session.execute(
        update(Membership).where(Membership.member_id == member.id).values(ref=None, utm=None)
    )
    session.execute(update(Letter).where(Letter.member_id == member.id).values(context={}))
    session.execute(
        delete(AddressCheck).where(
            or_(AddressCheck.member_id == member.id, AddressCheck.email == member.address)
        )
    )
    _erase_from_gifts(session, member, email, at)
    session.execute(
        update(Reminder)
        .where(func.lower(Reminder.email) == func.lower(email))
        .values(email="", stopped_at=func.coalesce(Reminder.stopped_at, at))
    )
    for table in (MemberSession, Consent, LetterChoice, Note):
        session.execute(delete(table).where(table.member_id == member.id))
    member.email = member.name = member.country = None
    member.roster_since = member.roster_closed_at = member.invite_code = None
    session.flush()


def _erase_from_gifts(session: Session, member: Member, email: str, at: datetime) -> None:
    """A gift that was paid for stays good; whose names and words it carries is forgotten.

    A letter that its giver wanted sent on a day still leaves, unless its recipient is erased.
    """
    is_told = or_(Gift.tell_at.is_(None), Gift.tell_at <= at, Gift.redeemed_at.is_not(None))
    session.execute(
        update(Gift).where(Gift.giver_id == member.id).values(giver_name="", message="")
    )
    session.execute(
        update(Gift)
        .where(
            or_(
                and_(Gift.giver_id == member.id, is_told),
                Gift.recipient_id == member.id,
                func.lower(Gift.recipient_email) == func.lower(email),
            )
        )
        .values(recipient_name="", recipient_email=None, message="")
    )
    of_gift = select(Gift.id).where(Gift.recipient_id == member.id)
    session.execute(update(Letter).where(Letter.gift_id.in_(of_gift)).values(context={}))
