"""What is refused between Stripe and us: counted by reason, and told to whoever can mend it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from sqlalchemy import text

from fundraiser.app import create_app
from fundraiser.cli import main
from fundraiser.config import Settings, load_settings
from fundraiser.payments.stripe.refused import read_refusals, refused_webhooks
from fundraiser.webhooks.inbox import HANDLED
from fundraiser.webhooks.layer import WebhookLayer
from simulator.core.events import HANDLED as TOLD
from tests.factories import Stripe, make_campaign
from tests.pages import PageText
from tests.staff import csrf_token, hire, names, read, shown, sign_in
from tests.webhooks import deliver, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from fundraiser.db import Database


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


THIN = {
    "id": "evt_thin",
    "object": "v2.core.event",
    "type": "v1.customer.updated",
    "livemode": False,
    "related_object": {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"},
}
WAYS: dict[str, Callable[[FlaskClient], Any]] = {
    "signature": lambda client: deliver(client, event(), secret="whsec_of_another"),
    "no_signature": lambda client: client.post("/webhooks/stripe", json=event()),
    "too_old": lambda client: deliver(client, event(), age=400),
    "too_new": lambda client: deliver(client, event(), age=-400),
    "other_mode": lambda client: deliver(client, event(livemode=True)),
    "thin": lambda client: deliver(client, THIN),
    "not_an_event": lambda client: deliver(client, b"[]"),
}


def figures(client: FlaskClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


@pytest.mark.parametrize("reason", WAYS)
def test_each_refusal_is_logged_and_counted_by_its_reason(
    client: FlaskClient, database: Database, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert WAYS[reason](client).status_code == 400
    logged = "".join(capfd.readouterr())
    assert logged.count(f'"reason": "{reason}"') == 2
    counted = figures(client)
    assert counted[f'fundraiser_webhooks_refused_total{{reason="{reason}"}}'] == 2
    assert counted[f'fundraiser_webhooks_refused_lately{{reason="{reason}"}}'] == 2
    assert sum(value for name, value in counted.items() if "refused_total" in name) == 2
    with database.transaction() as session:
        assert [(one.reason, one.total) for one in read_refusals(session)] == [(reason, 2)]


def test_what_was_refused_is_history_once_one_is_accepted(
    client: FlaskClient, database: Database
) -> None:
    WAYS["signature"](client)
    with database.transaction() as session:
        assert refused_webhooks(session) == {"signature": 1}
    assert deliver(client, event()).status_code == 204
    with database.transaction() as session:
        assert refused_webhooks(session) == {}
    assert figures(client)['fundraiser_webhooks_refused_total{reason="signature"}'] == 1


def test_the_table_stays_small_whatever_is_thrown_at_us(
    client: FlaskClient, database: Database
) -> None:
    for age in range(400, 420):
        for reason in ("signature", "too_old", "no_signature"):
            WAYS[reason](client)
        deliver(client, event(id=f"evt_{age}"), age=age)
    with database.transaction() as session:
        assert len(read_refusals(session)) == 3


def test_the_doctor_and_the_overview_say_why(
    client: FlaskClient,
    database: Database,
    environment: dict[str, str],
    database_url: str,
    stripe: Stripe,
) -> None:
    with database.transaction() as session:
        make_campaign(session)
    sign_in(client, hire(database))
    assert {mark for mark in names(read(client, "/staff")) if "refused" in mark} == set()
    WAYS["signature"](client)
    WAYS["no_signature"](client)  # anybody may send that
    page = read(client, "/staff")
    assert {mark for mark in names(page) if "refused" in mark} == {"webhooks-refused-signature"}
    assert " 1 " in shown(page, "webhooks-refused-signature")
    env = environment | {"DATABASE_URL": database_url, "STRIPE_API_BASE": stripe.url}
    told = CliRunner(env=env).invoke(main, ["doctor"]).output
    assert "WRONG  Webhooks are refused since the last accepted one: 1 times " in told
    assert "STRIPE_WEBHOOK_SECRET is not the endpoint's" in told


REASONS = {
    "signature": "signing secret",
    "too_old": "ahead",
    "too_new": "behind",
    "other_mode": "test or live",
    "thin": "thin",
    "not_an_event": "event",
}


@pytest.mark.wording
def test_the_overview_names_each_reason(
    client: FlaskClient, database: Database, session: Session
) -> None:
    make_campaign(session)
    session.commit()
    for way in WAYS.values():
        way(client)
    sign_in(client, hire(database))
    page = read(client, "/staff")
    for reason in REASONS:
        said = shown(page, f"webhooks-refused-{reason}").rpartition(": ")[2]
        assert [found for found, word in REASONS.items() if word in said] == [reason], said


def test_the_short_way_counts_a_refusal_once(settings: Settings) -> None:
    app = create_app(settings)
    layer = WebhookLayer(app.wsgi_app, app.extensions["gateway"], app.extensions["inbox"], {})
    app.wsgi_app = layer  # type: ignore[method-assign]  # as wsgi.py has it
    client = app.test_client()
    WAYS["signature"](client)
    assert figures(client)['fundraiser_webhooks_refused_total{reason="signature"}'] == 1
    app.database.dispose()


def test_a_webhook_is_refused_alike_while_the_database_is_away(settings: Settings) -> None:
    away = create_app(replace(settings, database_url="postgresql://postgres@127.0.0.1:9/none"))
    assert WAYS["signature"](away.test_client()).status_code in {400, 503}
    away.database.dispose()


def test_the_simulator_tells_an_application_what_ours_handles() -> None:
    assert TOLD == HANDLED


# A key that lacks a right


@pytest.fixture
def restricted(
    environment: dict[str, str], database_url: str, stripe: Stripe
) -> Iterator[Callable[..., FlaskClient]]:
    """The service with a key of these rights; the shop was set up before by a better one."""
    stripe.open_shop()
    apps = []

    def serve(key: str, *rights: str) -> FlaskClient:
        if rights:
            stripe.control("keys", key=key, rights=list(rights))
        app = create_app(
            load_settings(
                environment
                | {
                    "DATABASE_URL": database_url,
                    "STRIPE_API_BASE": stripe.url,
                    "STRIPE_API_KEY": key,
                }
            )
        )
        apps.append(app)
        return app.test_client()

    yield serve
    for app in apps:
        app.database.dispose()


def join(client: FlaskClient) -> Any:
    page = BeautifulSoup(client.get("/join").text, "html.parser")
    fields = page.select("form input[type=hidden], form input[checked]")
    form = {str(field["name"]): str(field.get("value", "")) for field in fields}
    headers = {"Origin": "http://127.0.0.1:8000", "Accept": "text/html"}
    return client.post("/join", data=form, headers=headers)


@pytest.mark.parametrize("key", ["rk_test_reads_only", "sk_test_rolled"])
def test_a_join_with_a_wrong_key_is_no_500(
    restricted: Callable[..., FlaskClient], key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rights = ["checkout_sessions:read", "products:read"] if key.startswith("rk_") else []
    client = restricted(key, *rights)
    answer = join(client)
    assert answer.status_code == 503
    assert "wrong-key-not-begun" in PageText.of(answer).marks
    logged = "".join(capfd.readouterr())
    right = "rak_checkout_session_write" if rights else "key_refused"
    assert '"event": "stripe_key_refused"' in logged
    assert '"level": "error"' in logged
    assert figures(client)[f'fundraiser_stripe_calls_forbidden_total{{right="{right}"}}'] == 1


def test_where_nobody_knows_it_nobody_is_told_that_they_were_not_charged(
    restricted: Callable[..., FlaskClient], stripe: Stripe
) -> None:
    page = stripe.checkout()
    stripe.pay(page, "paid@example.org")
    client = restricted("rk_test_writes_only", "checkout_sessions:write", "customers:read")
    stripe.control("keys", key="rk_test_writes_only", rights=["products:read"])
    answer = client.get(
        f"/join/thanks?session_id={page.rsplit('/', 1)[1]}", headers={"Accept": "text/html"}
    )
    assert answer.status_code != 500
    assert not {"wrong-key-not-begun", "not-charged"} & {*PageText.of(answer).marks}
    assert "haven’t been charged" not in answer.text


def test_staff_are_told_which_right_is_missing(
    restricted: Callable[..., FlaskClient], database: Database
) -> None:
    client = restricted("rk_test_reads_only", "products:read")
    join(client)
    sign_in(client, hire(database))
    page = read(client, "/staff")
    assert "rak_checkout_session_write" in shown(page, "rights-missing")


def test_staff_who_put_a_membership_on_offer_are_told_of_the_key(
    restricted: Callable[..., FlaskClient], database: Database
) -> None:
    client = restricted("rk_test_reads_only", "products:read", "prices:read")
    with database.transaction() as session:
        session.execute(text("UPDATE tier SET stale_at_stripe = true WHERE slug = 'member'"))
    sign_in(client, hire(database))
    form = {"csrf_token": csrf_token(client, "/staff/tiers/member")}
    answer = client.post("/staff/tiers/member/publication", data=form, follow_redirects=True)
    assert "rak_product_write" in PageText.of(answer).parts["notice-stripe-refuses"]
    assert "notice-stripe-away" not in PageText.of(answer).marks
