"""Two rows of one person: offered, merged, known by both addresses, and taken apart again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import time_machine
from sqlalchemy import event, func, select

from fundraiser.errors import UnprocessableError
from fundraiser.members import merging
from fundraiser.members.consistency import check_consistency
from fundraiser.members.counting import find_or_add_person, recount
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Cause, Member, MemberAlias, Membership, Source
from fundraiser.newsroom.models import Role, Staff
from fundraiser.payments.models import Customer
from fundraiser.sources.models import ImportRow
from tests.factories import make_member, make_membership
from tests.sources import GRACE, NOON, apply, bring_in, plan, undo
from tests.staff import PAGE, csrf_token, hire, read, sign_in, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database


@pytest.fixture(autouse=True)
def _at_noon() -> Iterator[None]:
    with time_machine.travel(NOON, tick=True):
        yield


@pytest.fixture
def both(database: Database) -> tuple[int, int]:
    """Olena of Patreon and Olena of PayPal, who has another address there."""
    bring_in(database, "patreon.csv")
    bring_in(database, "paypal.csv")
    with database.transaction() as session:
        kept, other = (
            session.scalars(select(Member.id).where(Member.address == address)).one()
            for address in ("olena@example.org", "olena.pp@example.com")
        )
    return kept, other


def number(database: Database) -> int:
    with database.transaction() as session:
        assert check_consistency(session, GRACE).findings == ()
        return read_balance(session).members


def merge(database: Database, kept: int, other: int) -> int:
    with database.transaction() as session:
        return merging.merge(session, kept, other, GRACE, staff_id=None).id


def test_an_equal_name_is_offered_until_staff_say_they_are_two(
    database: Database, both: tuple[int, int], session: Session
) -> None:
    found = merging.find_alike(session, 10).pairs
    assert [({one.first.id, one.second.id}, one.by) for one in found] == [(set(both), "name")]
    bring_in(database, "steady.csv")
    merging.say_different(session, *both, staff_id=_somebody(database))
    assert merging.find_alike(session, 10).pairs == []


def test_similar_people_among_very_many_are_looked_for_step_by_step(
    client: FlaskClient,
    database: Database,
    both: tuple[int, int],
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A million people can't be compared while somebody waits: the last imported come first."""
    monkeypatch.setattr(merging, "_AT_ONCE", 1)
    monkeypatch.setattr(merging, "_LONGEST", -1.0)
    steps = [merging.find_alike(session, 10)]
    while steps[-1].before is not None:
        steps.append(merging.find_alike(session, 10, steps[-1].before))
    found = {frozenset((one.first.id, one.second.id)) for step in steps for one in step.pairs}
    assert found == {frozenset(both)}
    elsewhere = select(func.count()).where(Membership.origin.is_not(None))
    assert len(steps) == session.scalar(elsewhere)
    assert len(steps) > 1
    sign_in(client, hire(database))
    assert read(client, "/staff/members/alike").select_one("[data-test=earlier]")


def _somebody(database: Database) -> int:
    hire(database)
    with database.transaction() as session:
        return session.scalars(select(Staff.id)).one()


@pytest.mark.parametrize("other", ["k.a.tia@gmail.com", "katia+news@googlemail.com"])
def test_dots_and_tags_are_seen_through(database: Database, session: Session, other: str) -> None:
    member = make_member(session, email=other)
    session.add(make_membership(member, paid_at=NOON))
    recount(session, member, GRACE, cause=Cause.STRIPE)
    session.commit()
    row = "Katia,katia@gmail.com,5,month,2026-12-20"
    content = f"Name,E-mail,Amount,Every,Paid until\n{row}\n".encode()
    apply(database, plan(database, content, "a.csv"))
    (found,) = merging.find_alike(session, 10).pairs
    assert (found.by, {found.first.address, found.second.address}) == (
        "address",
        {other, "katia@gmail.com"},
    )


@pytest.mark.parametrize(
    ("known", "offered"),
    [
        ("K. Vyhadana,k@work.example.org,•••• 4242", ["card"]),
        ("Katia,olena.v+a@work.example.org,4242", ["card"]),
        ("Kateryna Invented,k@work.example.org,4242", []),
        ("K. Vyhadana,k@work.example.org,4243", []),
        ("K. Vyhadana,k@work.example.org,", []),
    ],
)
def test_the_same_card_is_a_hint_only_with_a_name_or_an_address(
    database: Database, session: Session, known: str, offered: list[str]
) -> None:
    member = make_member(session, email="olenav@example.org", name="Olena  Vyhadana")
    session.add(make_membership(member, paid_at=NOON, card_last4="4242"))
    recount(session, member, GRACE, cause=Cause.STRIPE)
    session.commit()
    headings = "Name,E-mail,Card last 4,Amount,Every,Paid until"
    content = f"{headings}\n{known},5,month,2026-12-20\n".encode()
    batch_id = plan(database, content, "a.csv")
    apply(database, batch_id)
    assert [one.by for one in merging.find_alike(session, 10).pairs] == offered
    undo(database, batch_id)
    assert merging.find_alike(session, 10).pairs == []


