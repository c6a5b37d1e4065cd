"""What other sites load from us: the number, words, pictures, the script, the iframe, oEmbed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import brotli
import psycopg
import pytest
from sqlalchemy import text
from werkzeug.test import Client

from fundraiser.campaigns.models import Campaign, Counts, Goal
from fundraiser.db import Database
from fundraiser.members.eligibility import RULE
from fundraiser.widget import progress as layer, script
from fundraiser.widget.appearance import spoken
from fundraiser.widget.picture import paint
from fundraiser.widget.progress import Answer, ProgressLayer
from fundraiser.widget.script import (
    FOLDER,
    PUBLISHED,
    current_script,
    pinned_scripts,
)
from tests.factories import make_campaign, make_tiers
from tests.staff import day_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

    from demo.servers import Postgres, Valkey
    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings

PROGRESS = "/campaigns/25000/progress"
URL = "http://127.0.0.1:8000"
COMPRESSED = {"Accept-Encoding": "br"}


@pytest.fixture(autouse=True)
def campaign(database: Database) -> None:
    """A running campaign with the three tiers, and 16,234 members."""
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    set_members(database, 16_234)


@pytest.fixture
def web(app: FundraiserApp, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The layer in front of the app; it reads anew for each request."""
    monkeypatch.setattr(layer, "_KEPT_FOR", 0)
    return Client(ProgressLayer(app, app.database))


