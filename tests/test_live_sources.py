"""Sources that are asked: Patreon and Ghost list, are slow, limit, lie and go away."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from sqlalchemy import func, select, text

from fundraiser.db import now
from fundraiser.members.consistency import check_consistency
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import LedgerEntry, Membership
from fundraiser.sources import batches
from fundraiser.sources.live import asking, calls
from fundraiser.sources.live.clients import clients
from fundraiser.sources.models import (
    BatchState,
    ExternalSource,
    ImportBatch,
    ImportRow,
    Live,
    LiveChange,
    LivePage,
    LiveSource,
)
from fundraiser.sources.overview import refresh
from simulator.elsewhere.ghost import Ghost
from simulator.elsewhere.patreon import Patreon
from tests.live_sources import (
    ghost_access,
    patreon_access,
    paying,
    serving,
    subscription,
    with_patreon,
    work,
)
from tests.sources import GRACE, NOON, bring_in, undo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=True) as traveller:
        yield traveller


@pytest.fixture
def patreon() -> Patreon:
    return Patreon()


@pytest.fixture
def ghost() -> Ghost:
    return Ghost()


@pytest.fixture
def url(patreon: Patreon, ghost: Ghost) -> Iterator[str]:
    with serving(patreon, ghost) as address:
        yield address


@pytest.fixture
def set_up(
    app: FundraiserApp, url: str, patreon: Patreon, clock: time_machine.Traveller
) -> Settings:
    """The service with Patreon as a live source."""
    del clock
    settings = with_patreon(app.extensions["settings"], url, patreon)
    app.extensions["settings"] = settings
    return settings


@pytest.fixture
def with_ghost(
    app: FundraiserApp, url: str, ghost: Ghost, clock: time_machine.Traveller
) -> Settings:
    del clock
    settings: Settings = replace(app.extensions["settings"], ghost=ghost_access(url, ghost))
    app.extensions["settings"] = settings
    return settings


def number(database: Database) -> int:
    with database.transaction() as session:
        return read_balance(session).members


def source(database: Database, name: str = "patreon") -> LiveSource:
    with database.transaction() as session:
        found = session.get_one(LiveSource, name)
        session.expunge(found)
        return found


def assert_proved(database: Database) -> None:
    with database.transaction() as session:
        assert check_consistency(session, GRACE).findings == ()


def listings(database: Database) -> list[BatchState]:
    with database.transaction() as session:
        return list(session.scalars(select(ImportBatch.state).order_by(ImportBatch.id)))


def the_next_night(clock: time_machine.Traveller, settings: Settings, database: Database) -> None:
    clock.shift(DAY)
    work(database, settings)


def test_a_listing_is_brought_in_page_by_page_and_counted(
    set_up: Settings, database: Database, patreon: Patreon
) -> None:
    patreon.page = 3
    for member in range(10):
        patreon.put(str(member), **paying(member))
    patreon.put("90", email="free@example.org", full_name="Free")
    work(database, set_up)
    assert number(database) == 10
    assert patreon.calls.count("list") == 4
    assert listings(database) == [BatchState.APPLIED]
    with database.transaction() as session:
        batch = session.scalars(select(ImportBatch)).one()
        assert batch.live is Live.LISTING
        assert session.get_one(ExternalSource, "patreon").list_at == batch.list_at
        assert session.scalar(select(func.count()).select_from(LivePage)) == 0
        references = set(session.scalars(select(Membership.reference)))
    assert references == {f"patreon:{member}" for member in range(10)}
    assert source(database).trouble is None
    assert_proved(database)


def test_the_csv_and_the_api_speak_of_the_same_people(
    set_up: Settings, database: Database, patreon: Patreon
) -> None:
    """Row 1 of the example is user 90000001: the API renews what the CSV brought."""
    bring_in(database, "patreon.csv")
    before = number(database)
    patreon.put("90000001", **paying(1, "2027-01-12", email="olena@example.org"))
    work(database, set_up)
    assert number(database) == before
    with database.transaction() as session:
        batch = session.scalars(select(ImportBatch).order_by(ImportBatch.id.desc())).first()
        assert batch is not None
        assert (batch.counts.get("new"), batch.counts["renewed"]) == (None, 1)


def test_nothing_is_asked_again_before_the_night(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    patreon.put("1", **paying(1))
    work(database, set_up)
    asked = len(patreon.calls)
    work(database, set_up)
    assert len(patreon.calls) == asked
    clock.move_to(NOON.replace(hour=23))
    work(database, set_up)
    assert len(patreon.calls) == asked
    clock.move_to(NOON + timedelta(hours=15, minutes=31))  # half past three in London
    patreon.put("2", **paying(2))
    work(database, set_up)
    assert number(database) == 2


def test_who_is_no_longer_listed_stays_and_runs_out(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    for member in range(40):
        patreon.put(str(member), **paying(member))
    work(database, set_up)
    patreon.members.popitem()
    the_next_night(clock, set_up, database)
    assert number(database) == 40


def test_a_withheld_address_is_known_by_the_users_number_alone(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    patreon.put("1", **paying(1, email=None))
    work(database, set_up)
    assert number(database) == 1
    the_next_night(clock, set_up, database)
    assert number(database) == 1
    assert_proved(database)


def test_the_token_is_renewed_kept_encrypted_and_renewed_again_before_it_ends(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    first = patreon.access
    work(database, set_up)
    assert patreon.access != first, "of a token of the settings nobody knows when it ends"
    kept = source(database)
    assert kept.tokens
    for secret in (patreon.access, patreon.refresh):
        assert secret.encode() not in kept.tokens
    assert patreon.calls.count("token") == 1
    clock.shift(25 * DAY)
    work(database, set_up)
    assert patreon.calls.count("token") == 2
    assert source(database).trouble is None


def test_a_token_that_is_withdrawn_is_renewed_once_and_its_failure_said(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    work(database, set_up)
    patreon.access = "another"
    the_next_night(clock, set_up, database)
    assert source(database).trouble is None
    assert patreon.calls.count("token") == 2
    patreon.access, patreon.refresh = "again another", "lost"
    the_next_night(clock, set_up, database)
    found = source(database)
    assert found.trouble in {"not_renewed", "unauthorized"}
    asked = len(patreon.calls)
    work(database, set_up)
    assert len(patreon.calls) == asked, "there is a wait before the next try"


def test_new_tokens_in_the_settings_take_the_place_of_those_that_were_kept(  # noqa: PLR0917 - fixtures
    set_up: Settings,
    app: FundraiserApp,
    url: str,
    database: Database,
    patreon: Patreon,
    clock: time_machine.Traveller,
) -> None:
    work(database, set_up)
    patreon.access, patreon.refresh = "made anew", "made anew too"
    fresh = with_patreon(set_up, url, patreon)
    app.extensions["settings"] = fresh
    patreon.put("1", **paying(1))
    the_next_night(clock, fresh, database)
    assert number(database) == 1


def test_a_limit_is_waited_for_as_long_as_it_says_and_the_listing_goes_on(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    patreon.page, patreon.limit.most = 2, 2
    for member in range(7):
        patreon.put(str(member), **paying(member))
    work(database, set_up)
    assert number(database) == 0
    waits = source(database)
    assert waits.trouble == "busy"
    assert waits.retry_at
    assert now() < waits.retry_at <= now() + timedelta(seconds=61)
    assert waits.pages == 2
    patreon.limit.calls.clear()
    clock.shift(timedelta(seconds=61))
    work(database, set_up)
    assert number(database) == 7
    assert source(database).trouble is None
    assert patreon.calls.count("list") == 5, "two pages, a refusal, two more"


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        ({"status": 503}, "failing"),
        ({"html": True}, "malformed"),
        ({"half": True}, "malformed"),
        ({"fields": True}, "malformed"),
        ({"drops": 2}, "incomplete"),
    ],
)
def test_what_answers_wrongly_changes_nobody_and_is_asked_again(  # noqa: PLR0917 - fixtures
    set_up: Settings,
    database: Database,
    patreon: Patreon,
    clock: time_machine.Traveller,
    fault: dict[str, Any],
    trouble: str,
) -> None:
    for member in range(40):
        patreon.put(str(member), **paying(member))
    work(database, set_up)
    for member in range(40):
        patreon.put(
            str(member),
            **paying(member, patron_status="former_patron", currently_entitled_amount_cents=0),
        )
    patreon.faults.set(fault)
    the_next_night(clock, set_up, database)
    assert source(database).trouble == trouble
    assert number(database) == 40
    assert_proved(database)
    for member in range(40):
        patreon.put(str(member), **paying(member, "2027-01-12"))
    patreon.faults.set(dict.fromkeys(fault, 0))
    clock.shift(timedelta(hours=1))
    work(database, set_up)
    assert source(database).trouble is None
    with database.transaction() as session:
        renewed = session.scalar(select(func.min(Membership.counts_until)))
        assert renewed
        assert renewed.year == 2027


def test_a_source_that_is_gone_is_asked_less_and_less_often(
    app: FundraiserApp, database: Database, clock: time_machine.Traveller, patreon: Patreon
) -> None:
    settings = with_patreon(
        app.extensions["settings"], "http://127.0.0.1:9", patreon, is_renewed=False
    )
    app.extensions["settings"] = settings
    waits = []
    for _ in range(9):
        work(database, settings)
        found = source(database)
        assert found.trouble == "silent"
        assert found.retry_at
        waits.append(round((found.retry_at - now()).total_seconds()))
        clock.move_to(found.retry_at + timedelta(seconds=1))
    assert waits[:4] == [30, 60, 120, 240]
    assert waits[-1] == 3600


def test_a_call_that_is_silent_is_given_up(
    set_up: Settings, database: Database, patreon: Patreon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And holds no connection to the database meanwhile."""
    monkeypatch.setattr(calls, "PATIENCE", 0.2)
    patreon.faults.set({"seconds": 1.5})
    work(database, set_up)
    assert source(database).renew_at
    assert source(database).trouble == "silent"


