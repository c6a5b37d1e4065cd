"""What each address answers with besides its body, held against the one table of it."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from flask import Response
from werkzeug.test import Client

from fundraiser.account.sessions import begin_session, remember_browser
from fundraiser.app import create_app
from fundraiser.campaigns.models import CampaignPicture
from fundraiser.config import load_settings
from fundraiser.headers import (
    ADDRESSES,
    AREAS,
    NO_STORE,
    PRIVATE,
    Rules,
    find_rules,
    of_refusal,
    of_transport,
)
from fundraiser.newsroom.models import Role
from fundraiser.refusals import Refusals
from fundraiser.security import public
from fundraiser.webhooks.layer import WebhookLayer
from fundraiser.widget.progress import ProgressLayer
from fundraiser.widget.script import pinned_scripts
from tests.conftest import Browser
from tests.factories import make_campaign, make_member, make_tiers
from tests.members import OURS, sign_in as sign_in_member
from tests.staff import PAGE, hire, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
PLACES = {"slug": "25000", "filename": "site.css", "month": "2026-11", "what": "role"}


def without_a_row(app: FundraiserApp) -> list[str]:
    return [rule.rule for rule in app.url_map.iter_rules() if find_rules(rule.rule) is None]


def test_each_route_has_a_row_and_each_row_a_route(app: FundraiserApp) -> None:
    assert without_a_row(app) == []
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    assert set(ADDRESSES) <= routes
    assert {area for area in AREAS if not any(route.startswith(area) for route in routes)} == set()


def test_a_route_without_a_row_is_found(app: FundraiserApp) -> None:
    app.add_url_rule("/new/<place>", view_func=public(lambda place: place))
    assert without_a_row(app) == ["/new/<place>"]


def test_little_is_cached_and_little_is_for_other_sites() -> None:
    """Written down twice: a row that opens more than before is to be looked at by two."""
    assert set(AREAS.values()) == {PRIVATE}
    assert {route for route, rules in ADDRESSES.items() if rules.caching != ("no-store",)} == {
        "/<any('embed.css', 'embed.js'):name>",
        "/campaigns/<slug>/appearance",
        "/campaigns/<slug>/embed",
        "/campaigns/<slug>/members",
        "/campaigns/<slug>/pictures/<name>.jpg",
        "/campaigns/<slug>/progress.png",
        "/campaigns/<slug>/progress.svg",
        "/oembed",
        "/static/<path:filename>",
        "/widget-<name>.js",
        "/widget.js",
    }
    assert [route for route, rules in ADDRESSES.items() if rules.is_framed] == [
        "/campaigns/<slug>/embed"
    ]


@pytest.fixture
def signed_in(client: FlaskClient, database: Database) -> FlaskClient:
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        name = next(iter(pinned_scripts()))
        session.add(
            CampaignPicture(campaign_slug="25000", name=name, content=b"", width=1, height=1)
        )
        member_id = make_member(session).id
    sign_in(client, hire(database, Role.ADMIN))
    sign_in_member(client, database, member_id)
    return client


@pytest.mark.timeout(180)
def test_every_route_answers_with_the_headers_of_its_row(
    app: FundraiserApp, signed_in: FlaskClient
) -> None:
    stored = set()
    for route, path, method in requests_to(app):
        rules = find_rules(route) or PRIVATE
        with signed_in.open(path, method=method, headers=PAGE | OURS) as answer:
            answer.get_data()
        found, case = answer.headers, f"{method} {path} {answer.status_code}"
        is_error = answer.status_code >= 400
        assert found["Cache-Control"] in (("no-store",) if is_error else rules.caching), case
        assert found["X-Content-Type-Options"] == "nosniff", case
        assert found.get("Access-Control-Allow-Origin") == ("*" if rules.is_for_any_site else None)
        whose = "cross-origin" if rules.is_for_any_site else "same-origin"
        assert found["Cross-Origin-Resource-Policy"] == whose, case
        if "no-store" not in found["Cache-Control"]:
            stored.add(route)
            assert "Set-Cookie" not in found, case
            assert "Cookie" not in found.get("Vary", ""), case
        if answer.mimetype in {"text/html", "application/json", "text/csv", "image/svg+xml", ""}:
            assert_page(found, rules, case)
    assert stored == {route for route, rules in ADDRESSES.items() if rules.caching != (NO_STORE,)}


def requests_to(app: FundraiserApp) -> Iterator[tuple[str, str, str]]:
    """Each route with what is there in its places, by GET or else by POST."""
    places = PLACES | {"name": next(iter(pinned_scripts()))}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        path = rule.rule.replace("<any('embed.css', 'embed.js'):name>", "embed.css")
        path = re.sub(
            r"<[^>]+>", lambda place: places.get(place[0].strip("<>").split(":")[-1], "1"), path
        )
        query = "?url=http://127.0.0.1:8000/campaigns/25000" if path == "/oembed" else ""
        yield rule.rule, path + query, "GET" if "GET" in (rule.methods or set()) else "POST"


def assert_page(found: object, rules: Rules, case: str) -> None:
    headers = dict(found)  # type: ignore[call-overload]  # Werkzeug's are iterable pairs
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; "), case
    assert "unsafe" not in policy, case
    assert ("frame-ancestors *" if rules.is_framed else "frame-ancestors 'none'") in policy, case
    assert headers.get("X-Frame-Options") == (None if rules.is_framed else "DENY"), case
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin", case
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", case


def test_a_view_cannot_let_its_page_be_stored(app: FundraiserApp, client: FlaskClient) -> None:
    """The negative control: what a view sets and its row doesn't have is set right."""
    app.view_functions["account.terms"] = public(
        lambda: ("", {"Cache-Control": "public, max-age=60", "X-Frame-Options": "ALLOWALL"})
    )
    answer = client.get("/terms")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.fixture
