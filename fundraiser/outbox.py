"""The outbox: an e-mail to be sent is a row, written in the transaction that causes it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    ForeignKey,
    Index,
    UniqueConstraint,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from fundraiser.db import Base, Identifier, now, upsert
from fundraiser.jobs import Job, hint
from fundraiser.texts import language


class EmailKind(StrEnum):
    """The e-mails we send. The table knows nothing of the names: a kind needs no migration."""

    WELCOME = "welcome"
    CONTRIBUTION = "contribution"
    SECOND_MEMBERSHIP = "second_membership"
    REFUNDED = "refunded"
    PAID_AFTER_END = "paid_after_end"
    BANK_TO_CONFIRM = "bank_to_confirm"
    SIGN_IN = "sign_in"
    CHANGE_OF_ADDRESS = "change_of_address"
    ADDRESS_CHANGED = "address_changed"
    RECEIPT = "receipt"
    DEBIT_FAILED = "debit_failed"
    PAYMENT_FAILED_FIRST = "payment_failed_first"
    PAYMENT_FAILED_DAY_0 = "payment_failed_day_0"
    PAYMENT_FAILED_DAY_3 = "payment_failed_day_3"
    PAYMENT_FAILED_DAY_7 = "payment_failed_day_7"
    PAYMENT_FAILED_DAY_12 = "payment_failed_day_12"
    PAYMENT_CONFIRMATION = "payment_confirmation"
    CARD_EXPIRING_30_DAYS = "card_expiring_30_days"
    CARD_EXPIRING_7_DAYS = "card_expiring_7_days"
    RENEWAL_COMING = "renewal_coming"
    CANCELED = "canceled"
    ENDED = "ended"
    WIN_BACK = "win_back"
    UNFINISHED_JOIN = "unfinished_join"
    REMINDER_CONFIRMATION = "reminder_confirmation"
    REMINDER = "reminder"
    MILESTONE = "milestone"
    LAST_DAYS = "last_days"
    GIFT_GIVEN = "gift_given"
    GIFT_TOLD = "gift_told"
    GIFT_CODE = "gift_code"
    GIFT_REMINDER = "gift_reminder"
    GIFT_REDEEMED = "gift_redeemed"
    GIFT_ENDING = "gift_ending"
    GIFT_PAID_BACK = "gift_paid_back"
    GIFT_TAKEN_BACK = "gift_taken_back"
    TO_STAFF = "to_staff"


# Somebody waits for these: they go before all others, and at any hour.
URGENT = {
    EmailKind.WELCOME,
    EmailKind.CONTRIBUTION,
    EmailKind.SECOND_MEMBERSHIP,
    EmailKind.REFUNDED,
    EmailKind.PAID_AFTER_END,
    EmailKind.BANK_TO_CONFIRM,
    EmailKind.SIGN_IN,
    EmailKind.CHANGE_OF_ADDRESS,
    EmailKind.ADDRESS_CHANGED,
    EmailKind.RECEIPT,
    EmailKind.DEBIT_FAILED,
    EmailKind.PAYMENT_FAILED_FIRST,
    EmailKind.REMINDER_CONFIRMATION,
    EmailKind.GIFT_GIVEN,
    EmailKind.GIFT_TOLD,
    EmailKind.GIFT_CODE,
    EmailKind.TO_STAFF,
}
# Their cycle names a thing at Stripe, whose customer may become somebody else's meanwhile: it is
# told once, to whom it was then. A change here needs a migration.
TOLD_ONCE = (
    EmailKind.CONTRIBUTION,
    EmailKind.SECOND_MEMBERSHIP,
    EmailKind.REFUNDED,
    EmailKind.PAID_AFTER_END,
    EmailKind.BANK_TO_CONFIRM,
    EmailKind.GIFT_GIVEN,
    EmailKind.GIFT_REMINDER,
    EmailKind.RECEIPT,
    EmailKind.DEBIT_FAILED,
    EmailKind.PAYMENT_FAILED_FIRST,
    EmailKind.PAYMENT_FAILED_DAY_0,
    EmailKind.PAYMENT_FAILED_DAY_3,
    EmailKind.PAYMENT_FAILED_DAY_7,
    EmailKind.PAYMENT_FAILED_DAY_12,
    EmailKind.PAYMENT_CONFIRMATION,
    EmailKind.CARD_EXPIRING_30_DAYS,
    EmailKind.CARD_EXPIRING_7_DAYS,
    EmailKind.RENEWAL_COMING,
    EmailKind.CANCELED,
    EmailKind.ENDED,
    EmailKind.WIN_BACK,
)
# What these carry is a key to something, so it is forgotten once the e-mail has left.
SECRET = {EmailKind.TO_STAFF}


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


def _as_text(kinds: type[StrEnum]) -> Enum:
    """Kept as words that the table does not check."""
    return Enum(
        kinds,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


class Email(Base):
    """An e-mail to a member, to somebody of the staff or to a reader: once in a cycle.

    ``gift_id``: to whom that gift is for, who is nobody of ours yet.

    ``due_at`` of one that is ``sending`` is when it counts as lost. ``unknown_at`` stays where such
    an e-mail was sent again. ``error`` is a sentence for staff.
    """

    __tablename__ = "email"
    __table_args__ = (
        UniqueConstraint("member_id", "kind", "cycle"),
        UniqueConstraint("staff_id", "kind", "cycle"),
        UniqueConstraint("reminder_id", "kind", "cycle"),
        UniqueConstraint("gift_id", "kind", "cycle"),
        CheckConstraint(
            "num_nonnulls(member_id, staff_id, reminder_id, gift_id) = 1", name="recipient"
        ),
        Index(
            "uq_email_told_once",
            "kind",
            "cycle",
            unique=True,
            postgresql_where=f"kind IN ({', '.join(repr(kind.value) for kind in TOLD_ONCE)})",
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
    member_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("member.id"))
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"))
    reminder_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("reminder.id", ondelete="CASCADE")
    )
    gift_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("gift.id"))
    kind: Mapped[EmailKind] = mapped_column(_as_text(EmailKind))
    cycle: Mapped[str]
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
    session: Session,
    kind: EmailKind,
    *,
    cycle: str,
    context: dict[str, Any],
    member_id: int | None = None,
    staff_id: int | None = None,
    reminder_id: int | None = None,
    gift_id: int | None = None,
) -> None:
    """Enqueue this e-mail for one recipient, once: enqueued again, it changes nothing."""
    at = now()
    row = {
        "member_id": member_id,
        "staff_id": staff_id,
        "reminder_id": reminder_id,
        "gift_id": gift_id,
        "kind": kind,
        "cycle": cycle,
        "context": context,
        "urgent": kind in URGENT,
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


def enqueue_to_staff(
    session: Session,
    staff_id: int,
    *,
    cycle: str,
    subject: str,
    paragraphs: list[str],
    link: tuple[str, str] | None = None,
) -> None:
    """Enqueue an e-mail to somebody of the staff that is written already, in the reader's language.

    ``link`` is the button's text and its address. Once the e-mail has left, all of it is forgotten.
    """
    enqueue(
        session,
        EmailKind.TO_STAFF,
        staff_id=staff_id,
        cycle=cycle,
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


class EmailChoice(Base):
    """What a person said about the e-mails of a topic, when, and what was read then.

    Who said nothing has no row.
    """

    __tablename__ = "email_choice"

    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), primary_key=True)
    topic: Mapped[Topic] = mapped_column(_as_text(Topic), primary_key=True)
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
