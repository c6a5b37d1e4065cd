"""The outbox: e-mails to send, written as rows in the transaction that causes them.

This module stores e-mails and prevents duplicates; ``fundraiser.emails`` decides texts and
schedules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from fundraiser.db import Base, Identifier, now, upsert
from fundraiser.jobs import Job, hint
from fundraiser.logs import current_cause
from fundraiser.texts import language

if TYPE_CHECKING:
    from collections.abc import Iterable


class Recipient(StrEnum):
    """Who gets an e-mail: a member, a member of staff, or an address that somebody left.

    ``reminder``: a reader who asked for a reminder. ``gift``: the recipient of that gift, who may
    not be a member yet.
    """

    MEMBER = "member"
    STAFF = "staff"
    READER = "reminder"
    GIFT = "gift"


class OncePer(StrEnum):
    """What limits an e-mail to one, however often it is enqueued.

    ``cause``: one for its key, whoever gets it. The key names something at Stripe, whose customer
    may later belong to another person. ``recipient``: one for its key and recipient.
    """

    CAUSE = "cause"
    RECIPIENT = "recipient"


@dataclass(frozen=True, kw_only=True)
class OutboxKind:
    """What the outbox knows about a kind of e-mail.

    ``urgent``: a person is waiting for it, so it goes first and at any hour; better twice than
    never.
    """

    name: str = ""
    to: Recipient = Recipient.MEMBER
    once_per: OncePer
    urgent: bool = False


class UnknownKindError(LookupError):
    """No file of this name exists in ``fundraiser/emails/kinds``."""


_KINDS: dict[str, OutboxKind] = {}
_LONGEST_NAME = 32


def declare(kinds: Iterable[OutboxKind]) -> None:
    """Register these kinds, so that they can be enqueued; the app does this at the start."""
    for kind in kinds:
        if len(kind.name) > _LONGEST_NAME:
            raise ValueError(f"The name of an e-mail is too long: {kind.name}")
        _KINDS[kind.name] = kind


def key_for(to: Recipient, recipient_id: object, key: object) -> str:
    """The key of an e-mail that each recipient gets once."""
    return f"{to} {recipient_id} {key}"


class EmailState(StrEnum):
    """The state of an e-mail; ``unknown``: we died after the server accepted it, maybe.

    ``withdrawn``: its reason was gone before we sent it. ``bounced``: it was sent and came back.
    """

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"
    BOUNCED = "bounced"


class Email(Base):
    """An e-mail to send, or sent: once for its kind and key.

    While ``sending``, ``due_at`` is when we treat it as lost. ``unknown_at`` stays if we send such
    an e-mail again. ``error`` is a sentence for staff. ``request_id`` is the ID of the HTTP request
    or task that caused it: its delivery logs under it.
    """

    __tablename__ = "email"
    __table_args__ = (
        UniqueConstraint("kind", "key"),
        CheckConstraint(
            "num_nonnulls(member_id, staff_id, reminder_id, gift_id) = 1", name="recipient"
        ),
        Index(
            "ix_email_due", "urgent", "due_at", postgresql_where="state IN ('queued', 'sending')"
        ),
        Index(
            "ix_email_open",
            "state",
            "id",
            postgresql_where="state NOT IN ('sent', 'withdrawn')",
        ),
    )

    id: Mapped[Identifier]
    member_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    reminder_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("reminder.id", ondelete="CASCADE"), index=True
    )
    gift_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("gift.id"), index=True)
    kind: Mapped[str] = mapped_column(String(_LONGEST_NAME))
    key: Mapped[str]
    context: Mapped[dict[str, Any]]
    urgent: Mapped[bool]
    state: Mapped[EmailState]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    unknown_at: Mapped[datetime | None]
    request_id: Mapped[str | None] = mapped_column(default=current_cause)


def enqueue(
    session: Session, kind: str, *, to: int, key: str, context: dict[str, Any] | None = None
) -> None:
    """Enqueue an e-mail once: enqueuing it again changes nothing.

    ``kind`` is the name of a file in ``fundraiser/emails/kinds``, which says whether ``to`` is the
    ID of a member, of staff, of a reminder or of a gift. ``key`` names the subject: a charge, a
    subscription, a request. ``context`` has further values for the body.

    Raises:
        UnknownKindError: there is no such file.
    """
    known = _KINDS.get(kind)
    if known is None:
        raise UnknownKindError(kind)
    at = now()
    row = {
        f"{known.to}_id": to,
        "kind": kind,
        "key": key if known.once_per is OncePer.CAUSE else key_for(known.to, to, key),
        "context": context or {},
        "urgent": known.urgent,
        "state": EmailState.QUEUED,
        "due_at": at,
        "created_at": at,
        "attempts": 0,
    }
    upsert(session, Email, row)
    hint(session, Job.DELIVER)


def withdraw_queued(session: Session, member_id: int, why: str) -> None:
    """Withdraw a person's queued e-mails; ``why`` is a sentence for staff."""
    session.execute(
        update(Email)
        .where(Email.member_id == member_id, Email.state == EmailState.QUEUED)
        .values(state=EmailState.WITHDRAWN, error=why)
    )