def by_https(environment: dict[str, str], database_url: str) -> Iterator[FundraiserApp]:
    more = {"DATABASE_URL": database_url, "PUBLIC_URL": "https://members.example.org"}
    app = create_app(load_settings(environment | more))
    with app.app_context():
        yield app
    app.database.dispose()


def test_every_answer_keeps_browsers_to_https_whoever_gives_it(by_https: FundraiserApp) -> None:
    settings = by_https.extensions["settings"]
    with by_https.database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
    layer = Client(ProgressLayer(by_https, by_https.database, of_transport(settings)))
    for path in ("/campaigns/25000/progress", "/campaigns/none/progress", "/healthz", "/nowhere"):
        assert HSTS.items() <= dict(layer.get(path).headers).items(), path
    etag = layer.get("/campaigns/25000/progress").headers["ETag"]
    unchanged = layer.get("/campaigns/25000/progress", headers={"If-None-Match": etag})
    assert unchanged.status_code == 304
    assert HSTS.items() <= dict(unchanged.headers).items()
    refusals = Refusals(by_https)
    for status in map(HTTPStatus, (408, 413, 503)):
        for accept in ("text/html", "application/json"):
            environ = {"PATH_INFO": "/", "QUERY_STRING": "", "HTTP_ACCEPT": accept}
            assert HSTS.items() <= dict(refusals.reply(status, environ).headers).items()


def test_a_webhooks_receipt_has_the_headers_of_a_refusal(by_https: FundraiserApp) -> None:
    class Takes:
        def read_webhook(self, body: bytes, signature: str) -> None: ...
        def take(self, event: None) -> None: ...

    settings, takes = by_https.extensions["settings"], Takes()
    layer = WebhookLayer(by_https, takes, takes, of_refusal(settings))  # type: ignore[arg-type]  # both in one
    answer = Client(layer).post("/webhooks/stripe", data=b"{}")
    assert answer.status_code == 204
    assert (HSTS | {"Cache-Control": "no-store"}).items() <= dict(answer.headers).items()


def test_without_https_nothing_says_so(client: FlaskClient) -> None:
    assert "Strict-Transport-Security" not in client.get("/healthz").headers


@pytest.mark.parametrize(
    ("asked", "language", "kind"),
    [
        ({"HTTP_ACCEPT": "text/html,*/*;q=0.8"}, "en", "text/html; charset=utf-8"),
        ({"HTTP_ACCEPT": "text/html", "HTTP_ACCEPT_LANGUAGE": "uk-UA,uk;q=0.9"}, "uk", "text/html"),
        ({"HTTP_ACCEPT": "text/html", "QUERY_STRING": "tier=a&lang=uk"}, "uk", "text/html"),
        ({"HTTP_ACCEPT": "text/html", "PATH_INFO": "/webhooks/email"}, None, "application/json"),
        ({"HTTP_ACCEPT": "*/*"}, None, "application/json"),
        ({"HTTP_ACCEPT": "é;q=x," * 900, "HTTP_ACCEPT_LANGUAGE": "\xff" * 9_000}, None, "appl"),
    ],
)
@pytest.mark.parametrize("status", [HTTPStatus(408), HTTPStatus(413), HTTPStatus(503)])
def test_a_refusal_is_a_page_in_the_readers_language(
    app: FundraiserApp, asked: dict[str, str], language: str | None, kind: str, status: HTTPStatus
) -> None:
    reply = Refusals(app).reply(status, {"PATH_INFO": "/join", "QUERY_STRING": ""} | asked)
    headers = dict(reply.headers)
    assert reply.status.startswith(str(status.value))
    assert headers["Content-Type"].startswith(kind)
    assert headers["Cache-Control"] == "no-store"
    assert int(headers["Content-Length"]) == len(reply.body)
    if language:
        assert f'<html lang="{language}">' in reply.body.decode()
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_each_cookie_is_for_our_host_alone(by_https: FundraiserApp) -> None:
    by_https.test_client_class = Browser
    client = by_https.test_client()
    with by_https.database.transaction() as session:
        member = make_member(session)
    found = sign_in(client, hire(by_https.database)).headers.getlist("Set-Cookie")
    response = Response()
    with by_https.test_request_context(), by_https.database.transaction() as session:
        begin_session(session, member, response, by="code")
        remember_browser(response, "secret")
    found += response.headers.getlist("Set-Cookie")
    names = {cookie.partition("=")[0] for cookie in found if "Max-Age=0" not in cookie}
    assert names == {"__Host-staff", "__Host-device", "__Host-member", "__Host-asking"}
    for cookie in found:
        parts = {part.strip().partition("=")[0] for part in cookie.split(";")}
        assert {"Secure", "HttpOnly", "SameSite"} <= parts, cookie
        assert "Path=/" in cookie.split("; "), cookie
        assert "SameSite=Lax" in cookie, cookie
        assert "Domain" not in parts, cookie
