"""Members from elsewhere over time: the curve, the public page, the list compared with us."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import time_machine
from bs4 import BeautifulSoup
from sqlalchemy import select, update

from fundraiser.campaigns.progress import read_progress
from fundraiser.campaigns.public_progress import read_series
from fundraiser.members.history import brought_in
from fundraiser.members.models import Membership
from fundraiser.sources.comparison import compare_sources
from fundraiser.sources.models import ImportBatch, Live
from fundraiser.sources.overview import refresh
from tests.factories import make_campaign
from tests.sources import EXAMPLES, GRACE, NOON, apply, bring_in, plan, undo
from tests.staff import LONDON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _at_noon() -> Iterator[None]:
    with time_machine.travel(NOON, tick=True):
        yield


def test_the_curve_shows_people_from_when_they_began(database: Database) -> None:
    batch_id = bring_in(database, "patreon.csv")
    times = [NOON - 400 * DAY, NOON - 250 * DAY, NOON - 20 * DAY, NOON - DAY, NOON + DAY]
    with database.transaction() as session:
        assert brought_in(session, times) == [0, 6, 8, 8, 0]
        campaign = make_campaign(session, starts_at=NOON - 20 * DAY, deadline=NOON + DAY)
        series = read_series(session, LONDON, campaign, read_progress(session, campaign))
        assert {members for _at, members in series} == {8}
    undo(database, batch_id)
    with database.transaction() as session:
        assert brought_in(session, times) == [0, 0, 0, 0, 0], "undone, they never were"


def test_the_public_page_lists_the_sources_with_their_counts_and_ages(
    client: FlaskClient, database: Database, session: Session
) -> None:
    make_campaign(session)
    session.commit()
    page = BeautifulSoup(client.get("/how-we-count").text, "html.parser")
    assert not page.select("[data-test=sources]")
    bring_in(database, "patreon.csv")
    bring_in(database, "ghost_admin_api_members.json")
    with database.transaction() as own:
        refresh(own, GRACE)
    page = BeautifulSoup(client.get("/how-we-count").text, "html.parser")
    rows = [
        [cell.text for cell in row.select("th, td")]
        for row in page.select("[data-test=sources] tbody tr")
    ]
    assert [row[1] for row in rows] == ["0", "8", "4"]
    assert [row[0] for row in rows][1:] == ["Patreon", "Ghost"]


def test_a_membership_that_differs_from_the_newest_list_is_named(database: Database) -> None:
    bring_in(database, "patreon.csv")
    with database.transaction() as session:
        (found,) = compare_sources(session, GRACE)
        assert (found.listed, found.differing) == (9, 0)
        session.execute(
            update(Membership)
            .where(Membership.reference == "patreon:90000001")
            .values(counts_until=NOON + 90 * DAY)
        )
    with database.transaction() as session:
        (found,) = compare_sources(session, GRACE)
        assert (found.differing, [one.row for one in found.named]) == (1, [1])


def test_what_a_webhook_changed_after_the_newest_list_is_no_difference(
    database: Database,
) -> None:
    """Each change is a file of its own, of one member: the list before it says the rest."""
    bring_in(database, "patreon.csv")
    headings, first, *_ = csv.reader((EXAMPLES / "patreon.csv").read_text().splitlines())
    first[headings.index("Next Charge Date")] = "2027-01-12 10:00:00"
    first[headings.index("Last Updated")] = "2026-11-30 10:00:00"
    written = io.StringIO()
    csv.writer(written).writerows([headings, first])
    batch_id = plan(database, written.getvalue().encode(), "change.csv")
    apply(database, batch_id)
    with database.transaction() as session:
        session.get_one(ImportBatch, batch_id).live = Live.CHANGES
    with database.transaction() as session:
        (found,) = compare_sources(session, GRACE)
        assert (found.listed, found.differing) == (9, 0)
        membership = session.scalars(
            select(Membership).where(Membership.reference == "patreon:90000001")
        ).one()
        assert membership.counts_until == datetime(2027, 1, 12, 10, tzinfo=UTC)
        membership.counts_until += DAY
        session.flush()
        (found,) = compare_sources(session, GRACE)
        assert [(one.batch_id, one.row) for one in found.named] == [(batch_id, 1)]
