"""Launching: what is set up at Stripe, what the doctor sees there, and what a wrong key does."""

from __future__ import annotations

import resource
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from fundraiser import jobs
from fundraiser.app import create_app
from fundraiser.cli import main
from fundraiser.config import load_settings
from fundraiser.doctor.stripe import _of_rights
from fundraiser.payments.stripe.gateway import API_VERSION, current_gateway
from fundraiser.payments.stripe.rights import RIGHTS, May
from fundraiser.webhooks.inbox import HANDLED
from tests.simulator_parts import client_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from fundraiser.db import Database
    from tests.factories import Stripe
    from tests.mail import Postbox

    Command = Callable[..., Result]

ADDRESS = "http://127.0.0.1:8000/webhooks/stripe"


@pytest.fixture
def stripe_url(empty_stripe_url: str) -> str:
    return empty_stripe_url


@pytest.fixture
def fundraiser(environment: dict[str, str], database_url: str, stripe: Stripe) -> Command:
    """Type a command, with the empty simulator as Stripe."""

    def run(*words: str, typed: str | None = None, **values: str) -> Result:
        env = environment | {"DATABASE_URL": database_url, "STRIPE_API_BASE": stripe.url} | values
        return CliRunner(env=env).invoke(main, words, input=typed)

    return run


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / "production.env"


def set_up(fundraiser: Command, env_file: Path) -> None:
    result = fundraiser("stripe", "set-up", "--yes", "--write-env", str(env_file))
    assert result.exit_code == 0, result.output


def wrong(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("WRONG")]


def endpoints(stripe: Stripe) -> list[Any]:
    return list(client_of(stripe.url).v1.webhook_endpoints.list().data)


# Setting up


def test_a_new_account_is_set_up_and_then_nothing_changes(
    fundraiser: Command, stripe: Stripe, env_file: Path
) -> None:
    words = ("stripe", "set-up", "--write-env", str(env_file))
    first = fundraiser(*words, typed="y\n")
    assert first.exit_code == 0, first.output
    assert first.output.index("make a webhook endpoint") < first.output.index("Do it?")
    (made,) = endpoints(stripe)
    assert (made.url, made.status, made.api_version) == (ADDRESS, "enabled", API_VERSION)
    assert set(made.enabled_events) == HANDLED
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    secret = env_file.read_text().strip().removeprefix("STRIPE_WEBHOOK_SECRET=")
    assert secret.startswith("whsec_")
    assert secret not in first.output
    listed = client_of(stripe.url).v1.billing_portal.configurations.list().data
    assert [one.features.payment_method_update.enabled for one in listed] == [True]
    before = stripe.call("GET", "events", limit=1)["data"]
    again = fundraiser(*words)
    assert again.output == "All is at Stripe as it should be.\n"
    assert [one.id for one in endpoints(stripe)] == [made.id]
    assert stripe.call("GET", "events", limit=1)["data"] == before
    assert env_file.read_text() == f"STRIPE_WEBHOOK_SECRET={secret}\n"


def test_nothing_is_done_unless_somebody_says_yes(
    fundraiser: Command, stripe: Stripe, env_file: Path
) -> None:
    result = fundraiser("stripe", "set-up", "--write-env", str(env_file), typed="n\n")
    assert result.exit_code == 1
    assert endpoints(stripe) == []
    assert not env_file.exists()


def test_a_secret_needs_a_file_to_go_to(
    fundraiser: Command, stripe: Stripe, tmp_path: Path
) -> None:
    result = fundraiser("stripe", "set-up", "--yes")
    assert result.exit_code == 1
    assert "--write-env FILE" in result.output
    nowhere = fundraiser(
        *("stripe", "set-up", "--yes", "--write-env", str(tmp_path / "no" / "folder" / ".env"))
    )
    assert "can't be written" in nowhere.output
    assert endpoints(stripe) == []


def test_a_secret_replaces_the_one_before_and_leaves_the_rest(
    fundraiser: Command, env_file: Path
) -> None:
    env_file.write_text("PORT=8000\nSTRIPE_WEBHOOK_SECRET=whsec_old\nLOG_LEVEL=INFO")
    set_up(fundraiser, env_file)
    first, secret, last = env_file.read_text().splitlines()
    assert (first, last) == ("PORT=8000", "LOG_LEVEL=INFO")
    assert secret.startswith("STRIPE_WEBHOOK_SECRET=whsec_")
    assert "whsec_old" not in secret
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600


