"""Erase a member's personal data here and at Stripe; ledger and books stay.

Stripe comes first: if the process dies after that, nothing is erased here, and it can be repeated.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, String, delete, func, select, update

from fundraiser.account.owners import Person, rows_of, table_of
from fundraiser.account.personal_data import PERSONAL, Erasure, Personal
from fundraiser.account.retention import empty
from fundraiser.config import current_settings
from fundraiser.db import checkpoint, current_database, now
from fundraiser.errors import NotFoundError
from fundraiser.joining.reminders import Reminder
from fundraiser.members.counting import recount
from fundraiser.members.models import Cause, Member, Membership, Source, Status
from fundraiser.payments.models import Customer
from fundraiser.payments.queue import promise
from fundraiser.payments.settlement import leased, settle_claim
from fundraiser.sources.people import forget_address

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.payments import MemberGateway

ERASED = "[erased]"


def erase(session: Session, gateway: MemberGateway, member: Member) -> None:
    """Erase everything that identifies this person; payments stay without a name.

    Raises:
        StripeUnavailableError: Stripe doesn't answer; nothing is erased here.
    """
    grace, at = current_settings().grace, now()
    customers = session.scalars(
        select(Customer).where(Customer.member_id == member.id).order_by(Customer.id)
    ).all()
    database = current_database()
    checkpoint(session)
    with leased(database, [customer.id for customer in customers]) as claims:
        for claim in claims:
            promise(session, claim)
        checkpoint(session)
        for claim in claims:
            with suppress(NotFoundError):
                gateway.delete_customer(claim.name)
            settle_claim(database, gateway, grace, claim, cause=Cause.ERASURE)
    session.refresh(member, with_for_update=True)
    session.execute(
        update(Membership)
        .where(Membership.member_id == member.id, Membership.source != Source.STRIPE)
        .values(status=Status.CANCELED, ended_at=at)
    )
    recount(session, member, grace, cause=Cause.ERASURE)
    session.execute(update(Customer).where(Customer.member_id == member.id).values(deleted=True))
    person = Person.of(member)
    session.execute(
        update(Reminder)
        .where(rows_of("reminder", person))
        .values(stopped_at=func.coalesce(Reminder.stopped_at, at))
    )
    if member.address:
        forget_address(session, member.address)
    for (table, owner), columns in _by_owner().items():
        _erase_rows(session, table, rows_of(owner, person), columns)
    _erase_mentions(session, person)
    session.expire_all()


def _by_owner() -> dict[tuple[str, str], list[Personal]]:
    found: dict[tuple[str, str], list[Personal]] = {}
    for columns in PERSONAL:
        if columns.erasure is not Erasure.KEPT:
            found.setdefault((columns.table, columns.owner), []).append(columns)
    return found


def _erase_rows(
    session: Session, name: str, theirs: ColumnElement[bool], columns: list[Personal]
) -> None:
    table = table_of(name)
    if any(found.erasure is Erasure.DELETED for found in columns):
        session.execute(delete(table).where(theirs))
        return
    emptied = {column: empty(table.c[column]) for found in columns for column in found.columns}
    session.execute(update(table).where(theirs).values(emptied))


def _erase_mentions(session: Session, person: Person) -> None:
    """Remove the person's address and full name from texts about others.

    Single words stay: in a note, "Will" or "Rose" may be any word.
    """
    named = [re.escape(address) for address in person.addresses]
    words = (person.name or "").split()
    if len(words) > 1:
        named.append(r"\s+".join(re.escape(word) for word in words))
    if not named:
        return
    pattern = rf"(?<![[:alnum:]])({'|'.join(named)})(?![[:alnum:]])"
    for found in PERSONAL:
        for column in table_of(found.table).c if found.names_others else ():
            if isinstance(column.type, String) and column.name in found.columns:
                session.execute(
                    update(column.table)
                    .where(column.op("~*")(pattern))
                    .values({column: func.regexp_replace(column, pattern, ERASED, "gi")})
                )
