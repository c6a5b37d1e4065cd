"""Personal data: each column is declared, and goes when and where the declaration says."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import time_machine
from click.testing import CliRunner
from sqlalchemy import Column, MetaData, String, Table, func, select, text, update

from fundraiser import cli
from fundraiser.account.erasure import ERASED, erase
from fundraiser.account.owners import Person, rows_of
from fundraiser.account.personal_data import NOT_PERSONAL, PERSONAL, Erasure
from fundraiser.account.retention import enforce_some, is_due
from fundraiser.db import Base, now
from fundraiser.emails.feedback import Report, suppressed, take_in
from fundraiser.emails.models import SuppressionReason
from fundraiser.joining.reminders import Reminder, ReminderKind
from fundraiser.members.address_changes import AddressChange
from fundraiser.members.addresses import AddressCheck, Purpose
from fundraiser.members.forwarding import hash_address
from fundraiser.members.gifts import Gift
from fundraiser.members.merging import absorb, merge
from fundraiser.members.models import Consent, ConsentKind, Member, Membership, Note
from fundraiser.newsroom import sessions
from fundraiser.newsroom.models import AuditEntry, Staff, StaffSession
from fundraiser.outbox import Email, EmailState, Topic, choose_emails
from fundraiser.payments.cases import CaseKind, MoneyCase
from fundraiser.payments.models import Checkout, CheckoutKind, Customer
from fundraiser.payments.stripe.member_gateway import member_gateway
from fundraiser.sources.models import ErasedAddress
from tests.conftest import ROOT
from tests.factories import make_member, sync_request
from tests.members import OURS
from tests.staff import hire

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from demo.servers import Postgres, Valkey
    from fundraiser.db import Database
    from tests.factories import Stripe
    from tests.members import Olena

ADDRESS, NAME = "olena@example.org", "Olena Koval"
GRACE = timedelta(days=14)


# The register


def undeclared(metadata: MetaData) -> list[str]:
    """Columns of tables that the register does not know, and those that it knows in vain."""
    declared = {
        f"{name}.{column}" for name in NOT_PERSONAL for column in NOT_PERSONAL[name].split()
    }
    personal = {f"{found.table}.{column}" for found in PERSONAL for column in found.columns}
    real = {f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.c}
    return sorted(((declared | personal) ^ real) | (declared & personal))


def test_each_column_is_declared_as_personal_or_not() -> None:
    assert undeclared(Base.metadata) == []


def test_a_new_column_or_table_fails_without_a_row_in_the_register() -> None:
    metadata = MetaData()
    for table in Base.metadata.sorted_tables:
        table.to_metadata(metadata)
    metadata.tables["member"].append_column(Column("telephone", String))
    Table("visit", metadata, Column("network", String))
    assert undeclared(metadata) == ["member.telephone", "visit.network"]


def test_each_declaration_says_why_and_how_long_and_whose(session: Session) -> None:
    for found in PERSONAL:
        assert found.why
        assert found.kept
        if found.exported or found.erasure is not Erasure.KEPT:
            person = Person(1, "A B", ("a@example.org",))
            table = Base.metadata.tables[found.table]
            session.execute(select(table).where(rows_of(found.owner, person)))


def test_the_operator_prints_the_record_of_what_is_kept() -> None:
    answer = CliRunner().invoke(cli.main, ["personal-data"])
    rows = list(csv.DictReader(answer.output.splitlines()))
    assert len(rows) == len(PERSONAL)
    (address,) = (row for row in rows if row["columns"] == "address_hash")
    assert address["table"] == "suppression"
    assert address["in the download"] == "no"
    assert address["when erased"].startswith("kept")


# Erasure and download


def fill(olena: Olena) -> None:
    """Leave the person's address and name wherever the service may write them."""
    stripe, at = olena.stripe, now()
    stripe.call("POST", f"customers/{olena.customer}", name=NAME)
    stripe.settle(olena.customer)
    with olena.database.transaction() as session:
        other = make_member(session, email="petro@example.org")
        for index, (member_id, words) in enumerate(
            (
                (olena.member_id, f"{NAME} called."),
                (
                    other.id,
                    "The sister of olena  KOVAL (OLENA@example.org, not nolena@example.org).",
                ),
            )
        ):
            action = AuditEntry(
                at=at, action="wrote_note", subject=f"member {member_id}", key=str(index)
            )
            session.add(action)
            session.flush()
            session.add(Note(member_id=member_id, audit_entry_id=action.id, text=words))
        session.add(
            Consent(
                member_id=olena.member_id, kind=ConsentKind.SUPPORTERS, given=True, text=NAME, at=at
            )
        )
        choose_emails(session, olena.member_id, Topic.CAMPAIGN, wanted=True, text=f"{NAME}: yes")
        reminder = Reminder(
            kind=ReminderKind.LATER,
            email="Olena@Example.org",
            language="en",
            campaign_slug="25000",
            due_at=at,
            created_at=at,
        )
        check = AddressCheck(
            purpose=Purpose.SIGN_IN, email=ADDRESS, browser_hash="b", created_at=at, enqueued_at=at
        )
        changed = AddressChange(
            member_id=olena.member_id,
            before="olena.koval@example.net",
            after=ADDRESS,
            at=at - timedelta(hours=1),  # before the session began: it would have ended it
            undo_until=at,
        )
        session.add_all([reminder, check, changed])
        gifts = [make_gift(session, giver=olena.member_id, giver_name=NAME, message=f"Your {NAME}")]
        gifts.append(
            make_gift(
                session,
                giver=other.id,
                recipient_name=NAME,
                recipient_email="OLENA@example.org",
                message=f"Dear {NAME}",
            )
        )
        session.flush()
        for whose in (
            {"member_id": olena.member_id},
            {"reminder_id": reminder.id},
            {"gift_id": gifts[1].id},
        ):
            session.add(
                Email(
                    **whose,
                    kind="last_days",
                    key=str(whose),
                    context={"name": NAME},
                    urgent=False,
                    state=EmailState.BOUNCED,
                    error=f"It came back: {NAME} is unknown.",
                    due_at=at,
                    created_at=at,
                )
            )
        take_in(
            session,
            Report(ADDRESS, SuppressionReason.BOUNCE, f"550 <{ADDRESS}> {NAME}: no such user"),
        )
        session.add(
            MoneyCase(
                kind=CaseKind.SECOND_END,
                reference="sub_2",
                subscription_id="sub_2",
                customer_id=olena.customer,
                member_id=olena.member_id,
                amount=1,
                currency="GBP",
                error=f"Stripe refuses {NAME}.",
                opened_at=at,
            )
        )
        sync = sync_request(customer_id=olena.customer)
        sync.error, sync.due_at = f"{NAME}: no", None
        session.add(sync)
        checkout = session.scalars(select(Checkout).where(Checkout.session_id.is_not(None))).one()
        checkout.ref = checkout.utm = checkout.return_url = f"https://example.org/?by={ADDRESS}"
        membership = session.get_one(Membership, olena.membership.id)
        membership.ref = membership.utm = membership.pay_url = checkout.ref