def oldest_due_email(session: Session) -> datetime | None:
    """Since when the oldest urgent e-mail has been due, if any."""
    return session.scalar(
        select(func.min(Email.due_at)).where(
            Email.state == EmailState.QUEUED, Email.urgent, Email.due_at <= now()
        )
    )


def withdraw_due(session: Session, why: str) -> int:
    """Withdraw all queued e-mails that are due by now; returns how many."""
    withdrawn = session.execute(
        update(Email)
        .where(Email.state == EmailState.QUEUED, Email.due_at <= now())
        .values(state=EmailState.WITHDRAWN, error=why)
        .returning(Email.id)
    )
    return len(withdrawn.all())


def enqueue_to_staff(
    session: Session,
    staff_id: int,
    *,
    key: str,
    subject: str,
    paragraphs: list[str],
    link: tuple[str, str] | None = None,
) -> None:
    """Enqueue an e-mail to staff with a finished text, in the reader's language.

    ``link`` is the button's text and URL. We delete the text once the e-mail is sent.
    """
    enqueue(
        session,
        "to_staff",
        to=staff_id,
        key=key,
        context={
            "subject": subject,
            "paragraphs": paragraphs,
            "link": link,
            "language": language(),
        },
    )


class Topic(StrEnum):
    """An optional topic of e-mails; e-mails about a person's own money have none.

    ``campaign``: milestones and last days, only for people who asked. ``return``: one e-mail to
    people who left, unless they declined.
    """

    CAMPAIGN = "campaign"
    RETURN = "return"


_TOPIC = Enum(  # stored as text without a CHECK constraint
    Topic,
    native_enum=False,
    create_constraint=False,
    length=32,
    values_callable=lambda topics: [topic.value for topic in topics],
)


class EmailChoice(Base):
    """A person's choice about a topic, when, and the text they read.

    People who made no choice have no row.
    """

    __tablename__ = "email_choice"

    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), primary_key=True)
    topic: Mapped[Topic] = mapped_column(_TOPIC, primary_key=True)
    wanted: Mapped[bool]
    at: Mapped[datetime]
    text: Mapped[str]


def wants(session: Session, member_id: int, topic: Topic) -> bool:
    """Whether a person gets the e-mails of a topic."""
    said = session.scalar(
        select(EmailChoice.wanted).where(
            EmailChoice.member_id == member_id, EmailChoice.topic == topic
        )
    )
    return topic is Topic.RETURN if said is None else said


def choose_emails(
    session: Session, member_id: int, topic: Topic, *, wanted: bool, text: str
) -> None:
    """Record whether a person wants a topic's e-mails; does nothing if unchanged."""
    row = {"wanted": wanted, "at": now(), "text": text}
    session.execute(
        insert(EmailChoice)
        .values(member_id=member_id, topic=topic, **row)
        .on_conflict_do_update(
            index_elements=[EmailChoice.member_id, EmailChoice.topic],
            set_=row,
            where=EmailChoice.wanted != wanted,
        )
    )


def enqueue_again(session: Session, email: Email) -> None:
    """Send an e-mail again, with its current text and address."""
    email.state, email.due_at, email.attempts, email.error = EmailState.QUEUED, now(), 0, None
    hint(session, Job.DELIVER)
