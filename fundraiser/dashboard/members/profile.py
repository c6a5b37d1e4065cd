"""Queries for a person's page and the list of contributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select, tuple_

from fundraiser.dashboard.members.listing import Listed, newest_memberships
from fundraiser.errors import NotFoundError
from fundraiser.members.gifts import Gift
from fundraiser.members.invitations import count_invited
from fundraiser.members.models import Cause, LedgerEntry, Member, Membership
from fundraiser.newsroom.models import Staff
from fundraiser.outbox import Email
from fundraiser.paging import PAGE, split_page
from fundraiser.payments.cases import MoneyCase
from fundraiser.payments.models import CheckoutKind, Customer, Event, Payment, SyncRequest
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

MOST_OF_A_KIND = 100  # rows of one kind on a person's page
_LARGEST_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Person:
    """Everything about a person; lists are latest first, ``syncs`` by customer.

    ``inviter`` is whose link led here, ``invited`` how many joined through the person's own. Ledger
    rows have the event's type, or the name of the member of staff.
    """

    member: Member
    customers: Sequence[Customer]
    syncs: dict[str, SyncRequest]
    memberships: Sequence[Membership]
    payments: Sequence[Payment]
    gifts: Sequence[Gift]
    emails: Sequence[Email]
    ledger: Sequence[Row[LedgerEntry, str | None]]
    inviter: Member | None
    invited: int
    cases: Sequence[MoneyCase]


def read_newest_members(session: Session, count: int) -> list[tuple[LedgerEntry, Listed]]:
    """The latest people to be counted, without those who came by an import."""
    rows = session.execute(
        select(LedgerEntry, Member)
        .join(Member, Member.id == LedgerEntry.member_id)
        .where(LedgerEntry.change == 1, LedgerEntry.cause != Cause.IMPORT)
        .order_by(LedgerEntry.version.desc())
        .limit(count)
    ).all()
    memberships = newest_memberships(session, [member.id for _entry, member in rows])
    return [(entry, Listed(member, memberships.get(member.id))) for entry, member in rows]


def read_person(session: Session, member_id: int) -> Person:
    """Read everything for a person's page.

    Raises:
        NotFoundError: there is no such person.
    """
    member = session.get(Member, member_id) if member_id <= _LARGEST_NUMBER else None
    if member is None:
        raise NotFoundError(_("We can’t find this member. Look for them in the list."))

    customers = session.scalars(
        select(Customer).where(Customer.member_id == member_id).order_by(Customer.id)
    ).all()
    syncs = session.scalars(
        select(SyncRequest)
        .where(SyncRequest.customer_id.in_([customer.id for customer in customers]))
        .order_by(SyncRequest.id)
    )
    return Person(
        member=member,
        inviter=session.get(Member, member.invited_by) if member.invited_by else None,
        invited=count_invited(session, member),
        cases=session.scalars(
            select(MoneyCase)
            .where(MoneyCase.member_id == member_id, MoneyCase.closed_at.is_(None))
            .order_by(MoneyCase.id)
            .limit(MOST_OF_A_KIND)
        ).all(),
        customers=customers,
        syncs={sync.customer_id: sync for sync in syncs if sync.customer_id},
        memberships=session.scalars(
            select(Membership)
            .where(Membership.member_id == member_id)
            .order_by(Membership.started_at.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
        payments=session.scalars(
            select(Payment)
            .where(Payment.member_id == member_id)
            .order_by(Payment.paid_at.desc(), Payment.id.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
        gifts=session.scalars(
            select(Gift)
            .where(or_(Gift.giver_id == member_id, Gift.recipient_id == member_id))
            .order_by(Gift.id.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
        emails=session.scalars(
            select(Email)
            .where(Email.member_id == member_id)
            .order_by(Email.id.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
        ledger=session.execute(
            select(LedgerEntry, func.coalesce(Event.type, Staff.name))
            .outerjoin(Event, Event.id == LedgerEntry.cause_ref)
            .outerjoin(Staff, func.concat("staff ", Staff.id) == LedgerEntry.cause_ref)
            .where(LedgerEntry.member_id == member_id)
            .order_by(LedgerEntry.sequence.desc())
            .limit(MOST_OF_A_KIND)
        ).all(),
    )


def list_contributions(
    session: Session, before: int | None, *, most: int = PAGE
) -> tuple[Sequence[Row[Payment, Member]], int | None]:
    """A page of one-time contributions, latest first, and the next page's key."""
    newest_first = (Payment.paid_at, Payment.id)
    statement = (
        select(Payment, Member)
        .join(Member, Member.id == Payment.member_id)
        .where(Payment.kind == CheckoutKind.CONTRIBUTION)
        .order_by(*(column.desc() for column in newest_first))
        .limit(most + 1)
    )
    if before is not None:
        last = select(*newest_first).where(Payment.id == before).scalar_subquery()
        statement = statement.where(tuple_(*newest_first) < last)
    return split_page(session.execute(statement).all(), lambda row: row[0].id, most)