def test_merged_people_count_once_and_are_taken_apart_as_they_were(
    database: Database, both: tuple[int, int]
) -> None:
    kept, other = both
    before = number(database)
    merge_id = merge(database, kept, other)
    assert number(database) == before - 1
    with database.transaction() as session:
        assert len(session.scalars(select(Membership).filter_by(member_id=kept)).all()) == 3
        assert session.get_one(Member, other).email is None
    with database.transaction() as session:
        assert merging.separate(session, merge_id, GRACE)
        assert not merging.separate(session, merge_id, GRACE)
    assert number(database) == before
    with database.transaction() as session:
        (membership,) = session.scalars(select(Membership).filter_by(member_id=other)).all()
        assert membership.origin == "paypal"
        assert session.get_one(Member, other).email == "olena.pp@example.com"
        assert session.scalars(select(MemberAlias)).all() == []


def test_what_came_meanwhile_under_an_address_goes_with_it(
    database: Database, both: tuple[int, int]
) -> None:
    """While they were one, a list and a payment at Stripe named the other's address."""
    kept, other = both
    before = number(database)
    merge_id = merge(database, kept, other)
    head = "Name,E-mail,Amount,Every,Paid until\n"
    for row in ("Olena,OLENA.PP@example.com,5,month,2026-12-20", "O,olena@example.org,5,month,"):
        apply(database, plan(database, f"{head}{row}\n".encode(), "a.csv"))
    with database.transaction() as session:
        for name, email in (("cus_1", "Olena.PP@example.com"), ("cus_2", "olena@example.org")):
            person = find_or_add_person(session, email, language="en")
            session.add(Customer(id=name, member_id=person.id, email=email, settled_at=NOON))
            session.add(make_membership(person, customer_id=name))
    with database.transaction() as session:
        merging.separate(session, merge_id, GRACE)
    assert number(database) == before
    with database.transaction() as session:
        at_stripe = select(Membership.customer_id).where(Membership.source == Source.STRIPE)
        for member_id, customer, address in (
            (other, "cus_1", "olena.pp@example.com"),
            (kept, "cus_2", "olena@example.org"),
        ):
            assert session.get_one(Customer, customer).member_id == member_id
            assert session.scalars(at_stripe.filter_by(member_id=member_id)).all() == [customer]
            rows = select(ImportRow.address).filter_by(member_id=member_id)
            assert set(session.scalars(rows)) == {address}
            assert session.scalar(
                select(Membership.member_id).where(Membership.reference == f"list:{address}")
            ) in {member_id, None}


def test_a_merged_person_is_known_by_both_addresses(
    database: Database, both: tuple[int, int]
) -> None:
    kept, other = both
    merge(database, kept, other)
    before = number(database)
    content = "Name,E-mail,Amount,Every,Paid until\nOlena,OLENA.PP@example.com,5,month,2026-12-20\n"
    apply(database, plan(database, content.encode(), "a.csv"))
    bring_in(database, "paypal.csv")
    assert number(database) == before
    with database.transaction() as session:
        found = find_or_add_person(session, "olena.pp@example.com", language="en")
        assert found.id == kept


@pytest.mark.parametrize("late", ["merge", "separate"])
def test_who_is_merged_or_separated_while_a_file_is_applied_gets_what_it_brings(
    database: Database, both: tuple[int, int], late: str
) -> None:
    """Between a row's look for its person and the lock on that person."""
    kept, other = both
    merge_id = merge(database, kept, other) if late == "separate" else 0
    content = "Name,E-mail,Amount,Every,Paid until\nOlena,OLENA.PP@example.com,5,month,2026-12-20\n"
    batch_id = plan(database, content.encode(), "a.csv")
    came: list[str] = []

    def come_first(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not came and "FROM taken" in statement and "FOR UPDATE" in statement:
            came.append(late)
            if late == "merge":
                merge(database, kept, other)
            else:
                with database.transaction() as session:
                    merging.separate(session, merge_id, GRACE)

    event.listen(database.engine, "before_cursor_execute", come_first)
    try:
        apply(database, batch_id)
    finally:
        event.remove(database.engine, "before_cursor_execute", come_first)
    assert came
    with database.transaction() as session:
        found = select(Membership.member_id).where(Membership.origin == "table")
        assert session.scalars(found).one() == (kept if late == "merge" else other)
    assert number(database)


def test_two_who_both_pay_through_stripe_are_not_merged(database: Database) -> None:
    with database.transaction() as session:
        people = [make_member(session) for _ in range(2)]
        session.add_all([make_membership(one) for one in people])
        session.flush()
        with pytest.raises(UnprocessableError):
            merging.merge(session, people[0].id, people[1].id, GRACE, staff_id=None)
        with pytest.raises(UnprocessableError):
            merging.merge(session, people[0].id, people[0].id, GRACE, staff_id=None)


def test_staff_look_merge_and_separate(
    client: FlaskClient, database: Database, both: tuple[int, int]
) -> None:
    sign_in(client, hire(database, Role.SUPPORT))
    kept, other = both
    page = read(client, "/staff/members/alike")
    assert len(page.select("[data-test=alike] tbody tr")) == 1
    page = read(client, f"/staff/members/{kept}/merge?other={other}")
    before, after = (int(words(page, f"[data-test={name}]")) for name in ("before", "after"))
    assert after == before - 1 == number(database) - 1
    assert page.select_one("form[data-test=merge]")
    form = {"other": str(other), "csrf_token": csrf_token(client, "/staff/members/alike")}
    assert client.post(f"/staff/members/{kept}/merge", data=form, headers=PAGE).status_code == 303
    assert number(database) == after
    page = read(client, "/staff/members/alike")
    (row,) = page.select("[data-test=merges] form")
    assert client.post(str(row["action"]), data=form, headers=PAGE).status_code == 303
    assert number(database) == before
    assert client.get(f"/staff/members/{kept}/merge?other=x", headers=PAGE).status_code == 400
