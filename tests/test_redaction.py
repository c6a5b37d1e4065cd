"""No log holds a reader's address or name: real errors of web and worker, and what they log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text

from fundraiser.db import now
from fundraiser.joining.reminders import months_to_choose
from fundraiser.members.models import Member
from fundraiser.payments.models import SyncRequest
from fundraiser.payments.queue import request_sync
from fundraiser.redaction import PLACEHOLDER, redact, redact_all
from tests.conftest import ROOT
from tests.members import OURS

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.db import Database
    from tests.factories import Stripe


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        ("smtp; 550 5.1.1 <olena@example.org>: no such user", "smtp; 550 5.1.1 <[address]>: no"),
        ("Key (address)=(olena@example.org) already exists.", "Key (address)=([address]) already"),
        ('{"email":"olena@example.org","id":1}', '{"email":"[address]","id":1}'),
        ("GET /a?email=olena@example.org&b=1", "GET /a?email=[address]&b=1"),
        ("олена@приклад.укр написала", "[address] написала"),
        ('  File "app.py", line 3\n    @cache\n', '  File "app.py", line 3\n    @cache\n'),
        ("no address\n at all", "no address\n at all"),
    ],
)
def test_an_address_is_replaced_and_what_stands_around_it_stays(written: str, logged: str) -> None:
    assert redact(written).startswith(logged)


def test_a_long_text_is_redacted_in_time_linear_in_its_length() -> None:
    began = time.process_time()
    redact("a@" * 500_000 + ("." * 999 + "@") * 500)
    assert time.process_time() - began < 2


def test_addresses_are_found_in_lists_and_objects_as_well() -> None:
    told = {"a": ["olena@example.org", 1], "b": ValueError("olena@example.org"), "c": None}
    assert redact_all(told) == {"a": [PLACEHOLDER, 1], "b": PLACEHOLDER, "c": None}


def test_an_error_of_a_page_is_logged_without_the_readers_data(
    stripe: Stripe, client: FlaskClient, capfd: pytest.CaptureFixture[str]
) -> None:
    stripe.open_shop()
    with stripe.app.database.transaction() as session:
        # A check that fails makes PostgreSQL quote the whole row.
        session.execute(text("ALTER TABLE reminder ADD CHECK (language = 'xx')"))
    form = {"email": "olena.koval@example.org", "month": f"{months_to_choose()[0]:%Y-%m}"}
    answer = client.post("/campaigns/25000/reminder", data=form, headers=OURS)
    assert answer.status_code == 500
    logged = "".join(capfd.readouterr())
    assert '"event": "unforeseen"' in logged
    assert "CheckViolation" in logged
    assert "INSERT INTO reminder" in logged
    assert_nothing_personal(logged + answer.text)


def test_a_settlement_that_fails_is_logged_without_the_readers_data(
    stripe: Stripe, capfd: pytest.CaptureFixture[str]
) -> None:
    stripe.open_shop()
    customer = stripe.join("olena.koval@example.org")
    stripe.call("POST", f"customers/{customer}", name="Olena Koval")
    with stripe.app.database.transaction() as session:
        session.execute(text("ALTER TABLE member ADD CHECK (name IS NULL)"))
        request_sync(session, customer)
    stripe.settle_all()
    logged = "".join(capfd.readouterr())
    assert '"event": "settlement_failed"' in logged
    assert "CheckViolation" in logged
    with stripe.app.database.transaction() as session:
        error = session.scalars(select(SyncRequest.error)).one()
    assert_nothing_personal(logged + str(error))


_TASK = """
from celery import shared_task
from fundraiser.db import now
from fundraiser.members.models import Member
from workers.tasks import flask_app

@shared_task
def fail():
    with flask_app.database.transaction() as session:
        session.add(
            Member(email="olena.koval@example.org", name="Olena Koval", language="en",
                   created_at=now())
        )

fail.apply()
flask_app.logger.error("A library speaks of olena.koval@example.org.")
"""


def test_an_error_of_a_worker_is_logged_without_the_readers_data(
    database: Database, environment: dict[str, str], database_url: str
) -> None:
    with database.transaction() as session:
        session.add(
            Member(email="Olena.Koval@example.org", language="en", created_at=now(), name="O")
        )
    done = subprocess.run(
        [sys.executable, "-c", _TASK],
        cwd=ROOT,
        env=os.environ | environment | {"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    logged = done.stdout + done.stderr
    assert "UniqueViolation" in logged
    assert "INSERT INTO member" in logged
    assert "A library speaks of [address]" in logged.splitlines()[-1]
    assert_nothing_personal(logged)


def assert_nothing_personal(logged: str) -> None:
    assert "olena" not in logged.lower()
    assert "koval" not in logged.lower()
