"""What travels compressed: what is the same for everybody, and nothing that holds a secret."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import brotli
import pytest

from fundraiser.headers import ADDRESSES, AREAS
from fundraiser.newsroom.models import Role
from tests.factories import make_campaign, make_member, make_tiers
from tests.members import sign_in as sign_in_member
from tests.staff import PAGE, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.db import Database

BROTLI = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture(autouse=True)
def campaign(database: Database) -> None:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)


@pytest.mark.parametrize(
    "path",
    ["/", "/campaigns/25000", "/gift", "/how-we-count", "/join", "/static/site.css", "/embed.js"],
)
@pytest.mark.parametrize(
    ("accepted", "unpack"), [("gzip, deflate, br", brotli.decompress), ("gzip", gzip.decompress)]
)
def test_public_pages_and_files_travel_compressed(
    client: FlaskClient, path: str, accepted: str, unpack: object
) -> None:
    plain = client.get(path, headers={"Accept-Encoding": "identity"}, buffered=True)
    assert "Content-Encoding" not in plain.headers
    packed = client.get(path, headers={"Accept-Encoding": accepted}, buffered=True)
    assert packed.headers["Content-Encoding"] == accepted.rpartition(", ")[2]
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
    assert len(unpack(packed.data)) == pytest.approx(len(plain.data), abs=20)  # type: ignore[operator]
    for answer in (plain, packed):  # or a cache gives one reader's bytes to another
        assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize("refusal", ["", "identity", "br;q=0, gzip;q=0", "zstd", "\u00ff;q=x"])
def test_who_takes_neither_coding_gets_plain_text(client: FlaskClient, refusal: str) -> None:
    answer = client.get("/join", headers={"Accept-Encoding": refusal})
    assert "Content-Encoding" not in answer.headers
    assert b"</html>" in answer.data


def test_a_kept_file_is_not_sent_again(client: FlaskClient) -> None:
    for path in ("/static/site.css", "/embed.js", "/widget.js", "/campaigns/25000/appearance"):
        first = client.get(path, headers=BROTLI, buffered=True)
        known = BROTLI | {"If-None-Match": first.headers["ETag"]}
        again = client.get(path, headers=known, buffered=True)
        assert (again.status_code, again.data) == (304, b""), path
        assert again.headers["ETag"] == first.headers["ETag"]
        assert "Content-Encoding" not in again.headers
        assert "Accept-Encoding" in again.headers["Vary"]


def test_a_part_of_a_file_is_a_part_of_the_plain_one(client: FlaskClient) -> None:
    wish = BROTLI | {"Range": "bytes=0-9"}
    part = client.get("/static/site.css", headers=wish, buffered=True)
    assert part.status_code == 206
    assert "Content-Encoding" not in part.headers
    assert len(part.data) == 10


@pytest.fixture
def signed_in(client: FlaskClient, database: Database) -> FlaskClient:
    """As staff and as a member, so that each page shows all that it has."""
    with database.transaction() as session:
        member_id = make_member(session).id
    sign_in(client, hire(database, Role.ADMIN))
    sign_in_member(client, database, member_id)
    return client


@pytest.mark.parametrize(
    "path", ["/account", "/terms", "/staff/", "/staff/members", "/staff/account"]
)
def test_nothing_that_holds_a_secret_is_compressed(signed_in: FlaskClient, path: str) -> None:
    """BREACH: the length of a compressed page tells a form's token or an address, by trials."""
    answer = signed_in.get(path, headers=BROTLI | PAGE, follow_redirects=True)
    assert answer.status_code == 200
    assert b'token"' in answer.data
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/campaigns/25000", "/gift", "/how-we-count", "/join"])
def test_what_is_compressed_is_the_same_for_whoever_asks(signed_in: FlaskClient, path: str) -> None:
    page = signed_in.get(path)
    assert b'token"' not in page.data
    assert "Set-Cookie" not in page.headers


def test_only_these_addresses_hold_no_secret() -> None:
    """Written down twice: a row that lets a page be compressed is to be looked at by two."""
    assert all(rules.is_secret for rules in AREAS.values())
    secret = {route for route, rules in ADDRESSES.items() if rules.is_secret}
    assert secret == {
        "/campaigns/<slug>/reminder",
        "/healthz",
        "/join/thanks",
        "/metrics",
        "/readyz",
        "/terms",
    }


@pytest.mark.parametrize("path", ["/", "/campaigns/25000", "/join", "/gift"])
def test_each_public_page_is_described(client: FlaskClient, path: str) -> None:
    assert b'<meta name="description" content="' in client.get(path).data


def test_an_address_cut_short_leads_to_the_campaign(client: FlaskClient) -> None:
    answer = client.get("/campaigns?lang=uk")
    assert answer.status_code == 302
    assert answer.headers["Location"].endswith("/?lang=uk")
    assert client.get("/campaigns").headers["Location"].endswith("/")