@pytest.fixture
def lost(
    web: Client, servers: tuple[Postgres, Valkey], database_url: str, database: Database
) -> Iterator[None]:
    """From here on the database is gone, after the number was known; it comes back at the end."""
    assert web.get(PROGRESS).status_code == 200
    name = urlsplit(database_url).path[1:]
    database.dispose()
    with psycopg.connect(servers[0].url_of("postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"')
        yield
        connection.execute(f'ALTER DATABASE "{name}_away" RENAME TO "{name}"')


def set_members(database: Database, members: int) -> None:
    with database.transaction() as session:
        session.execute(
            text("UPDATE ledger_head SET balance = :members, version = version + 1"),
            {"members": members},
        )


def change(database: Database, **values: object) -> None:
    with database.transaction() as session:
        campaign = session.get_one(Campaign, "25000")
        for name, value in values.items():
            setattr(campaign, name, value)


def test_the_number_is_a_small_answer_for_any_site_and_any_cache(web: Client) -> None:
    answer = web.get(PROGRESS)
    assert answer.json is not None
    assert answer.json | {"deadline": "", "as_of": "", "version": 0} == {
        "campaign": "25000",
        "members": 16_234,
        "goal": 25_000,
        "percent": 64.9,
        "remaining": 8_766,
        "status": "running",
        "deadline": "",
        "rule": RULE,
        "as_of": "",
        "version": 0,
        "revision": 1,
    }
    assert len(answer.data) <= 300
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Timing-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"].startswith("public, max-age=1, stale-while-revalidate=")
    assert "stale-if-error=" in answer.headers["Cache-Control"]
    assert "Set-Cookie" not in answer.headers


def test_who_has_the_number_already_is_told_so_in_no_bytes(web: Client, database: Database) -> None:
    first = web.get(PROGRESS)
    assert first.headers["ETag"].startswith('"')
    again = web.get(PROGRESS, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Access-Control-Allow-Origin"] == "*"
    set_members(database, 16_235)
    assert web.get(PROGRESS, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_head_request_has_the_headers_alone(web: Client) -> None:
    head, get = web.head(PROGRESS), web.get(PROGRESS)
    assert head.data == b""
    assert dict(head.headers) == dict(get.headers)


def test_the_number_is_kept_for_a_second_at_most(
    app: FundraiserApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = Client(ProgressLayer(app, database))
    seconds = [time.monotonic()]
    monkeypatch.setattr(layer, "time", SimpleNamespace(monotonic=lambda: seconds[-1]))
    assert members(web) == 16_234
    set_members(database, 16_235)
    seconds.append(seconds[0] + 0.99)
    assert members(web) == 16_234
    seconds.append(seconds[0] + 1)
    assert members(web) == 16_235


def members(web: Client) -> int:
    json = web.get(PROGRESS).json
    assert json is not None
    return int(json["members"])


def test_while_one_reads_anew_the_others_get_the_number_before(
    web: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert members(web) == 16_234
    with database.transaction() as session:
        session.execute(text("UPDATE ledger_head SET balance = 16235, version = version + 1"))
        session.execute(text("LOCK TABLE ledger_head IN ACCESS EXCLUSIVE MODE"))
        reader = threading.Thread(target=members, args=(web,))
        reader.start()
        while not waiting_for_a_lock(database):
            time.sleep(0.01)
        assert members(web) == 16_234
        assert "stale_since" not in web.get(PROGRESS).text
        monkeypatch.setattr(layer, "_SILENT_AFTER", 0)
        assert "stale_since" in web.get(PROGRESS).text
        # Whoever asked for the new number does not wait for a database that stays silent.
        reader.join(5)
        assert not reader.is_alive()
    while members(web) != 16_235:
        time.sleep(0.01)
    assert "stale_since" not in web.get(PROGRESS).text


def waiting_for_a_lock(database: Database) -> bool:
    with database.transaction() as session:
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return session.scalar(text(query)) is not None


@pytest.mark.usefixtures("lost")
def test_without_the_database_the_last_number_is_served_with_its_time(web: Client) -> None:
    answer = web.get(PROGRESS)
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["members"] == 16_234
    assert len(answer.data) <= 300
    since = datetime.fromisoformat(answer.json["stale_since"])
    assert datetime.now(UTC) - since < timedelta(minutes=1)
    assert web.get(PROGRESS).json == answer.json
    assert web.get("/readyz").status_code == 200


def test_a_process_that_nobody_asks_for_the_number_knows_it_all_the_same(
    web: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def do_something_else() -> None:
        web.get("/healthz")
        while any(thread.name == "progress" for thread in threading.enumerate()):
            time.sleep(0.01)

    monkeypatch.setattr(layer, "_KEPT_FOR", 60)
    monkeypatch.setattr(layer, "_REMEMBERED_FOR", 0)
    do_something_else()
    set_members(database, 16_235)
    assert members(web) == 16_234
    do_something_else()
    assert members(web) == 16_235


def test_a_process_that_starts_without_a_database_says_so(
    app: FundraiserApp, settings: Settings
) -> None:
    nowhere = replace(settings, database_url="postgresql://nobody@127.0.0.1:9/nothing")
    web = Client(ProgressLayer(app, Database(nowhere)))
    answer = web.get(PROGRESS)
    assert answer.status_code == 503
    assert answer.json
    assert answer.json.keys() == {"error"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_unknown_campaign_is_a_sentence_that_any_site_can_read(
    web: Client, database: Database
) -> None:
    answer = web.get("/campaigns/nothing/progress")
    assert answer.status_code == 404
    assert answer.json
    assert answer.json.keys() == {"error"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert web.get(PROGRESS).status_code == 200
    with database.transaction() as session:
        session.execute(text("DELETE FROM goal"))
        session.execute(text("DELETE FROM campaign"))
    assert web.get(PROGRESS).status_code == 404


def test_asking_for_campaigns_that_do_not_exist_makes_no_number_stale(
    app: FundraiserApp, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are asked for, one reading a second looks which campaigns there are."""
    reader = ProgressLayer(app, database)
    assert members(Client(reader)) == 16_234
    read: list[str] = []

    def count(self: ProgressLayer, slug: str) -> Answer:
        read.append(slug)
        return layer_read(self, slug)

    layer_read = ProgressLayer._read  # noqa: SLF001 - what a reading costs
    monkeypatch.setattr(ProgressLayer, "_read", count)
    over = threading.Event()

    def ask_for_nothing(place: int) -> None:
        number, web = 0, Client(reader)
        while not over.is_set():
            number += 1
            answer = web.get(f"/campaigns/nothing-{place}-{number}/progress")
            assert answer.status_code == 404

    hands = [threading.Thread(target=ask_for_nothing, args=(place,)) for place in range(24)]
    for hand in hands:
        hand.start()
    try:
        for number in range(16_235, 16_239):
            set_members(database, number)
            until = time.monotonic() + 5
            while members(Client(reader)) != number:
                assert time.monotonic() < until, "the number is stale"
                time.sleep(0.05)
    finally:
        over.set()
        for hand in hands:
            hand.join()
    assert set(read) == {"25000"}


def test_the_number_is_for_reading_and_all_else_goes_to_the_app(web: Client) -> None:
    answer = web.post(PROGRESS)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert web.get("/campaigns/25000").status_code == 200
    assert web.get("/campaigns/25000/progress/").status_code == 404


def test_the_appearance_is_in_the_language_of_the_page(client: FlaskClient) -> None:
    english = client.get("/campaigns/25000/appearance?lang=en-GB").json
    ukrainian = client.get("/campaigns/25000/appearance?lang=uk").json
    assert english is not None
    assert ukrainian is not None
    assert english["words"]["of"] == "of # members"
    assert any("£10 " in price["text"] for price in english["tiers"][1]["prices"])
    assert ukrainian["words"]["of"] == "із # учасників"
    assert "10\xa0£ на місяць" in [price["text"] for price in ukrainian["tiers"][1]["prices"]]
    assert english["headline"] == ukrainian["headline"]
    assert set(english["words"]) == set(ukrainian["words"])
    assert english["default"] == {"tier": "member", "interval": "month", "currency": "GBP"}
    assert english["links"]["join"] == f"{URL}/join"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en", ("en", "en-GB")),
        ("en-US", ("en", "en-US")),
        ("uk-UA", ("uk", "uk-UA")),
        ("uk_UA", ("uk", "uk-UA")),
        ("fr-CA", ("en", "fr-CA")),
        ("x\r\ny", ("en", "en-GB")),
        ("", ("en", "en-GB")),
        ("english (british)", ("en", "en-GB")),
    ],
)
def test_whatever_a_page_calls_its_language_has_words(tag: str, expected: tuple[str, str]) -> None:
    assert spoken(tag) == expected


def test_the_appearance_is_kept_long_where_it_is_asked_for_by_its_revision(
    client: FlaskClient, database: Database
) -> None:
    address = "/campaigns/25000/appearance?lang=en&revision=2"
    assert "max-age=1," in client.get(address).headers["Cache-Control"]
    change(database, revision=2)
    answer = client.get(address, headers=COMPRESSED)
    assert "max-age=300," in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "br"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert len(answer.data) < 1024
    assert json.loads(brotli.decompress(answer.data))["revision"] == 2


def test_a_campaign_for_new_members_says_new(client: FlaskClient, database: Database) -> None:
    change(database, counts=Counts.NEW)
    answer = client.get("/campaigns/25000/appearance?lang=en").json
    assert answer is not None
    assert answer["words"]["of"] == "of # new members"
    assert "new" in answer["words"]["beyond"]
    assert re.search(r"#.*25,000", answer["words"]["beyond"])


def test_the_picture_says_the_number(client: FlaskClient) -> None:
    answer = client.get("/campaigns/25000/progress.svg?lang=uk")
    picture = ET.fromstring(answer.data)  # noqa: S314 - our own SVG
    assert answer.mimetype == "image/svg+xml"
    assert picture.attrib["aria-label"] == "16\xa0234 із 25\xa0000 учасників"
    assert (picture.attrib["width"], picture.attrib["height"]) == ("640", "160")
    assert "max-age=1," in answer.headers["Cache-Control"]
    etag = answer.headers["ETag"]
    again = client.get("/campaigns/25000/progress.svg?lang=uk", headers={"If-None-Match": etag})
    assert again.status_code == 304


def test_the_card_for_shared_links_is_a_png_with_the_words_drawn(
    client: FlaskClient, database: Database
) -> None:
    first = client.get("/campaigns/25000/progress.png?lang=uk")
    assert first.data.startswith(b"\x89PNG")
    assert (first.data[16:20], first.data[20:24]) == ((1200).to_bytes(4), (630).to_bytes(4))
    set_members(database, 16_235)
    assert client.get("/campaigns/25000/progress.png?lang=uk").data != first.data
    change(database, headlines={"en": "", "uk": "Ґанок їжака"})
    assert client.get("/campaigns/25000/progress.png?lang=uk").data != first.data


def test_the_bundled_fonts_have_the_letters_of_both_languages() -> None:
    def drawn(email: str, weight: int, family: str) -> bytes:
        return paint(
            '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">'
            f'<text y="30" font-family="{family}" font-weight="{weight}">{email}</text></svg>'
        )

    emails = "Az09,’«»—€£$" + "".join(chr(code) for code in range(0x410, 0x450)) + "ІіЇїЄєҐґ"
    for family, weight in (("Fundraiser Serif", 700), ("Fundraiser Sans", 400)):
        missing = {drawn(each, weight, family) for each in " \u4e00"}
        assert not [each for each in emails if drawn(each, weight, family) in missing]


def test_a_picture_goes_beyond_the_goal_and_stops_at_the_end(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        session.add(Goal(campaign_slug="25000", members=15_000, set_at=datetime.now(UTC)))
    over = client.get("/campaigns/25000/progress.svg").text
    assert re.search(r"\b1,234\b.*\b15,000\b", over)
    assert "url(#hatch)" in over
    at = datetime.now(UTC) - timedelta(days=1)
    change(database, deadline=at, starts_at=at - timedelta(days=9))
    assert day_of(at) in client.get("/campaigns/25000/progress.svg").text


def test_an_unknown_shape_is_refused(client: FlaskClient) -> None:
    answer = client.get("/campaigns/25000/progress.png?shape=heart")
    assert answer.status_code == 400
    assert "strip, card" in answer.text


def test_framing_is_allowed_for_the_embed_page_alone(client: FlaskClient) -> None:
    embed = client.get("/campaigns/25000/embed?variant=bar&lang=uk&theme=%22%3E%3Cscript%3E")
    assert "frame-ancestors *" in embed.headers["Content-Security-Policy"]
    assert f"script-src {URL};" in embed.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in embed.headers
    assert 'variant="bar"' in embed.text
    assert "16\xa0234" in embed.text
    assert "<script>" not in embed.text
    page = client.get("/campaigns/25000")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("name", ["embed.css", "embed.js"])
def test_a_frame_of_opaque_origin_may_load_its_parts(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/{name}")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.mimetype == ("text/css" if name.endswith("css") else "text/javascript")


def test_oembed_describes_a_campaign_page(client: FlaskClient) -> None:
    answer = client.get(f"/oembed?url={URL}/campaigns/25000&format=json&maxwidth=400").json
    assert answer is not None
    assert (answer["type"], answer["version"], answer["width"]) == ("rich", "1.0", 400)
    assert f'src="{URL}/campaigns/25000/embed?lang=en"' in answer["html"]
    assert answer["thumbnail_url"] == f"{URL}/campaigns/25000/progress.png?lang=en"


@pytest.mark.parametrize(
    ("asked", "variant", "height"),
    [
        ("", "card", 470),
        ("&maxwidth=340&maxheight=900", "card", 640),
        ("&maxwidth=340&maxheight=500", "bar", 206),
        ("&maxwidth=600&maxheight=100", "compact", 100),
        ("&maxwidth=-5&maxheight=0", "compact", 1),
    ],
)
def test_an_oembed_frame_shows_what_fits_at_its_height(
    client: FlaskClient, asked: str, variant: str, height: int
) -> None:
    answer = client.get(f"/oembed?url={URL}/campaigns/25000{asked}").json
    assert answer is not None
    assert answer["height"] == height
    assert f'height="{height}"' in answer["html"]
    assert ("variant=" in answer["html"]) is (variant != "card")
    assert variant == "card" or f"variant={variant}" in answer["html"]


def test_oembed_knows_no_other_page_and_no_other_format(client: FlaskClient) -> None:
    for address in (
        "http://elsewhere.example/campaigns/25000",
        f"{URL}/join",
        f"{URL}/campaigns/x",
    ):
        assert client.get(f"/oembed?url={address}").status_code == 404
    assert client.get("/oembed").status_code == 404
    assert client.get(f"/oembed?url={URL}/campaigns/25000&format=xml").status_code == 501


def test_the_script_is_at_most_three_kilobytes_as_served(client: FlaskClient) -> None:
    answer = client.get("/widget.js", headers=COMPRESSED)
    assert answer.headers["Content-Encoding"] == "br"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert len(answer.data) <= 3072
    # What each part costs: docs/decisions/widget-script.md.
    packed = client.get("/widget.js", headers={"Accept-Encoding": "gzip"})
    assert len(packed.data) <= 3520
    assert brotli.decompress(answer.data) == client.get("/widget.js").data
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(str(answer.headers)) < 700, "what goes to every reader carries a page's headers"


def test_a_pinned_script_is_the_same_for_ever(client: FlaskClient) -> None:
    pinned = client.get(f"/widget-{current_script().hash}.js")
    assert pinned.data == client.get("/widget.js").data
    assert "immutable" in pinned.headers["Cache-Control"]
    assert "immutable" not in client.get("/widget.js").headers["Cache-Control"]
    assert pinned.headers["Access-Control-Allow-Origin"] == "*"
    assert client.get("/widget-0123456789abcdef.js").status_code == 404


def test_the_script_of_now_is_built_from_its_source() -> None:
    need_from_npm(script.TERSER)
    source = (FOLDER / "membership-progress.js").read_text()
    assert script.build(source) == current_script().body, "run make publish-widget and commit"


def test_whatever_was_published_is_served_for_ever(client: FlaskClient) -> None:
    for path in PUBLISHED.iterdir():
        body = client.get(f"/widget-{path.stem}.js").data
        assert hashlib.sha256(body).hexdigest()[:16] == path.stem
        assert path.stem in pinned_scripts()


def test_an_older_script_is_served_after_a_newer_one(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = current_script()
    monkeypatch.setattr(script, "PUBLISHED", tmp_path)
    monkeypatch.setattr(script, "CURRENT", tmp_path / "current-script")
    monkeypatch.setattr(script, "build", lambda source: f"{source[:12]}{{}}\n".encode())
    (tmp_path / f"{old.hash}.js").write_bytes(old.body)
    pinned_scripts.cache_clear()
    try:
        script.publish()
        assert client.get("/widget.js").data == b"// @ts-check{}\n"
        assert client.get(f"/widget-{old.hash}.js").data == old.body
        assert client.get(f"/widget-{current_script().hash}.js").data == b"// @ts-check{}\n"
    finally:
        monkeypatch.undo()
        for cached in (current_script, pinned_scripts):
            cached.cache_clear()


def test_building_takes_comments_spaces_and_long_names_but_no_text() -> None:
    need_from_npm(script.TERSER)
    source = """// @ts-check
/** A doc. */
{
  const styles = `
    .a .b:hover { margin: -1px calc(1px - 2px); }
  `;
  const kind = "a  b // c"; // said
  document.body.append(styles, kind, kind, `${styles} : ${location}`);
}
"""
    built = script.build(source).decode()
    assert ".a .b:hover{margin:-1px calc(1px - 2px)}" in built
    assert "a  b // c" in built
    assert not re.search(r"@ts-check|A doc|said|kind|styles|\n ", built)
    with pytest.raises(subprocess.CalledProcessError):
        script.build("{ const")


def need_from_npm(command: tuple[str, ...]) -> None:
    if not shutil.which("npx"):
        pytest.skip("npx is missing: install Node.js and npm")
    if subprocess.run([*command, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"npx could not get {command[2]}: is npm's registry in reach?")


def test_the_types_of_the_scripts_hold() -> None:
    tsc = ("npx", "--yes", "--package=typescript@5.9.3", "tsc")
    need_from_npm(tsc)
    options = ["--noEmit", "--strict", "--checkJs", "--allowJs", "--target", "es2022"]
    options += ["--lib", "es2023,dom,dom.iterable"]
    done = subprocess.run(
        [*tsc, *options, *FOLDER.glob("*.js")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
