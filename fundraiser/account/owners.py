"""Find a person's rows in each table of personal data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Table, and_, func, or_, select, union_all

from fundraiser.db import Base, now
from fundraiser.members.forwarding import hashes_of_address
from fundraiser.members.models import MemberAlias, fold_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member

_WITH_FORMER = ("address_change", "member_merge", "import_row")


@dataclass(frozen=True, slots=True)
class Person:
    """The keys by which to find a person's rows; ``addresses`` are normalised."""

    member_id: int
    name: str | None
    addresses: tuple[str, ...]

    @classmethod
    def of(cls, session: Session, member: Member) -> Person:
        """Collect a member's keys, with the addresses of records that staff merged into theirs."""
        aliases = select(MemberAlias.address).where(MemberAlias.member_id == member.id)
        known = {(member.email or "").lower(), member.address or "", *session.scalars(aliases)}
        return cls(member.id, member.name, tuple(sorted(known - {""})))

    def with_former_addresses(self, session: Session) -> Person:
        """Add what they were reached by before, except what is another member's by now.

        Nobody has proved that these are theirs, so we erase by them but show nothing.
        """
        change, merge, row = (table_of(name).c for name in _WITH_FORMER)
        former = union_all(
            select(change.before).where(change.member_id == self.member_id),
            select(change.after).where(change.member_id == self.member_id),
            select(merge.before["other"]["email"].astext).where(merge.kept_id == self.member_id),
            select(merge.before["kept"]["email"].astext).where(merge.kept_id == self.member_id),
            select(table_of("customer").c.email).where(
                table_of("customer").c.member_id == self.member_id
            ),
            select(row.email).where(row.member_id == self.member_id),
        )
        found = {address.lower() for address in session.scalars(former) if address}
        found |= {fold_address(address) for address in found}
        others = {
            address
            for column, owner in (
                (table_of("member").c.address, table_of("member").c.id),
                (table_of("member_alias").c.address, table_of("member_alias").c.member_id),
            )
            for address in session.scalars(
                select(column).where(column.in_(found), owner != self.member_id)
            )
        }
        theirs = {address for address in found if fold_address(address) not in others}
        return replace(self, addresses=tuple(sorted(theirs.union(self.addresses))))


def table_of(name: str) -> Table:
    """The table with this name."""
    return Base.metadata.tables[name]


def _has_address(column: ColumnElement[str], person: Person) -> ColumnElement[bool]:
    return func.lower(column).in_(person.addresses)


def _gave(person: Person) -> ColumnElement[bool]:
    return table_of("gift").c.giver_id == person.member_id


def _was_given(person: Person) -> ColumnElement[bool]:
    gift = table_of("gift").c
    return or_(gift.recipient_id == person.member_id, _has_address(gift.recipient_email, person))


def _is_done_with(person: Person) -> ColumnElement[bool]:
    """The gift was received or announced; otherwise its scheduled e-mail must still leave."""
    gift = table_of("gift").c
    is_told = or_(gift.tell_at.is_(None), gift.tell_at <= now(), gift.redeemed_at.is_not(None))
    return or_(_was_given(person), and_(_gave(person), is_told))


def _emails(person: Person) -> ColumnElement[bool]:
    email, gift, reminder = table_of("email").c, table_of("gift"), table_of("reminder")
    # Three look-ups by an index each: joined by OR, PostgreSQL would read through all e-mails.
    return email.id.in_(
        union_all(
            select(email.id).where(email.member_id == person.member_id),
            select(email.id).join(gift, gift.c.id == email.gift_id).where(_was_given(person)),
            select(email.id)
            .join(reminder, reminder.c.id == email.reminder_id)
            .where(_has_address(reminder.c.email, person)),
        )
    )


def _of_customer(
    table: str, column: str = "customer_id"
) -> Callable[[Person], ColumnElement[bool]]:
    def owned(person: Person) -> ColumnElement[bool]:
        customer = table_of("customer").c
        mine = select(customer.id).where(customer.member_id == person.member_id)
        return table_of(table).c[column].in_(mine)

    return owned


OWNERS: dict[str, Callable[[Person], ColumnElement[bool]]] = {
    "member": lambda person: table_of("member").c.id == person.member_id,
    "email": _emails,
    "gift": lambda person: or_(_gave(person), _was_given(person)),
    "gift given": _gave,
    "gift told": _is_done_with,
    "reminder": lambda person: _has_address(table_of("reminder").c.email, person),
    "address_check": lambda person: or_(
        table_of("address_check").c.member_id == person.member_id,
        _has_address(table_of("address_check").c.email, person),
    ),
    "suppression": lambda person: table_of("suppression").c.address_hash.in_(
        [made for address in person.addresses for made in hashes_of_address(address)]
    ),
    "import_row": lambda person: or_(
        table_of("import_row").c.member_id == person.member_id,
        table_of("import_row").c.address.in_(person.addresses),
    ),
    "member_merge": lambda person: or_(
        table_of("member_merge").c.kept_id == person.member_id,
        table_of("member_merge").c.other_id == person.member_id,
    ),
    "different_people": lambda person: or_(
        table_of("different_people").c.first_id == person.member_id,
        table_of("different_people").c.second_id == person.member_id,
    ),
    "erased_address": lambda person: table_of("erased_address").c.hash.in_(
        [made for address in person.addresses for made in hashes_of_address(address)]
    ),
    "sync_request": _of_customer("sync_request"),
    "sync_lease": _of_customer("sync_lease", "name"),
    "audit_entry": lambda person: table_of("audit_entry").c.subject == f"member {person.member_id}",
}


def rows_of(owner: str, person: Person) -> ColumnElement[bool]:
    """The SQL condition for this person's rows.

    Raises:
        KeyError: the table has no owner rule.
    """
    if owner in OWNERS:
        return OWNERS[owner](person)
    column: ColumnElement[int] = table_of(owner).c["member_id"]
    return column == person.member_id
