"""Requests, calls to Stripe and e-mails are counted by what became of them, from every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from fundraiser.app import create_app
from fundraiser.measures import Measured, Measures, current_measures, read_measures
from tests.mail import deliver, enqueue_welcomes

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe
    from tests.mail import Postbox


def figures(client: FlaskClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_a_histogram_says_how_many_were_how_fast(client: FlaskClient) -> None:
    measures = current_measures()
    for seconds in (0.004, 0.2, 0.25, 99.0):
        measures.note(Measured.REQUEST, seconds, "GET", "/join", "200")
    measures.note(Measured.REQUEST, 0.2, "GET", "/join", "503")
    told = figures(client)
    name = 'fundraiser_request_seconds_{}{{{}method="GET",route="/join",status="200"}}'
    bounds = {
        bound: told[name.format("bucket", f'le="{bound}",')]
        for bound in ("0.01", "0.25", "30.0", "+Inf")
    }
    assert bounds == {"0.01": 1, "0.25": 3, "30.0": 3, "+Inf": 4}
    assert told[name.format("count", "")] == 4
    assert told[name.format("sum", "")] == pytest.approx(99.454)


def test_what_each_process_counts_is_added(client: FlaskClient, settings: Settings) -> None:
    other = create_app(settings)
    for measures in (current_measures(), other.extensions["measures"]):
        measures.note(Measured.EMAIL, 0.2, "sent")
        measures.write()
    other.database.dispose()
    assert figures(client)['fundraiser_email_sending_seconds_count{result="sent"}'] == 2


def test_what_is_counted_while_the_database_is_away_is_kept(database: Database) -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    measures = Measures(away)
    measures.note(Measured.EMAIL, 0.2, "sent")
    measures.write()
    measures.note(Measured.EMAIL, 0.2, "sent")
    measures._engine = database.side_engine  # noqa: SLF001 - it is there again
    measures.write()
    with database.transaction() as session:
        (sample,) = [
            one.value
            for family in read_measures(session)
            for one in family.samples
            if one.name.endswith("_count")
        ]
    assert sample == 2


def test_calls_to_stripe_are_counted_by_operation_and_status(
    client: FlaskClient, stripe: Stripe
) -> None:
    stripe.open_shop()
    stripe.settle(stripe.join("olena@example.org"))
    told = figures(client)
    name = "fundraiser_stripe_call_seconds_count"
    assert told[f'{name}{{operation="GET /v1/checkout/sessions/:id",status="200"}}'] >= 1
    assert not [line for line in told if "cs_" in line]


def test_emails_are_counted_by_what_became_of_them(
    client: FlaskClient, database: Database, mail_server: MailServer, postbox: Postbox
) -> None:
    postbox.replies = {"RCPT": ["250 OK", "550 5.1.1 No such user"]}
    enqueue_welcomes(database, 2)
    deliver(database, mail_server)
    told = figures(client)
    assert told['fundraiser_email_sending_seconds_count{result="sent"}'] == 1
    assert told['fundraiser_email_sending_seconds_count{result="refused"}'] == 1
