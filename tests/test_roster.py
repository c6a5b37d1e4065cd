"""The campaign's public page of members: names only by consent, the curve, and the milestones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.campaigns.progress import read_progress
from fundraiser.campaigns.public_progress import Milestones, read_milestones, read_series
from fundraiser.db import now
from fundraiser.joining import views
from fundraiser.members import consents
from fundraiser.members.consents import hide_name, is_given, note_consent, read_named
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Consent, ConsentKind, Member
from fundraiser.newsroom.models import AuditEntry, Role
from tests.factories import make_campaign, make_tiers
from tests.members import OURS, sign_in as member_sign_in
from tests.staff import PAGE, count, hire, join, names as marks, parse, read, shown, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

TEXT = "Show my name on the campaign’s supporters page."
LONDON = ZoneInfo("Europe/London")
PATH = "/campaigns/25000/members"


@pytest.fixture(autouse=True)
def shop(database: Database) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)


def named(session: Session, name: str | None) -> Member:
    """Somebody who counts and agreed to be named."""
    member = join(session, name=name)
    note_consent(session, member, ConsentKind.SUPPORTERS, TEXT, given=True)
    return member


def names(client: FlaskClient, path: str = PATH) -> list[str]:
    page = BeautifulSoup(client.get(path, headers=PAGE).text, "html.parser")
    return [item.get_text() for item in page.select(".names li")]


def test_only_who_agreed_and_counts_is_named_the_newest_first(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as session:
        join(session, name="Nobody Asked")
        left = named(session, "Left Again")
        named(session, None)
        named(session, "Olena Hrytsenko")
        named(session, "<b>Petro</b>")
        count(session, left, reason="ended")
    assert names(client) == ["<b>Petro</b>", "Olena Hrytsenko"]
    text = client.get(PATH, headers=PAGE).text
    assert "<b>Petro" not in text
    assert "noindex" in text
    assert shown(BeautifulSoup(text, "html.parser"), "named").startswith("2 ")
    for module in (consents, views):
        monkeypatch.setattr(module, "MOST_COUNTED", 1)
    assert " 1 " in shown(read(client, PATH), "named-or-more")


def test_a_link_or_what_nobody_sees_is_no_name_on_the_public_page(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        for name in ("Win at evil.com", "a@b.example", "http://evil", "x" * 101, "A\u202egro.live"):
            named(session, name)
        named(session, "Olena Hrytsenko")
    assert names(client) == ["Olena Hrytsenko"]


def test_with_a_review_a_name_is_shown_once_staff_have_looked_at_it(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        olena, petro = named(session, "Olena Hrytsenko"), named(session, "Petro Rude Word")
    assert len(names(client)) == 2
    staff = app.test_client()
    sign_in(staff, hire(database, Role.SUPPORT))
    read(staff, "/staff/names", status=404)
    assert "names-wait" not in marks(read(staff, "/staff"))
    app.extensions["settings"] = replace(app.extensions["settings"], review_names=True)
    assert names(client) == []
    member_sign_in(owner := app.test_client(), database, olena.id)
    assert "name-waits" in marks(read(owner, "/account"))
    assert "names-wait" in marks(read(staff, "/staff"))
    page = read(staff, "/staff/names")
    fields = page.select("main form input[type=hidden]")
    form = {str(field["name"]): str(field["value"]) for field in fields}
    answer = staff.post("/staff/names", data=form, headers=PAGE, follow_redirects=True)
    assert "notice-names-0" in marks(parse(answer))
    with database.transaction() as session:
        session.get_one(Member, petro.id).name = "Petro Ruder Word"
    ticked = form | {"member": [str(olena.id), str(petro.id)]}
    answer = staff.post("/staff/names", data=ticked, headers=PAGE, follow_redirects=True)
    assert "notice-names-1" in marks(parse(answer))
    assert names(client) == ["Olena Hrytsenko"]
    assert "name-shown" in marks(read(owner, "/account"))
    assert shown(read(client, PATH), "named").startswith("1 ")
    with database.transaction() as session:
        session.get_one(Member, olena.id).name = "Another Name"
        acts = session.scalars(select(AuditEntry.subject).where(AuditEntry.action == "showed_name"))
        assert acts.all() == [f"member {olena.id}"]
    assert names(client) == []


def test_a_name_that_is_taken_back_is_gone_with_the_next_look_also_from_a_cache(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = named(session, "Olena Hrytsenko")
    answer = client.get(PATH, headers=PAGE)
    assert answer.headers["Cache-Control"] == "public, no-cache"
    assert "Accept-Language" in answer.headers["Vary"]
    kept = PAGE | {"If-None-Match": answer.headers["ETag"]}
    assert client.get(PATH, headers=kept).status_code == 304
    with database.transaction() as session:
        member = session.get_one(Member, member.id)
        note_consent(session, member, ConsentKind.SUPPORTERS, TEXT, given=False)
        assert not is_given(session, member, ConsentKind.SUPPORTERS)
        assert session.query(Consent).count() == 2
    answer = client.get(PATH, headers=kept)
    assert answer.status_code == 200
    assert "Olena" not in answer.text


def test_names_are_paged_and_none_is_missing_or_shown_twice(
    client: FlaskClient, database: Database
) -> None:
    everybody = [f"Reader {number}" for number in range(7)]
    with database.transaction() as session:
        for name in everybody:
            named(session, name)
        found: list[str] = []
        page, more = read_named(session, None, 3)
        found += page
        while more:
            page, more = read_named(session, more, 3)
            found += page
    assert found == everybody[::-1]
    for before in ("", "nonsense", "9" * 40, "-9" + "9" * 30):
        assert client.get(f"{PATH}?before={before}", headers=PAGE).status_code == 200
    assert names(client, f"{PATH}?before=0") == []


def submit(client: FlaskClient, page: str, **values: str) -> TestResponse:
    """Send a page's form as it stands, with these values."""
    form = read(client, page).select("main form[method=post] input[type=hidden]")
    hidden = {str(field["name"]): str(field["value"]) for field in form}
    return client.post(page, data=hidden | values, headers=PAGE | OURS)