def make_gift(session: Session, *, giver: int, **values: Any) -> Gift:
    checkout = make_checkout(session, kind=CheckoutKind.GIFT, member_id=giver)
    name = uuid.uuid4().hex
    row: dict[str, Any] = {"giver_name": "", "recipient_name": "", "message": ""} | values
    gift = Gift(
        checkout_id=checkout.id,
        charge_id=f"ch_{name}",
        code_hash=name,
        giver_id=giver,
        language="en",
        tier="member",
        years=1,
        amount=1,
        currency="GBP",
        paid_at=now(),
        **row,
    )
    session.add(gift)
    session.flush()
    return gift


def make_checkout(session: Session, **values: Any) -> Checkout:
    name = uuid.uuid4()
    row: dict[str, Any] = {"kind": CheckoutKind.MEMBERSHIP, "created_at": now()} | values
    checkout = Checkout(
        id=name,
        key=name.hex,
        campaign="25000",
        currency="GBP",
        amount=1000,
        language="en",
        **row,
    )
    session.add(checkout)
    session.flush()
    return checkout


def tables_that_name(session: Session) -> dict[str, list[str]]:
    """The rows, as text, in which the person's address or name stands, by table."""
    found = {}
    for name in Base.metadata.tables:
        rows = session.scalars(
            text(f"SELECT t::text FROM {name} t WHERE t::text ~* '(?<!n)(olena|koval)'")  # noqa: S608 - our tables
        ).all()
        if rows:
            found[name] = list(rows)
    return found


