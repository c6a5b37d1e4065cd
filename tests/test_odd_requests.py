"""What no browser sends: it is refused in a sentence, and never answered as a fault of ours."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from fundraiser.newsroom.models import Role
from simulator.core.webhooks import signature
from tests.conftest import WEBHOOK_SECRET
from tests.factories import make_campaign, make_member, make_tiers
from tests.members import OURS, sign_in as sign_in_member
from tests.staff import PAGE, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

NUMBERS = ["9" * 5_000, "9" * 23, str(1 << 63), str((1 << 63) - 1), str(1 << 31), "0", "١٢٣"]


@pytest.fixture
def signed_in(client: FlaskClient, database: Database) -> FlaskClient:
    """A browser in which both a member and a member of the staff are signed in."""
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        member_id = make_member(session).id
    sign_in(client, hire(database, Role.ADMIN))
    sign_in_member(client, database, member_id)
    return client


@pytest.mark.timeout(300)
def test_no_number_in_an_address_is_too_large(app: FundraiserApp, signed_in: FlaskClient) -> None:
    with_numbers = [rule for rule in app.url_map.iter_rules() if "<int" in rule.rule]
    assert len(with_numbers) > 20
    faults = []
    for rule in with_numbers:
        for number in NUMBERS:
            path = re.sub(r"<int[^>]*>", number, rule.rule)
            path = re.sub(r"<[^>]+>", "1", path)
            for method in (rule.methods or set()) & {"GET", "POST"}:
                answer = signed_in.open(path, method=method, headers=PAGE | OURS)
                if answer.status_code >= 500:
                    faults.append((method, rule.rule, number[:30], answer.status_code))
    assert faults == []


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../config.py", "/static/..%2fconfig.py", "/static/%2e%2e/config.py"),
        *("/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/..%5cconfig.py"),
        *("/widget-..%2f..%2fconfig.js", "/widget-../script.js", "/static/fonts/../../config.py"),
    ],
)
def test_no_name_in_an_address_leads_out_of_its_folder(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    if answer.status_code == 308:  # two slashes are one
        answer = client.get(urlsplit(answer.headers["Location"]).path)
    assert answer.status_code == 404
    assert "import " not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("token", ["é", "токен", "\u2028", "a" * 5_000])
def test_a_form_s_token_may_be_any_text(signed_in: FlaskClient, token: str) -> None:
    answer = signed_in.post("/account/details", data={"token": token}, headers=OURS)
    assert answer.status_code == 403


@pytest.mark.parametrize("body", ["[" * 200_000, '{"a":' * 100_000, "1" * 5_000, "\0", "NaN", "[]"])
def test_json_of_any_form_is_refused_by_the_webhooks(client: FlaskClient, body: str) -> None:
    data = body.encode()
    assert client.post("/webhooks/email", data=data).status_code == 400
    header = {"Stripe-Signature": signature(data, WEBHOOK_SECRET, int(time.time()))}
    assert client.post("/webhooks/stripe", data=data, headers=header).status_code == 400


@pytest.mark.parametrize("created", [1e300, 1 << 62, 1 << 70, -(1 << 62), "soon", None, [], 1e400])
def test_a_signed_event_of_no_time_is_refused(client: FlaskClient, created: object) -> None:
    event = {"id": "evt_1", "object": "event", "type": "customer.updated", "livemode": False}
    event |= {"created": created, "data": {"object": {"id": "cus_1", "object": "customer"}}}
    data = json.dumps(event).encode()
    header = {"Stripe-Signature": signature(data, WEBHOOK_SECRET, int(time.time()))}
    assert client.post("/webhooks/stripe", data=data, headers=header).status_code == 400


@pytest.mark.parametrize("url", ["//[", "http://[::1", "http://\u2100.example"])
def test_a_url_that_can_not_be_split_is_no_fault(signed_in: FlaskClient, url: str) -> None:
    assert signed_in.get("/oembed", query_string={"url": url}).status_code == 404
    assert signed_in.get("/staff/sign-in", query_string={"next": url}).location == "/staff"
    assert signed_in.get("/metrics", headers={"Host": url.strip("/:htp")}).status_code == 404
    assert signed_in.get("/join", query_string={"return": url}).status_code == 400


def test_a_foreign_host_leads_to_us(client: FlaskClient) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1:8000@evil.example", ""):
        answer = client.get("/campaigns//25000", headers={"Host": host})
        assert answer.status_code == 308
        assert answer.headers["Location"] == "http://127.0.0.1:8000/campaigns/25000"
        page = client.get("/how-we-count", headers={"Host": host, "X-Forwarded-Host": host})
        assert "evil" not in page.text
