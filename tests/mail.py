"""E-mails in tests: what is enqueued, and the other end of SMTP that takes it."""

from __future__ import annotations

import dataclasses
import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from sqlalchemy import select

from demo.servers import free_port
from fundraiser.emails.delivery import deliver_some
from fundraiser.emails.smtp import MailServer
from fundraiser.members.models import Membership
from fundraiser.outbox import Email, enqueue
from fundraiser.payments.models import CheckoutKind, Payment, PaymentStatus
from tests.factories import make_member, make_membership

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Iterator
    from email.message import EmailMessage

    from sqlalchemy.orm import Session

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.members.models import Member


class Postbox:
    """The other end of SMTP: keeps e-mails, and misbehaves as it is told.

    ``replies`` are taken one by one, by command ("MAIL", "RCPT", "DATA"). Two of them, for DATA,
    take the e-mail: "drop" then cuts the line before the answer, "hang" never answers.
    """

    def __init__(self) -> None:
        self.emails: list[EmailMessage] = []
        self.replies: dict[str, list[str]] = {}
        self.lines: set[SMTP] = set()
        self.passwords: list[bytes] = []
        self.taken = threading.Event()
        self.url = ""

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, _envelope: Any, host: str, answers: list[str]
    ) -> list[str]:
        session.host_name = host
        self.lines.add(server)
        return answers

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        reply = self._reply("MAIL")
        if reply.startswith("250"):
            envelope.mail_from = address
        return reply

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        reply = self._reply("RCPT")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Any, envelope: Any
    ) -> str:
        reply = self._reply("DATA")
        if reply.startswith("250") or reply in {"drop", "hang"}:
            source = envelope.original_content
            self.emails.append(message_from_bytes(source, policy=policy.default))
        if reply == "drop":
            cast("Transport", server.transport).abort()
        if reply == "hang":
            self.taken.set()
            await server.loop.create_future()
        return reply

    def authenticate(self, *parts: Any) -> AuthResult:
        self.passwords.append(parts[-1].password)
        return AuthResult(success=True)

    def hang_up(self) -> None:
        """Close every line, as servers do with those that are idle."""
        for line in self.lines:
            line.loop.call_soon_threadsafe(cast("Transport", line.transport).close)

    def _reply(self, command: str) -> str:
        replies = self.replies.get(command)
        return replies.pop(0) if replies else "250 OK"


@contextmanager
def listening(postbox: Postbox, port: int | None = None, **options: Any) -> Iterator[str]:
    """The postbox as a server; gives its host and port."""
    port = port or free_port()
    controller = Controller(postbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        controller.stop()


@pytest.fixture
def postbox() -> Iterator[Postbox]:
    """A mail server that takes every e-mail unless told otherwise."""
    postbox = Postbox()
    with listening(postbox) as place:
        postbox.url = f"smtp://{place}"
        yield postbox


@pytest.fixture
def mail_server(app: FundraiserApp, postbox: Postbox) -> Iterator[MailServer]:
    """The service's connection to the postbox."""
    with MailServer(mail_settings(app, postbox.url)) as server:
        yield server


def mail_settings(app: FundraiserApp, url: str) -> Settings:
    settings: Settings = app.extensions["settings"]
    return dataclasses.replace(settings, smtp_url=url)


def add_member(session: Session, **values: Any) -> Member:
    """A person who counts, by a monthly membership of £10."""
    counting = {"counting": True, "sequence": 1, "number": 16_235}
    member = make_member(session, **counting | values)
    session.add(make_membership(member, tier="member", campaign="25000"))
    session.flush()
    return member


def enqueue_welcome(session: Session, **values: Any) -> Member:
    """A new member to be welcomed."""
    member = add_member(session, **values)
    enqueue(session, "welcome", to=member.id, key=str(member.sequence))
    return member


def enqueue_welcomes(database: Database, count: int) -> None:
    with database.transaction() as session:
        for _ in range(count):
            enqueue_welcome(session, number=None)


def enqueue_thanks(session: Session, member: Member, **values: Any) -> None:
    """A contribution of €25.50 to be thanked for."""
    paid = {"status": PaymentStatus.SUCCEEDED, "amount": 2550, "refunded": 0, "currency": "EUR"}
    session.add(
        Payment(
            charge_id="ch_1",
            member_id=member.id,
            customer_id="cus_1",
            kind=CheckoutKind.CONTRIBUTION,
            paid_at=datetime(2026, 3, 3, 12, tzinfo=UTC),
            **paid | values,
        )
    )
    enqueue(session, "contribution", to=member.id, key="ch_1")


def enqueue_second(session: Session, *payments: tuple[PaymentStatus, int]) -> None:
    """A second membership of £25 a month that was ended; payments: status and what is refunded."""
    member = add_member(session)
    first = session.scalars(
        select(Membership.reference).where(Membership.member_id == member.id)
    ).one()
    for number, (status, refunded) in enumerate(payments):
        session.add(
            Payment(
                charge_id=f"ch_{number}",
                member_id=member.id,
                customer_id="cus_2",
                kind=CheckoutKind.MEMBERSHIP,
                subscription_id="sub_second",
                status=status,
                amount=2500,
                refunded=refunded,
                currency="GBP",
                paid_at=datetime(2026, 3, 3, 12, tzinfo=UTC),
            )
        )
    enqueue(
        session,
        "second_membership",
        to=member.id,
        key="sub_second",
        context={"amount": 2500, "currency": "GBP", "interval": "month", "first": first},
    )


def deliver(database: Database, server: MailServer) -> None:
    """Send whatever is due."""
    while deliver_some(database, server):
        pass


def emails_in(database: Database) -> list[Email]:
    with database.transaction() as session:
        return list(session.scalars(select(Email).order_by(Email.id)))


def only_email(database: Database) -> Email:
    (email,) = emails_in(database)
    return email


def kind_of(session: Session, message: EmailMessage) -> str:
    """Which of our e-mails this is: its Message-ID is its number in the outbox."""
    found = re.search(r"-(\d+)@", message["Message-ID"])
    assert found, message
    return str(session.get_one(Email, int(found[1])).kind)


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part
    return str(part.get_content())