def test_after_an_erasure_no_table_holds_the_persons_address_or_name(olena: Olena) -> None:
    olena.action("cancellation", reason="other", comment="My own words.")
    fill(olena)
    with olena.database.transaction() as session:
        assert session.scalars(select(Membership.cancel_comment)).one() == "My own words."
        assert set(tables_that_name(session)) == {
            *("address_change", "address_check", "checkout", "consent", "customer", "gift"),
            "email",
            *("email_choice", "member", "member_note", "membership", "money_case"),
            *("reminder", "suppression", "sync_request"),
        }
    form = olena.form("/account/erasure", "/account/erasure")
    assert olena.send("/account/erasure", form, sure="yes").status_code == 303
    olena.stripe.settle(olena.customer)
    with olena.database.transaction() as session:
        assert tables_that_name(session) == {}
        assert suppressed(session, ADDRESS) is SuppressionReason.BOUNCE
        assert session.scalars(select(Note.text)).all() == [
            f"The sister of {ERASED} ({ERASED}, not nolena@example.org)."
        ]
        member = session.get_one(Member, olena.member_id)
        assert (member.address, member.country, member.invite_code) == (None, None, None)
        membership = session.scalars(select(Membership)).one()
        assert (membership.pay_url, membership.card_last4) == (None, None)
        assert membership.cancel_comment is None, "though Stripe still has it"


def test_an_erasure_finds_what_names_them_by_a_former_address_or_as_a_recipient(
    olena: Olena,
) -> None:
    """Merged, moved, paying under another address, about to be given a gift."""
    alias, former, at_stripe = "o.koval@example.net", "koval@example.com", "olena.k@example.com"
    gone = [alias, former, at_stripe]
    with olena.database.transaction() as session:
        member = session.get_one(Member, olena.member_id)
        stranger = make_member(session, email="petro@example.org")
        merge(session, member.id, make_member(session, email=alias).id, GRACE, staff_id=None)
        for before in (former, "Petro@example.org"):
            change = AddressChange(
                member_id=member.id,
                before=before,
                after=ADDRESS,
                at=now() - timedelta(days=2),
                undo_until=now(),
            )
            session.add(change)
        session.execute(update(Customer).values(email=at_stripe))
        for index, address in enumerate((*gone, "petro@example.org")):
            action = AuditEntry(at=now(), action="wrote_note", subject="member", key=str(index))
            session.add(action)
            session.flush()
            note = f"{address.upper()} called."
            session.add(Note(member_id=stranger.id, audit_entry_id=action.id, text=note))
            session.add(
                Reminder(
                    kind=ReminderKind.LATER,
                    email=address,
                    language="en",
                    campaign_slug="25000",
                    due_at=now(),
                    created_at=now(),
                )
            )
        gift = {"recipient_email": "O.Koval@example.net", "recipient_name": NAME, "years": 1}
        make_checkout(session, kind=CheckoutKind.GIFT, gift=gift | {"message": f"Dear {NAME}"})
    with olena.database.transaction() as session:
        erase(session, member_gateway(), session.get_one(Member, olena.member_id))
    with olena.database.transaction() as session:
        assert tables_that_name(session) == {}
        assert sorted(session.scalars(select(Note.text))) == [
            "PETRO@EXAMPLE.ORG called.",
            *[f"{ERASED} called."] * len(gone),
        ]
        assert set(session.scalars(select(Reminder.email))) == {"", "petro@example.org"}
        left = session.scalars(select(Checkout.gift).where(Checkout.gift.is_not(None))).one()
        assert left["years"] == 1, "whoever pays for it still gives it, by card"
        assert (left["tell"], left["recipient_email"]) == ("card", None)
        known = set(session.scalars(select(ErasedAddress.hash)))
        assert {hash_address(address) for address in [ADDRESS, *gone]} <= known
        assert hash_address("petro@example.org") not in known


def test_a_former_address_shows_nobody_anothers_data(olena: Olena) -> None:
    """Staff mistyped an address: its owner's reminder is not in the download."""
    with olena.database.transaction() as session:
        change = AddressChange(
            member_id=olena.member_id,
            before="stranger@example.org",
            after=ADDRESS,
            at=now() - timedelta(days=2),
            undo_until=now(),
        )
        reminder = Reminder(
            kind=ReminderKind.LATER,
            email="stranger@example.org",
            language="en",
            campaign_slug="25000",
            due_at=now(),
            created_at=now(),
        )
        session.add_all([change, reminder])
    told = olena.client.get("/account/download", headers=OURS).json
    assert told
    assert told["reminder"] == []


