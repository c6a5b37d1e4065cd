"""The outbox: an e-mail to be sent is a row, written in the transaction that causes it.

Here it is known how an e-mail is kept and kept from being sent twice; what it says, and to whom
time makes it due, is in ``fundraiser.emails``.
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
from fundraiser.texts import language

if TYPE_CHECKING:
    from collections.abc import Iterable


class Recipient(StrEnum):
    """Whom an e-mail goes to: a member, a colleague, or an address that somebody left.

    ``reminder``: a reader who wants to be reminded. ``gift``: whoever that gift is for, who may be
    no member yet.
    """

    MEMBER = "member"
    STAFF = "staff"
    READER = "reminder"
    GIFT = "gift"


class OncePer(StrEnum):
    """For what an e-mail is sent once, however often it is enqueued.

    ``cause``: for its key, whoever it goes to. Its key names a thing at Stripe, whose customer may
    become somebody else's meanwhile: it is told once, to whom it was then. ``recipient``: for its
    key and recipient.
    """

    CAUSE = "cause"
    RECIPIENT = "recipient"


@dataclass(frozen=True, kw_only=True)
class OutboxKind:
    """What the outbox knows about a kind of e-mail.

    ``urgent``: somebody waits for it, so it goes before all others, at any hour, and rather twice
    than never.
    """

    name: str = ""
    to: Recipient = Recipient.MEMBER
    once_per: OncePer
    urgent: bool = False


class UnknownKindError(LookupError):
    """There is no e-mail of this name in ``fundraiser/emails/kinds``."""


_KINDS: dict[str, OutboxKind] = {}
_LONGEST_NAME = 32


def declare(kinds: Iterable[OutboxKind]) -> None:
    """Let these be enqueued. Whoever starts the app has all of ``emails/kinds`` declared."""
    for kind in kinds:
        if len(kind.name) > _LONGEST_NAME:
            raise ValueError(f"The name of an e-mail is too long: {kind.name}")
        _KINDS[kind.name] = kind


def key_for(to: Recipient, recipient_id: object, key: object) -> str:
    """The key of an e-mail that is sent once per recipient."""
    return f"{to} {recipient_id} {key}"


class EmailState(StrEnum):
    """``unknown``: we died between the server's acceptance and our note of it.

    ``withdrawn``: its reason was gone before it was sent. ``bounced``: it was sent, and came back.
    """

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"
    BOUNCED = "bounced"


class Email(Base):
    """An e-mail to be sent, or sent: once for its kind and key.

    ``due_at`` of one that is ``sending`` is when it counts as lost. ``unknown_at`` stays where such
    an e-mail was sent again. ``error`` is a sentence for staff.
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


def enqueue(
    session: Session, kind: str, *, to: int, key: str, context: dict[str, Any] | None = None
) -> None:
    """Enqueue an e-mail, once: enqueued again, it changes nothing.

    ``kind`` is the name of a file in ``fundraiser/emails/kinds``, which says whether ``to`` is the
    id of a member, a colleague, a reminder or a gift. ``key`` names what the e-mail tells of: a
    charge, a subscription, a request. ``context`` is what its body will need beside them.

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
    """Take back what is queued for a person; ``why`` is a sentence for staff."""
    session.execute(
        update(Email)
        .where(Email.member_id == member_id, Email.state == EmailState.QUEUED)
        .values(state=EmailState.WITHDRAWN, error=why)
    )


def oldest_due_email(session: Session) -> datetime | None:
    """Since when the oldest of the e-mails that somebody waits for has been due, if one is."""
    return session.scalar(
        select(func.min(Email.due_at)).where(
            Email.state == EmailState.QUEUED, Email.urgent, Email.due_at <= now()
        )
    )


def withdraw_due(session: Session, why: str) -> int:
    """Take back whatever is queued and due by now, and return how many e-mails that was."""
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
    """Enqueue an e-mail to somebody of the staff that is written already, in the reader's language.

    ``link`` is the button's text and its address. Once the e-mail has left, all of it is forgotten.
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
    """What a person may want e-mails about, beside those about the person's own money.

    ``campaign``: milestones and last days, only to who asked for them. ``return``: one e-mail to
    who has left, unless it is not wanted.
    """

    CAMPAIGN = "campaign"
    RETURN = "return"


_TOPIC = Enum(  # as text that the table does not check
    Topic,
    native_enum=False,
    create_constraint=False,
    length=32,
    values_callable=lambda topics: [topic.value for topic in topics],
)


class EmailChoice(Base):
    """What a person said about the e-mails of a topic, when, and what was read then.

    Who said nothing has no row.
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
    """Note whether a person wants the e-mails of a topic; what is so already is left as it is."""
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
    """Send an e-mail once more: as it is to be said then, to the address of then."""
    email.state, email.due_at, email.attempts, email.error = EmailState.QUEUED, now(), 0, None
    hint(session, Job.DELIVER)
