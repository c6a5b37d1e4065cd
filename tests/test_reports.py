"""Tracebacks reach Sentry from requests, tasks and libraries, without a word about anybody."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import brotli
import pytest
import sentry_sdk
import structlog
from structlog.stdlib import ProcessorFormatter

from fundraiser.app import create_app
from fundraiser.logs import configure_logging
from fundraiser.security import public

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from tests.receiver import Receiver

SECRETS = (
    *("olena@example.org", "Olena", "whsec_hidden", "cookie-of-olena", "4242424242424242"),
    *("a-link-s-token", "what-olena-typed"),
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[logging.Handler]:
    """The handlers with which logging was configured."""
    found: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **given: found.extend(given["handlers"]))
    return found


@pytest.fixture
def reporting(
    settings: Settings, receiver: Receiver, made: list[logging.Handler]
) -> Iterator[FundraiserApp]:
    """The app with a DSN; afterwards nothing is reported any more."""
    assert not made
    key = receiver.url.replace("http://", "http://key@")
    app = create_app(replace(settings, sentry_dsn=f"{key}/1"))
    yield app
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
    configure_logging(settings)
    app.database.dispose()


def reports(receiver: Receiver) -> list[dict[str, Any]]:
    sentry_sdk.flush(10)
    found = []
    for body in receiver.at("/api/1/envelope/"):
        raw = brotli.decompress(body)  # which the client uses where it is installed
        found += [json.loads(line) for line in raw.splitlines() if b'"exception"' in line]
    return found


def look_up(token: str) -> None:
    raise LookupError(f"{SECRETS[0]} {token}")


def break_down(token: str) -> None:
    name, card = SECRETS[1], SECRETS[4]
    try:
        look_up(token)
    except LookupError as error:
        raise ValueError(f"{name} {card} {SECRETS[2]}") from error


def test_a_request_that_fails_is_reported_without_what_it_is_about(
    reporting: FundraiserApp, receiver: Receiver
) -> None:
    @reporting.route("/broken")
    @public
    def broken() -> str:
        break_down(SECRETS[5])
        return ""

    client = reporting.test_client()
    client.set_cookie("member", SECRETS[3])
    answer = client.get(
        f"/broken?token={SECRETS[5]}&email={SECRETS[0]}",
        headers={"Referer": f"https://news.example/{SECRETS[6]}", "Authorization": SECRETS[2]},
    )
    assert answer.status_code == 500
    (one,) = reports(receiver)
    assert [found["type"] for found in one["exception"]["values"]] == ["LookupError", "ValueError"]
    frame = one["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    assert frame["function"] == "break_down"
    assert "vars" not in frame
    assert one["tags"]["route"] == "/broken"
    assert len(one["tags"]["request"]) == 32
    said = json.dumps(one) + "".join(map(str, receiver.got))
    assert [secret for secret in SECRETS if secret in said] == []
    assert {"request", "user", "breadcrumbs", "extra", "server_name"}.isdisjoint(one)


def test_what_a_library_or_task_logs_with_a_traceback_is_reported(
    reporting: FundraiserApp, receiver: Receiver, made: list[logging.Handler]
) -> None:
    assert reporting
    # As it is configured in a process of its own; pytest has put its handlers in the place of ours.
    (ours,) = [one for one in made if isinstance(one.formatter, ProcessorFormatter)]
    library = logging.getLogger("celery.app.trace")
    library.addHandler(ours)
    try:
        break_down(SECRETS[5])
    except ValueError as error:
        library.exception("Task for %s failed", SECRETS[0])
        library.removeHandler(ours)
        structlog.get_logger().exception("sweep_failed", job="settle")
        structlog.get_logger().error("again", exc_info=error)
        structlog.get_logger().warning("no traceback", address=SECRETS[0])
    found = reports(receiver)
    assert [one["tags"].get("event") for one in found] == [None, "sweep_failed", "again"]
    assert found[0]["tags"]["logger"] == "celery.app.trace"
    assert [secret for secret in SECRETS if secret in json.dumps(found)] == []


def test_without_a_dsn_nothing_is_reported(app: FundraiserApp) -> None:
    assert app
    assert not sentry_sdk.get_client().is_active()
    try:
        break_down("x")
    except ValueError:
        structlog.get_logger().exception("sweep_failed")