def test_an_erased_person_who_is_erased_again_takes_nobody_along(olena: Olena) -> None:
    with olena.database.transaction() as session:
        session.add(
            Reminder(
                kind=ReminderKind.LATER,
                email="",
                language="en",
                campaign_slug="25000",
                due_at=now(),
                created_at=now(),
            )
        )
        other = make_member(session, email="petro@example.org")
        action = AuditEntry(at=now(), action="wrote_note", subject=f"member {other.id}")
        session.add(action)
        session.flush()
        session.add(Note(member_id=other.id, audit_entry_id=action.id, text="Will call."))
    for _ in range(2):
        with olena.database.transaction() as session:
            erase(session, member_gateway(), session.get_one(Member, olena.member_id))
    with olena.database.transaction() as session:
        assert session.scalars(select(Reminder.stopped_at)).all() == [None]
        assert session.scalars(select(Note.text)).all() == ["Will call."]


def test_the_download_has_what_staff_wrote_and_why_no_email_is_sent(olena: Olena) -> None:
    fill(olena)
    answer = olena.client.get("/account/download", headers=OURS)
    told = answer.json
    assert told
    assert [row["text"] for row in told["member_note"]] == [f"{NAME} called."]
    assert [row["action"] for row in told["audit_entry"]] == ["wrote_note"]
    assert [row["reason"] for row in told["suppression"]] == ["bounce"]
    assert len(told["email"]) >= 3
    assert len(told["gift"]) == 2
    assert "_hash" not in answer.text
    assert "staff_id" not in str(told["audit_entry"])
    assert "Petro" not in answer.text
    assert "petro@example.org" not in answer.text
    exported = {found.table for found in PERSONAL if found.exported}
    assert set(told) == exported


def test_who_is_merged_into_another_person_leaves_no_name_behind(session: Session) -> None:
    kept = make_member(session, email="olena@example.org")
    other = make_member(session, email="koval@example.org")
    kept.name, other.name, other.country, other.invite_code = None, NAME, "UA", "abc"
    session.flush()
    absorb(session, kept, other)
    columns = (Member.email, Member.name, Member.country, Member.invite_code)
    rows = session.execute(select(*columns).order_by(Member.id)).all()
    assert rows == [("olena@example.org", NAME, "UA", "abc"), (None, None, None, None)]


# Retention


def retain(database: Database) -> None:
    while True:
        with database.transaction() as session:
            if not enforce_some(session):
                return


def test_what_nobody_confirmed_or_paid_for_is_deleted_in_time(
    stripe: Stripe, database: Database
) -> None:
    stripe.open_shop()
    at = now()

    def reminder(name: str, created: int, due: int, *, confirmed: bool) -> Reminder:
        return Reminder(
            kind=ReminderKind.LATER,
            email=f"{name}@example.org",
            language="en",
            campaign_slug="25000",
            due_at=at + timedelta(days=due),
            created_at=at + timedelta(days=created),
            confirmed_at=at if confirmed else None,
        )

    with database.transaction() as session:
        gone = reminder("unconfirmed", -8, 90, confirmed=False)
        session.add_all(
            [
                gone,
                reminder("new", -6, 90, confirmed=False),
                reminder("waits", -300, 3, confirmed=True),
                reminder("sent", -300, -31, confirmed=True),
            ]
        )
        session.flush()
        session.add(
            Email(
                reminder_id=gone.id,
                kind="reminder_confirmation",
                key="once",
                context={},
                urgent=True,
                state=EmailState.SENT,
                due_at=at,
                created_at=at,
            )
        )
        member = make_member(session)
        old = at - timedelta(days=31)
        unpaid = make_checkout(session, created_at=old)
        paid = make_checkout(session, created_at=old, member_id=member.id)
        new = make_checkout(session, created_at=at - timedelta(days=29))
        reminded = make_checkout(session, created_at=old)
        session.add(
            Reminder(
                kind=ReminderKind.UNFINISHED,
                email="unfinished@example.org",
                language="en",
                campaign_slug="25000",
                checkout_id=reminded.id,
                due_at=at,
                created_at=old,
                confirmed_at=old,
            )
        )
        take_in(session, Report(ADDRESS, SuppressionReason.BOUNCE, "550 no such user"))
    retain(database)
    with database.transaction() as session:
        names = {email.split("@")[0] for email in session.scalars(select(Reminder.email))}
        assert names == {"new", "waits", "unfinished"}
        assert session.scalar(select(func.count()).select_from(Email)) == 0
        kept = set(session.scalars(select(Checkout.id)))
        assert {paid.id, new.id, reminded.id} <= kept
        assert unpaid.id not in kept
        assert session.scalar(text("SELECT detail FROM suppression")) == "550 no such user"
    stripe.advance(days=181)
    retain(database)
    with database.transaction() as session:
        assert session.scalars(select(Reminder.email)).all() == []
        assert session.scalars(select(Checkout.id)).all() == [paid.id]
        assert session.execute(text("SELECT reason, detail FROM suppression")).one() == (
            "bounce",
            None,
        )