def test_a_name_that_staff_take_off_stays_off_until_they_lift_it_and_its_owner_agrees_anew(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = named(session, "Buy Pills Cheap")
    details, staffs = "/account/details", f"/staff/members/{member.id}"
    owner, reader = app.test_client(), app.test_client()
    member_sign_in(owner, database, member.id)
    before = submit(owner, details, name="Buy Pills Now", language="en", roster="yes")
    assert (before.status_code, names(reader)) == (303, ["Buy Pills Now"])
    assert "name-shown" in marks(read(owner, "/account"))
    sign_in(client, hire(database, Role.SUPPORT))
    assert client.get(f"{staffs}/name/restore", headers=PAGE).headers["Location"] == staffs
    hide = read(client, f"{staffs}/name/hide")
    assert {"effect-name", "stays-counted", "no-money", "none-sent"} <= marks(hide)
    fields = hide.select("form.act input[type=hidden]")
    form = {str(field["name"]): str(field["value"]) for field in fields} | {"note": "An advert."}
    for _ in range(2):
        answer = client.post(f"{staffs}/name/hide", data=form, headers=PAGE)
        assert (answer.status_code, answer.headers["Location"]) == (303, staffs)
    assert names(reader) == []
    with database.transaction() as session:
        acts = session.scalars(
            select(AuditEntry.action).where(AuditEntry.action.contains("roster"))
        )
        assert acts.all() == ["closed_roster"]
        newest = session.scalars(select(Consent).order_by(Consent.id.desc())).first()
        assert newest
        assert not newest.given
        assert newest.text != TEXT, "what staff did, not what was agreed to"
    page = read(client, staffs)
    assert "An advert." in shown(page, "closed-roster")
    assert f"{now().astimezone(LONDON):%B %Y}" in shown(page, "kept-off")

    assert f"{now().astimezone(LONDON):%B %Y}" in shown(read(owner, "/account"), "name-kept-off")
    assert not read(owner, details).select("input[name=roster]")
    submit(owner, details, name="Anna Byrne", language="en", roster="yes")  # an old tab's box
    assert names(reader) == []

    assert submit(client, f"{staffs}/name/restore", note="").status_code == 303
    assert names(reader) == []
    assert "name-not-shown" in marks(read(owner, "/account"))
    submit(owner, details, name="Anna Byrne", language="en", roster="yes")
    assert names(reader) == ["Anna Byrne"]
    with database.transaction() as session:
        assert read_balance(session).members == 1


def test_an_owner_who_agrees_while_staff_take_the_name_off_does_not_bring_it_back(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = named(session, "Buy Pills Cheap")
    with database.transaction() as owner:
        seen = owner.get_one(Member, member.id)
        assert seen.supporter_closed_at is None
        with database.transaction() as staff:
            hide_name(staff, staff.get_one(Member, member.id), "Taken off.")
        note_consent(owner, seen, ConsentKind.SUPPORTERS, TEXT, given=True)
    assert names(client) == []


def milestones(session: Session) -> Milestones:
    campaign = session.get_one(Campaign, "25000")
    return read_milestones(session, campaign, read_progress(session, campaign))


def test_each_tenth_and_each_goal_is_reached_once_even_where_the_number_dips(
    database: Database,
) -> None:
    with database.transaction() as session:
        campaign = session.get_one(Campaign, "25000")
        campaign.goals[0].members = 7
        campaign.goals.append(Goal(members=20, set_at=now()))
        people = [join(session) for _ in range(8)]
        first = milestones(session)
        assert [one.members for one in first.reached] == [8, 7, 6, 4, 2]
        assert [one.members for one in first.reached if one.is_goal] == [7]
        assert first.following == 10
        count(session, people[0], reason="ended")
        count(session, people[1], reason="ended")
        assert milestones(session) == first
        join(session)
        join(session)
        assert milestones(session) == first


def test_a_campaign_of_new_members_begins_at_nought_and_passes_what_came_before(
    database: Database,
) -> None:
    with database.transaction() as session:
        for _ in range(5):
            join(session)
        campaign = session.get_one(Campaign, "25000")
        campaign.starts_at = now()
        campaign.goals[0].members = 10
        join(session)
        assert [one.members for one in milestones(session).reached] == [6]
        campaign.counts = Counts.NEW
        assert [one.members for one in milestones(session).reached] == [1]
        assert milestones(session).following == 2


def test_before_the_start_there_is_no_curve_and_afterwards_its_end_is_the_number(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        named(session, "Olena Hrytsenko")
        campaign = session.get_one(Campaign, "25000")
        series = read_series(session, LONDON, campaign, read_progress(session, campaign))
        assert (series[0][1], series[-1][1]) == (0, 1)
        campaign.starts_at = now() + timedelta(days=1)
    page = BeautifulSoup(client.get(PATH, headers=PAGE).text, "html.parser")
    assert page.select(".chart") == []
    assert "no-milestone" in marks(page)
    assert names(client) == ["Olena Hrytsenko"]


def test_the_page_is_linked_from_the_campaign_and_from_how_we_count(client: FlaskClient) -> None:
    for path in ("/campaigns/25000", "/how-we-count"):
        page = BeautifulSoup(client.get(path, headers=PAGE).text, "html.parser")
        assert page.select(f'a[href="{PATH}"]'), path
    assert client.get("/campaigns/nothing/members", headers=PAGE).status_code == 404