def test_what_somebody_changed_at_stripe_is_repaired(
    fundraiser: Command, stripe: Stripe, env_file: Path
) -> None:
    set_up(fundraiser, env_file)
    client = client_of(stripe.url)
    (made,) = endpoints(stripe)
    client.v1.webhook_endpoints.update(
        made.id, {"disabled": True, "enabled_events": ["invoice.paid", "product.created"]}
    )
    (portal,) = client.v1.billing_portal.configurations.list().data
    off: Any = {"features": {"payment_method_update": {"enabled": False}}}
    client.v1.billing_portal.configurations.update(portal.id, off)
    told = " ".join(wrong(fundraiser("doctor")))
    assert "is disabled: run fundraiser stripe set-up" in told
    assert f"{portal.id}, our portal at Stripe, was changed" in told
    result = fundraiser("stripe", "set-up", "--yes")  # nothing new, so no secret to be told
    assert result.exit_code == 0, result.output
    (repaired,) = endpoints(stripe)
    assert (repaired.id, repaired.status) == (made.id, "enabled")
    assert set(repaired.enabled_events) == HANDLED | {"product.created"}
    (portal,) = client.v1.billing_portal.configurations.list().data
    assert portal.features.payment_method_update.enabled


def test_the_portal_is_opened_on_an_account_where_nobody_clicked_anything(stripe: Stripe) -> None:
    stripe.open_shop()
    customer = stripe.join("portal@example.org")
    stripe.control("portal-settings", forget=True)
    gateway: Any = current_gateway()
    assert gateway.open_portal(customer, "http://127.0.0.1:8000/account").startswith("http")
    (made,) = client_of(stripe.url).v1.billing_portal.configurations.list().data
    assert gateway.portal_configuration() == made.id
    # Somebody switches it off at Stripe while the process runs.
    client_of(stripe.url).v1.billing_portal.configurations.update(made.id, {"active": False})
    assert gateway.open_portal(customer, "http://127.0.0.1:8000/account").startswith("http")
    assert gateway.portal_configuration() != made.id


def test_an_account_that_is_not_the_members_is_refused(
    fundraiser: Command, stripe: Stripe, env_file: Path
) -> None:
    stripe.open_shop()
    set_up(fundraiser, env_file)
    stripe.control("choices", account="acct_1Another")
    try:
        result = fundraiser("stripe", "set-up", "--yes")
    finally:
        stripe.control("choices", account=None)
    assert result.exit_code == 1
    assert "acct_1Another, and this database belongs to another account" in result.output


# The doctor


def test_the_doctor_finds_everything_well(
    fundraiser: Command, stripe: Stripe, database: Database, postbox: Postbox, env_file: Path
) -> None:
    stripe.open_shop()
    set_up(fundraiser, env_file)
    with database.transaction() as session:
        jobs.beat(session, "worker")
    result = fundraiser("doctor", SMTP_URL=postbox.url)
    assert result.exit_code == 0, result.output
    assert wrong(result) == []
    assert f"Stripe sends what is needed to {ADDRESS}." in result.output


def test_the_doctor_sees_a_missing_endpoint_and_one_that_leads_elsewhere(
    fundraiser: Command, stripe: Stripe
) -> None:
    told = wrong(fundraiser("doctor"))
    assert any(f"Stripe has no endpoint for {ADDRESS}" in line for line in told)
    client_of(stripe.url).v1.webhook_endpoints.create(
        {"url": "https://old.example/webhooks/stripe", "enabled_events": ["*"]}
    )
    told = wrong(fundraiser("doctor"))
    assert any("Stripe calls https://old.example/webhooks/stripe instead" in one for one in told)


def test_the_doctor_sees_what_an_endpoint_lacks_and_how_it_sends(
    fundraiser: Command, stripe: Stripe
) -> None:
    client = client_of(stripe.url)
    some: Any = sorted(HANDLED)[3:]
    version: Any = "2025-03-31.basil"
    one = client.v1.webhook_endpoints.create({"url": ADDRESS, "enabled_events": some})
    told = " ".join(wrong(fundraiser("doctor")))
    assert f"is not sent {', '.join(sorted(HANDLED)[:3])}: run" in told
    client.v1.webhook_endpoints.delete(one.id)
    two = client.v1.webhook_endpoints.create(
        {"url": ADDRESS, "enabled_events": ["*"], "api_version": version}
    )
    result = fundraiser("doctor")
    assert f"to {ADDRESS}, in {version}, which will do." in result.output
    three = client.v1.webhook_endpoints.create({"url": ADDRESS, "enabled_events": ["*"]})
    thin = stripe.control("endpoints", url=ADDRESS, enabled_events=["*"], payload="thin")
    told = " ".join(wrong(fundraiser("doctor")))
    assert f"sends each event 2 times to {ADDRESS}" in told
    assert two.id in told
    assert three.id in told
    assert f"{thin['id']} sends us thin payloads" in told