def test_each_limit_is_enforced(stripe: Stripe, database: Database) -> None:
    """Each is SQL that PostgreSQL accepts and that finds a row of ours, or none, without error."""
    stripe.open_shop()
    retain(database)
    limits = [(found.table, limit) for found in PERSONAL for limit in found.limits]
    assert {"address_check", "member_session", "staff_key", "wrong_code", "drift"} <= {
        table for table, _ in limits
    }


def test_a_jump_of_the_demonstrations_clock_deletes_no_session(
    stripe: Stripe, database: Database
) -> None:
    hire(database)
    with database.transaction() as session:
        sessions.begin(session, session.query(Staff).one(), "Firefox", is_confirmed=True)
    stripe.advance(days=40)
    retain(database)
    with database.transaction() as session:
        assert session.query(StaffSession).count() == 1
    with time_machine.travel(datetime.now(UTC) + timedelta(days=40)):
        retain(database)
    with database.transaction() as session:
        assert session.query(StaffSession).count() == 0


@pytest.mark.parametrize(
    ("hour", "slept", "due"), [(3, 20, "due"), (3, 1, ""), (14, 20, ""), (14, 31, "due")]
)
def test_it_runs_once_a_night_or_when_a_night_was_missed(
    database: Database, hour: int, slept: int, due: str
) -> None:
    at = datetime(2026, 11, 30, hour, 5, tzinfo=ZoneInfo("UTC"))
    with time_machine.travel(at - timedelta(hours=slept), tick=False):
        retain(database)
    with time_machine.travel(at, tick=False), database.transaction() as session:
        assert is_due(session, ZoneInfo("UTC")) == bool(due)


# The migration

_BEFORE = "0030"  # the migration before the one that hashes


def migrate(environment: dict[str, str], *command: str) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("alembic"), *command],
        check=True,
        cwd=ROOT,
        env=os.environ | environment,
    )


def test_addresses_that_stand_in_the_database_are_hashed_or_replaced(
    servers: tuple[Postgres, Valkey], environment: dict[str, str]
) -> None:
    url = servers[0].create_database("before_the_hashes")
    environment = environment | {"DATABASE_URL": url}
    migrate(environment, "upgrade", _BEFORE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO suppression VALUES"
            " ('olena@example.org', 'bounce', 'smtp; 550 <olena@example.org>: unknown', now()),"
            " ('petro@example.org', 'complaint', NULL, now())"
        )
        connection.execute(
            "INSERT INTO member (language, name, counting, turns, created_at)"
            " VALUES ('en', 'Olena Koval, merged', false, 0, now())"
        )
        migrate(environment, "upgrade", "head")
        rows = connection.execute("SELECT * FROM suppression ORDER BY reason").fetchall()
        names = connection.execute("SELECT name FROM member").fetchall()
        migrate(environment, "downgrade", _BEFORE)
        assert connection.execute("SELECT count(*) FROM suppression").fetchone() == (2,)
    assert [row[1:3] for row in rows] == [
        ("bounce", "smtp; 550 <[address]>: unknown"),
        ("complaint", None),
    ]
    assert len({row[0] for row in rows}) == 2
    assert all(len(row[0]) == 64 for row in rows)
    assert names == [(None,)]
