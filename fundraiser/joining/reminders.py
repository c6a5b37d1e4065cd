"""Addresses that readers leave for one e-mail: later, or after an unfinished join."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.config import current_settings
from fundraiser.db import Base, Identifier, now
from fundraiser.errors import UnprocessableError
from fundraiser.forms import read_email
from fundraiser.members.forwarding import MOST_OF_A_NETWORK, TooOftenError, forward
from fundraiser.outbox import enqueue
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign
    from fundraiser.payments.models import Checkout

_AFTER_A_JOIN = timedelta(hours=3)
_MORNING = 9  # o'clock in the newsroom's zone
_MONTHS_AHEAD = 12
_ONE_JOIN = timedelta(days=30)  # an address that is left again within it gets no second e-mail


class ReminderKind(StrEnum):
    """How a reminder came about: requested on the page, or left by an unfinished join."""

    LATER = "later"
    UNFINISHED = "unfinished"


class Reminder(Base):
    """An address for exactly one e-mail at ``due_at``.

    Readers confirm a requested reminder by e-mail; for an unfinished join they gave consent.
    ``stopped_at``: no longer wanted.
    """

    __tablename__ = "reminder"
    __table_args__ = (
        Index(
            "uq_reminder_open",
            "campaign_slug",
            text("lower(email)"),
            unique=True,
            postgresql_where="kind = 'later' AND stopped_at IS NULL",
        ),
        Index("ix_reminder_due", "due_at", postgresql_where="stopped_at IS NULL"),
    )

    id: Mapped[Identifier]
    kind: Mapped[ReminderKind]
    email: Mapped[str]
    language: Mapped[str]
    campaign_slug: Mapped[str] = mapped_column(ForeignKey("campaign.slug"), index=True)
    checkout_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("checkout.id"), unique=True)
    due_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


def months_to_choose() -> list[datetime]:
    """The months to choose from, each as the morning of its first day."""
    here = now().astimezone(current_settings().newsroom_timezone)
    first = here.replace(day=1, hour=_MORNING, minute=0, second=0, microsecond=0)
    return [
        first.replace(
            year=first.year + (first.month + ahead) // 12, month=(first.month + ahead) % 12 + 1
        )
        for ahead in range(_MONTHS_AHEAD)
    ]


def ask_for_reminder(
    session: Session, campaign: Campaign, *, email: str, month: str, language: str, network: str
) -> None:
    """Record a reminder for a month (2027-03), and enqueue the e-mail to confirm it.

    A second request for the same campaign changes the month and sends no second e-mail.

    Raises:
        UnprocessableError: the address or the month is invalid.
        TooOftenError: this network or address has reached the daily limit.
    """
    email = read_email(email)
    due = {f"{first:%Y-%m}": first for first in months_to_choose()}.get(month)
    if due is None:
        raise UnprocessableError(_("Choose one of the coming months."), field="month")
    of_this_address = select(Reminder.id).where(
        Reminder.campaign_slug == campaign.slug,
        func.lower(Reminder.email) == func.lower(email),
        Reminder.kind == ReminderKind.LATER,
        Reminder.stopped_at.is_(None),
    )
    if session.scalars(of_this_address).first() is None:
        forward(session, network, email, most=MOST_OF_A_NETWORK)
    statement = insert(Reminder).values(
        kind=ReminderKind.LATER,
        email=email,
        language=language,
        campaign_slug=campaign.slug,
        due_at=due,
        created_at=now(),
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Reminder.campaign_slug, func.lower(Reminder.email)],
            index_where=text("kind = 'later' AND stopped_at IS NULL"),
            set_={"due_at": statement.excluded.due_at},
        )
    )
    reminder_id = session.scalars(of_this_address).one()
    enqueue(
        session,
        "reminder_confirmation",
        to=reminder_id,
        key="once",
    )


def remember_join(session: Session, checkout: Checkout, email: str, network: str) -> None:
    """Record the address of somebody who starts to join and agreed to one reminder.

    A new start replaces the previous one. People who declined such an e-mail, and addresses at the
    daily limit, get none.
    """
    last = session.scalars(
        select(Reminder)
        .where(
            func.lower(Reminder.email) == func.lower(email),
            Reminder.kind == ReminderKind.UNFINISHED,
            Reminder.created_at > now() - _ONE_JOIN,
        )
        .order_by(Reminder.id.desc())
        .limit(1)
    ).first()
    if last is not None:
        last.checkout_id, last.due_at = checkout.id, now() + _AFTER_A_JOIN
        return
    try:
        forward(session, network, email, most=MOST_OF_A_NETWORK)
    except TooOftenError:
        return
    session.execute(
        insert(Reminder)
        .values(
            kind=ReminderKind.UNFINISHED,
            email=email,
            language=checkout.language,
            campaign_slug=checkout.campaign,
            checkout_id=checkout.id,
            due_at=now() + _AFTER_A_JOIN,
            confirmed_at=now(),
            created_at=now(),
        )
        .on_conflict_do_nothing()
    )


def confirm_reminder(reminder: Reminder) -> None:
    """Confirm a reminder from its e-mail."""
    reminder.confirmed_at = reminder.confirmed_at or now()


def stop_reminder(reminder: Reminder) -> None:
    """Cancel a reminder; a new request is possible."""
    reminder.stopped_at = reminder.stopped_at or now()