def test_whoever_asked_meanwhile_shuts_the_earlier_one_out(
    set_up: Settings, database: Database, patreon: Patreon, monkeypatch: pytest.MonkeyPatch
) -> None:
    patreon.put("1", **paying(1))
    ask_one = asking.ask_one
    done: list[int] = []
    look = type(clients(set_up)[0]).look

    def slow(self: Any, tokens: Any, cursor: Any) -> Any:
        found = look(self, tokens, cursor)
        if not done:
            done.append(1)
            with database.transaction() as session:
                past = text("UPDATE live_source SET lease_until = lease_until - interval '9h'")
                session.execute(past)
            assert ask_one(database, set_up, clients(set_up)[0])
        return found

    monkeypatch.setattr(type(clients(set_up)[0]), "look", slow)
    work(database, set_up)
    assert number(database) == 1
    assert listings(database) == [BatchState.APPLIED]
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(LedgerEntry)) == 1


def test_a_cursor_that_is_no_longer_taken_begins_the_listing_anew(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    patreon.page = 1
    for member in range(3):
        patreon.put(str(member), **paying(member))
    client = clients(set_up)[0]
    assert asking.ask_one(database, set_up, client)  # renews
    assert asking.ask_one(database, set_up, client)
    patreon.cursors.clear()
    assert not asking.ask_one(database, set_up, client)
    clock.shift(timedelta(minutes=1))
    work(database, set_up)
    assert number(database) == 3


def test_a_listing_that_would_end_many_waits_for_staff(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    for member in range(100):
        patreon.put(str(member), **paying(member, "2026-11-20", last_charge_status="Paid"))
    work(database, set_up)
    with database.transaction() as session:
        refresh(session, GRACE)
    assert number(database) == 100
    for member in range(100):
        patreon.put(str(member), last_charge_status="Refunded")
    the_next_night(clock, set_up, database)
    assert number(database) == 100
    assert source(database).trouble == "held"
    assert listings(database) == [BatchState.APPLIED, BatchState.PLANNED]
    with database.transaction() as session:
        held = session.scalars(select(ImportBatch.id).order_by(ImportBatch.id.desc())).first()
        assert held
        batches.confirm(session, batches.find_batch(session, held), GRACE)
    work(database, set_up)
    assert number(database) == 0
    assert_proved(database)


def test_a_listing_is_undone_as_a_whole_and_the_source_rests_then(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    patreon.put("1", **paying(1))
    work(database, set_up)
    with database.transaction() as session:
        batch_id = session.scalars(select(ImportBatch.id)).one()
    undo(database, batch_id)
    assert number(database) == 0
    the_next_night(clock, set_up, database)
    assert number(database) == 0, "it would come back by night"
    assert source(database).paused_at


def test_rows_of_older_listings_that_changed_nobody_are_forgotten(
    set_up: Settings, database: Database, patreon: Patreon, clock: time_machine.Traveller
) -> None:
    for member in range(5):
        patreon.put(str(member), **paying(member))
    for _ in range(4):
        the_next_night(clock, set_up, database)
    with database.transaction() as session:
        counts = session.execute(
            select(ImportRow.batch_id, func.count()).group_by(ImportRow.batch_id)
        ).all()
    assert sorted(count for _batch, count in counts) == [5, 5], "the first, and the newest"


def test_nothing_secret_and_nobody_stands_in_the_log(
    set_up: Settings,
    database: Database,
    patreon: Patreon,
    clock: time_machine.Traveller,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [patreon.access, patreon.refresh, *patreon.client]
    patreon.put("1", **paying(1))
    work(database, set_up)
    patreon.faults.set({"status": 401})
    the_next_night(clock, set_up, database)
    tokens += [patreon.access, patreon.refresh]
    assert not [token for token in tokens if token in caplog.text]
    assert "p1@example.org" not in caplog.text
    assert patreon_access("http://a", patreon).access_token not in repr(set_up.patreon)


def test_ghost_lists_who_pays_and_is_asked_about_those_it_no_longer_lists(
    with_ghost: Settings, database: Database, ghost: Ghost, clock: time_machine.Traveller
) -> None:
    for member in range(130):
        ghost.put(f"g{member}@example.org", status="paid", subscriptions=[subscription()])
    ghost.put("free@example.org")
    ghost.put("comp@example.org", status="comped", subscriptions=[subscription(id="", price=None)])
    work(database, with_ghost)
    assert number(database) == 130
    assert len(ghost.calls) == 2
    # One has cancelled and is paid up still, one was deleted in Ghost, one was refunded and ended.
    ghost.put("g1@example.org", status="free", subscriptions=[subscription(status="canceled")])
    ghost.members = [one for one in ghost.members if one["email"] != "g2@example.org"]
    the_next_night(clock, with_ghost, database)
    assert number(database) == 130, "until what is paid for is over"
    with database.transaction() as session:
        ending = session.scalars(select(Membership).where(Membership.cancel_at.is_not(None))).all()
        assert [one.cancel_at == one.counts_until for one in ending] == [True]
    assert_proved(database)


def test_a_key_that_ghost_does_not_know_is_said(
    app: FundraiserApp, url: str, ghost: Ghost, database: Database, clock: time_machine.Traveller
) -> None:
    del clock
    wrong = replace(ghost_access(url, ghost), secret=b"no such secret")
    settings = replace(app.extensions["settings"], ghost=wrong)
    app.extensions["settings"] = settings
    work(database, settings)
    assert source(database, "ghost").trouble == "unauthorized"


def test_more_changes_than_can_be_asked_for_one_by_one_are_a_new_listing(
    set_up: Settings, database: Database, patreon: Patreon
) -> None:
    work(database, set_up)
    for member in range(30):
        found = patreon.put(str(member), **paying(member))
        with database.transaction() as session:
            session.add(LiveChange(source="patreon", reference=found.id, told_at=now()))
    work(database, set_up)
    assert number(database) == 30
    assert "find" not in patreon.calls
