"""Erase a member's personal data here and at Stripe; ledger and books stay.

An intent records the request, and Stripe comes first: if the process dies after that, nothing is
erased here yet, and the sweep repeats it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import ColumnElement, String, cast, delete, func, update
from sqlalchemy.dialects.postgresql import JSONB

from fundraiser.account.owners import Person, rows_of, table_of
from fundraiser.account.personal_data import PERSONAL, Erasure, Personal
from fundraiser.account.retention import empty
from fundraiser.config import current_settings
from fundraiser.db import checkpoint, current_database, now
from fundraiser.errors import UnavailableError
from fundraiser.joining.reminders import Reminder
from fundraiser.members.counting import recount
from fundraiser.members.gifts import Tell
from fundraiser.members.models import Cause, Member, Membership, Source, Status, fold_address
from fundraiser.payments import StripeRefusedError
from fundraiser.payments.carry_out import carry_out, customers_of_member
from fundraiser.payments.changes import raise_refusal
from fundraiser.payments.intents import (
    IntentKind,
    add_intent,
    claim_due_intent,
    open_intents,
)
from fundraiser.payments.models import Checkout, Customer
from fundraiser.payments.settlement import leased
from fundraiser.security import new_nonce
from fundraiser.sources.people import forget_address

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.payments import MemberGateway

log = structlog.get_logger()

ERASED = "[erased]"


def erase(session: Session, gateway: MemberGateway, member: Member) -> None:
    """Erase everything that identifies this person; payments stay without a name.

    Raises:
        StripeUnavailableError: Stripe doesn't answer; the sweep erases it all later.
        StripeRefusedError: Stripe refuses to delete a customer; nothing is erased here.
    """
    grace, at, key = current_settings().grace, now(), f"erasure-{member.id}-{new_nonce()}"
    customers = customers_of_member(session, member.id)
    checkpoint(session)
    with leased(current_database(), customers) as claims:
        asked = [one for one in open_intents(session, member.id) if one.kind is IntentKind.ERASURE]
        intent = next(iter(asked), None) or add_intent(
            session,
            IntentKind.ERASURE,
            key=key,
            member_id=member.id,
            cause=Cause.ERASURE,
            cause_ref=None,
        )
        carry_out(session, gateway, grace, claims, intent)
    raise_refusal(intent)
    session.refresh(member, with_for_update=True)
    session.execute(
        update(Membership)
        .where(Membership.member_id == member.id, Membership.source != Source.STRIPE)
        .values(status=Status.CANCELED, ended_at=at)
    )
    recount(session, member, grace, cause=Cause.ERASURE)
    session.execute(update(Customer).where(Customer.member_id == member.id).values(deleted=True))
    person = Person.of(session, member).with_former_addresses(session)
    session.execute(
        update(Reminder)
        .where(rows_of("reminder", person))
        .values(stopped_at=func.coalesce(Reminder.stopped_at, at))
    )
    for address in {fold_address(address) for address in person.addresses}:
        forget_address(session, address)
    _erase_unpaid_gifts(session, person)
    for (table, owner), columns in _by_owner().items():
        _erase_rows(session, table, rows_of(owner, person), columns)
    for intent in open_intents(session, member.id):
        intent.close()  # nobody is left whom it could be about
    _erase_mentions(session, person)
    session.expire_all()


def finish_next_erasure(gateway: MemberGateway) -> bool:
    """Carry out a due erasure, left by a killed process or a silent Stripe; False if none is."""
    database = current_database()
    with database.transaction() as session:
        intent = claim_due_intent(session, erasures=True)
    if intent is None:
        return False
    try:
        with database.transaction() as session:
            erase(session, gateway, session.get_one(Member, intent.member_id))
    except (UnavailableError, StripeRefusedError) as error:
        log.warning("erasure_waits", intent=intent.id, error=type(error).__name__)
    return True


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


def _erase_unpaid_gifts(session: Session, person: Person) -> None:
    """Forget for whom a gift is that may still be paid for: its giver then gets the card."""
    recipient = func.lower(Checkout.gift["recipient_email"].astext)
    unnamed = {"recipient_name": "", "recipient_email": None, "message": ""}
    card = {"tell": Tell.CARD, "tell_at": None}
    session.execute(
        update(Checkout)
        .where(Checkout.gift.is_not(None), recipient.in_(person.addresses))
        .values(gift=Checkout.gift.op("||")(cast(unnamed | card, JSONB)))
    )


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