def test_an_endpoint_of_thin_payloads_alone_is_none(
    fundraiser: Command, stripe: Stripe, env_file: Path
) -> None:
    stripe.control("endpoints", url=ADDRESS, enabled_events=["*"], payload="thin")
    assert any("Stripe has no endpoint" in line for line in wrong(fundraiser("doctor")))
    set_up(fundraiser, env_file)
    assert len(endpoints(stripe)) == 1


@pytest.mark.parametrize(("skew", "where"), [(400, "behind"), (-90, "ahead of")])
def test_the_doctor_sees_a_clock_that_is_off(
    fundraiser: Command, stripe: Stripe, skew: int, where: str
) -> None:
    stripe.control("faults", clock_skew=skew)
    try:
        told = " ".join(wrong(fundraiser("doctor")))
    finally:
        stripe.control("faults", clock_skew=0)
    assert "clock is " in told
    assert f"seconds {where} Stripe's" in told


# Keys


def test_the_doctor_names_each_right_that_a_key_lacks(fundraiser: Command, stripe: Stripe) -> None:
    rights = [f"{one.name}:{'write' if one.writes else 'read'}" for one in RIGHTS]
    key = "rk_test_all_it_needs"
    stripe.control("keys", key=key, rights=rights)
    result = fundraiser("doctor", STRIPE_API_KEY=key)
    assert "takes the key, and lets it do what is needed" in result.output
    few = set(rights) - {"refunds:write", "charges:read", "checkout_sessions:write"}
    stripe.control("keys", key="rk_test_some", rights=sorted(few))
    result = fundraiser("doctor", STRIPE_API_KEY="rk_test_some")
    assert (
        "STRIPE_API_KEY may not read charges and may not write refunds, checkout_sessions"
        in result.output
    )


def test_each_right_stands_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "going-live.md").read_text()
    for name in {right.name for right in RIGHTS}:
        level = "write" if any(one.writes for one in RIGHTS if one.name == name) else "read"
        assert f"| `{name}` | {level} |" in page


def test_to_try_the_rights_changes_nothing(fundraiser: Command, stripe: Stripe) -> None:
    before = stripe.call("GET", "events", limit=1)["data"]
    fundraiser("doctor", STRIPE_API_KEY="rk_test_of_all_rights")
    assert stripe.call("GET", "events", limit=1)["data"] == before


def test_where_a_right_can_not_be_told_the_doctor_says_so() -> None:
    found = _of_rights([("products", True, May.YES), ("prices", True, May.UNKNOWN)])
    assert not found.is_well
    assert "may write prices can't be told" in found.sentence


def test_a_key_that_was_rolled_is_named(fundraiser: Command) -> None:
    told = " ".join(wrong(fundraiser("doctor", STRIPE_API_KEY="sk_test_rolled")))
    assert "Stripe refuses STRIPE_API_KEY: it was rolled" in told


# Limits


def test_a_sandboxs_limit_of_all_calls_is_kept(
    stripe: Stripe, environment: dict[str, str], database_url: str
) -> None:
    stripe.open_shop()
    customer = stripe.join("limits@example.org")
    app = create_app(
        load_settings(
            environment
            | {
                "DATABASE_URL": database_url,
                "STRIPE_API_BASE": stripe.url,
                "STRIPE_CALLS_PER_SECOND": "24",
            }
        )
    )
    gateway: Any = app.extensions["gateway"]
    time.sleep(1.1)  # what the test before has used up of a second
    stripe.control("choices", rate_limits="sandbox")
    try:
        with app.app_context(), pytest.MonkeyPatch.context() as patch:
            # The library's own retries would hide that a limit was met.
            patch.setattr(gateway, "_client", gateway._prompt)  # noqa: SLF001 - it has none
            for _ in range(12):  # four endpoints each
                gateway.fetch_customer(customer)
    finally:
        stripe.control("choices", rate_limits=None)
        app.database.dispose()


def test_another_secret_key_is_noticed_until_it_is_accepted(fundraiser: Command) -> None:
    assert not [line for line in wrong(fundraiser("doctor")) if "SECRET_KEY" in line]
    other = {"SECRET_KEY": "another-key-0123456789-abcdefghijklmnop"}
    assert any("SECRET_KEY lacks a key" in line for line in wrong(fundraiser("doctor", **other)))
    assert not [line for line in wrong(fundraiser("doctor")) if "SECRET_KEY" in line]
    assert fundraiser("accept-secret-key", **other).exit_code == 0
    assert not [line for line in wrong(fundraiser("doctor", **other)) if "SECRET_KEY" in line]


def test_a_low_limit_of_open_files_is_told(
    fundraiser: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    assert any("may open 1024 files" in line for line in wrong(fundraiser("doctor")))
