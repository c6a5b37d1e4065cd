"""A year of days at Stripe and for us, each with its events, sweep and delivery."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.sweep import sweep
from fundraiser.joining.reminders import (
    Reminder,
)
from fundraiser.members.counting import recount_due
from fundraiser.members.models import Member
from fundraiser.outbox import Email, EmailState
from fundraiser.payments.stripe.gateway import current_gateway
from fundraiser.webhooks.catch_up import catch_up
from tests.factories import GRACE
from tests.mail import deliver
from tests.simulator_parts import IBAN_FAILS

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.factories import Stripe


class Year:
    """Days that pass at Stripe and for us, each at noon with its events, sweep and delivery."""

    def __init__(self, database: Database, server: MailServer, stripe: Stripe) -> None:
        self.database, self.server, self.stripe = database, server, stripe
        self.customers: dict[str, str] = {}
        stripe.open_shop()
        here = now().astimezone(current_settings().newsroom_timezone)
        noon = here.replace(hour=12, minute=0, second=0, microsecond=0)
        stripe.advance(seconds=(noon + timedelta(days=1) - here).total_seconds())

    def join(self, name: str, expiry: str = "12/60", **values: Any) -> None:
        page = self.stripe.checkout(**values)
        answer = self.stripe.pay(page, f"{name}@example.org", cardExpiry=expiry)
        assert answer.status_code == 303, answer.text
        self.customers[name] = self.stripe.customer_of(page)

    def debit(self, name: str, **values: Any) -> None:
        """Agree to a debit that the bank will refuse."""
        page = self.stripe.checkout(**values)
        account = {"method": "sepa_debit", "iban": IBAN_FAILS}
        assert self.stripe.pay(page, f"{name}@example.org", **account).status_code == 303

    def use_card(self, card: str, *names: str) -> None:
        for name in names:
            self.stripe.change_card(self.customers[name], card)

    def stop(self, name: str, feedback: str) -> None:
        (found,) = self.stripe.call("GET", f"subscriptions?customer={self.customers[name]}")["data"]
        why = {"cancellation_details[feedback]": feedback} if feedback else {}
        path = f"subscriptions/{found['id']}"
        self.stripe.call("POST", path, cancel_at_period_end="true", **why)

    def pay_the_bill(self, name: str) -> None:
        """As at the page that the e-mail leads to, which confirms the payment too."""
        query = f"customer={self.customers[name]}&status=open"
        (bill,) = self.stripe.call("GET", f"invoices?{query}")["data"]
        self.stripe.call("POST", f"invoices/{bill['id']}/pay")

    def pass_days(self, count: int, *, each: int = 1) -> None:
        for _ in range(0, count, each):
            self.stripe.advance(days=each)
            self.catch_up()

    def pass_days_until(self, name: str, emails: int) -> None:
        """Until so many have left to this address."""
        for _ in range(20):
            if len(self.told(name)) >= emails:
                return
            self.pass_days(1)
        pytest.fail(f"{name}: {self.kinds(name)}")

    def catch_up(self) -> None:
        is_more = True
        while is_more:
            with self.database.transaction() as session:
                is_more = catch_up(session, current_gateway(), every=timedelta())
        self.stripe.settle_all()
        with self.database.transaction() as session:
            recount_due(session, GRACE)
            sweep(session)
        deliver(self.database, self.server)

    def told(self, name: str) -> list[tuple[str, datetime]]:
        """The e-mails that left to this address, and when."""
        address = func.coalesce(Member.email, Reminder.email)
        with self.database.transaction() as session:
            found = session.execute(
                select(Email.kind, Email.sent_at)
                .outerjoin(Member, Member.id == Email.member_id)
                .outerjoin(Reminder, Reminder.id == Email.reminder_id)
                .where(address == f"{name}@example.org", Email.state == EmailState.SENT)
                .order_by(Email.sent_at, Email.id)
            ).all()
        return [(kind, at) for kind, at in found if at]

    def kinds(self, name: str) -> list[str]:
        return [kind for kind, _ in self.told(name)]
