"""A new Stripe key or SMTP password in the place of the old one: nobody notices.

tests/test_keys.py has SECRET_KEY, tests/test_webhooks.py the webhook secrets.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import AuthResult
from sqlalchemy import select

from fundraiser.app import create_app
from fundraiser.emails.smtp import MailServer
from fundraiser.members.ledger import read_balance
from fundraiser.outbox import EmailState
from fundraiser.payments import current_gateway
from fundraiser.payments.models import SyncRequest
from fundraiser.payments.settlement import settle_next
from tests.joining import fill_in, send, thanks_of
from tests.mail import (
    Postbox,
    deliver,
    emails_in,
    enqueue_welcomes,
    listening,
    mail_settings,
)
from tests.webhooks import deliver as call_back, event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from tests.factories import Stripe


@contextmanager
def started_with(app: FundraiserApp, **values: Any) -> Iterator[FundraiserApp]:
    """The service as its next process runs, with other settings and the same database."""
    later = create_app(replace(app.extensions["settings"], **values))
    try:
        with later.app_context():
            yield later
    finally:
        later.database.dispose()


def test_a_reader_pays_while_the_stripe_key_is_rolled(
    app: FundraiserApp, client: FlaskClient, stripe: Stripe, database: Database
) -> None:
    stripe.open_shop()
    form = fill_in(client)
    page = send(client, form).location
    with started_with(app, stripe_api_key="sk_test_the_new_one") as later:
        again = send(later.test_client(), form)
        assert again.location == page, "whoever presses twice gets the same page from both"
        assert stripe.pay(page, "olena@example.org").status_code == 303
        assert later.test_client().get(thanks_of(page)).status_code == 200
    with database.transaction() as session:
        assert read_balance(session).members == 1


def test_a_key_that_ends_before_the_new_one_is_set_costs_no_member(
    app: FundraiserApp, stripe: Stripe, database: Database
) -> None:
    stripe.open_shop()
    customer = stripe.join("olena@example.org")
    grace = app.extensions["settings"].grace
    with started_with(app, stripe_api_key="sk_test_rolled") as late:
        subscription = {"id": "sub_1", "object": "subscription", "customer": customer}
        told = event(data={"object": subscription})
        assert call_back(late.test_client(), told).status_code == 204
        settle_next(database, current_gateway(), grace)
    with database.transaction() as session:
        assert read_balance(session).members == 0
        waiting = session.scalars(select(SyncRequest)).one()
        assert waiting.due_at is not None, "it is tried again, not given up"
        waiting.due_at = waiting.created_at
    with started_with(app, stripe_api_key="sk_test_the_new_one"):
        settle_next(database, current_gateway(), grace)
    with database.transaction() as session:
        assert read_balance(session).members == 1


def test_emails_wait_for_the_new_smtp_password_and_lose_no_attempt(
    app: FundraiserApp, database: Database
) -> None:
    postbox, good = Postbox(), {b"old"}

    def authenticate(*parts: Any) -> AuthResult:
        return AuthResult(success=parts[-1].password in good)

    with listening(postbox, authenticator=authenticate, auth_require_tls=False) as place:
        before = mail_settings(app, f"smtp://us:old@{place}")
        with MailServer(before) as server:
            enqueue_welcomes(database, 1)
            deliver(database, server)
            good.clear()
            good.add(b"new")
            enqueue_welcomes(database, 1)
            deliver(database, server)
            assert len(postbox.emails) == 2, "an open connection goes on"
        with MailServer(before) as server:
            enqueue_welcomes(database, 1)
            deliver(database, server)
        last = emails_in(database)[-1]
        assert (last.state, last.attempts) == (EmailState.QUEUED, 0)
        with MailServer(mail_settings(app, f"smtp://us:new@{place}")) as server:
            deliver(database, server)
    assert len(postbox.emails) == 3
