"""Gifts in tests: a giver, a recipient, the worker and the post between them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.sweep import sweep
from fundraiser.members.addresses import enqueue_codes
from fundraiser.members.consistency import check_consistency
from fundraiser.members.counting import recount_due
from fundraiser.members.gifts import Gift
from fundraiser.members.ledger import read_balance
from tests.factories import GRACE
from tests.mail import deliver, kind_of, text_of
from tests.pages import PageText

if TYPE_CHECKING:
    from email.message import EmailMessage

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe
    from tests.mail import Postbox

OURS = {"Origin": "http://127.0.0.1:8000", "Accept": "text/html"}
GIVER, RECIPIENT = "olena@example.org", "Petro@Example.org"
CODE = re.compile(r"\b(?:[A-HJ-NP-Z2-9]{4}-){3}[A-HJ-NP-Z2-9]{4}\b")
FORM = {
    "campaign": "25000",
    "tier": "member",
    "years": "2",
    "currency": "GBP",
    "recipient_name": "Petro",
    "giver_name": "Olena",
    "recipient_email": "petro@example.org",
    "message": "For the long\nwinter evenings.",
    "to_language": "en",
    "tell": "now",
}


def said(answer: TestResponse) -> PageText:
    return PageText.of(answer)


class Shop:
    """A giver, a recipient, the worker and the post between them, at Stripe's simulator."""

    def __init__(
        self, app: FundraiserApp, stripe: Stripe, mail_server: MailServer, postbox: Postbox
    ) -> None:
        self.app, self.stripe, self.postbox = app, stripe, postbox
        self.database, self.mail_server = app.database, mail_server
        stripe.open_shop()
        # Noon, so that the e-mails that nobody waits for may leave as well.
        here = now().astimezone(current_settings().newsroom_timezone)
        noon = here.replace(hour=12, minute=0, second=0, microsecond=0)
        stripe.advance(
            seconds=((noon if noon > here else noon + timedelta(days=1)) - here).total_seconds()
        )

    def buy(self, email: str = GIVER, **form: str) -> str:
        """Send the form and pay; returns the code that the thanks page shows."""
        page = self.checkout(**form)
        answer = self.stripe.pay(page, email)
        assert answer.status_code == 303, answer.text
        thanks = urlsplit(answer.headers["Location"])
        shown = self.app.test_client().get(f"{thanks.path}?{thanks.query}", headers=OURS)
        assert shown.status_code == 200
        found = CODE.search(said(shown))
        assert found, said(shown)
        return found[0]

    def checkout(self, **form: str) -> str:
        fields = {"nonce": uuid4().hex, **FORM, **form}
        answer = self.app.test_client().post("/gift", data=fields, headers=OURS)
        assert answer.status_code == 303, said(answer)
        return answer.headers["Location"]

    def send(self, path: str, client: FlaskClient | None = None, /, **form: str) -> TestResponse:
        client = client or self.app.test_client()
        return client.post(f"/gift{path}", data=form, headers=OURS)

    def work(self) -> None:
        """What the workers do: settle, count by the clock, sweep, deliver."""
        self.stripe.settle_all()
        with self.database.transaction() as session:
            recount_due(session, GRACE)
            sweep(session)
            enqueue_codes(session)
        deliver(self.database, self.mail_server)

    def settle(self, *customers: str) -> None:
        """As after an event of each of these customers."""
        for customer in customers:
            self.stripe.settle(customer)
        self.work()

    def accept(self, code: str, email: str = RECIPIENT) -> TestResponse:
        """Accept by the code and the six digits of the e-mail; the answer is the account's."""
        client = self.app.test_client()
        assert self.send("/redeem", client, code=code).status_code == 200
        asked = self.send("/redeem/address", client, code=code, email=email)
        assert asked.headers["Location"] == "/gift/redeem/proof", said(asked)
        self.work()
        answer = self.send("/redeem/proof", client, digits=self.digits_to(email))
        self.client = client
        if answer.status_code == 303:
            return client.get("/account", headers=OURS)
        return answer

    def digits_to(self, email: str) -> str:
        """The newest six digits that were sent to an address."""
        emails = [text_of(one) for one in self.postbox.emails if is_to(one, email)]
        return str(re.findall(r"^(\d{6})\s*$", "\n".join(emails), re.MULTILINE)[-1])

    def number(self) -> int:
        """The number, after it was proved."""
        with self.database.transaction() as session:
            assert check_consistency(session, GRACE).holds
        with self.database.transaction() as session:
            return read_balance(session).members

    def gift(self) -> Gift:
        with self.database.transaction() as session:
            return session.scalars(select(Gift)).one()

    def emails_to(self, email: str) -> list[str]:
        """The kinds of the e-mails to an address, in their order."""
        with self.database.transaction() as session:
            return [
                kind_of(session, message)
                for message in self.postbox.emails
                if is_to(message, email)
            ]


def is_to(message: EmailMessage, email: str) -> bool:
    return bool(message["To"].lower() == email.lower())


@pytest.fixture
def shop(app: FundraiserApp, stripe: Stripe, mail_server: MailServer, postbox: Postbox) -> Shop:
    return Shop(app, stripe, mail_server, postbox)


def sign_in(shop: Shop, email: str) -> FlaskClient:
    client = shop.app.test_client()
    client.post("/account/sign-in", data={"email": email}, headers=OURS)
    shop.work()
    code = shop.digits_to(email)
    answer = client.post("/account/sign-in/code", data={"code": code}, headers=OURS)
    assert answer.headers["Location"] == "/account"
    return client
