"""The letters owed: a row is written in the transaction that causes the letter."""

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

from fundraiser.db import Base, Identifier, now, put
from fundraiser.jobs import Job, hint
from fundraiser.texts import language


class LetterKind(StrEnum):
    """The letters we send. The table knows nothing of the names: a kind needs no migration."""

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
    LetterKind.WELCOME,
    LetterKind.CONTRIBUTION,
    LetterKind.SECOND_MEMBERSHIP,
    LetterKind.REFUNDED,
    LetterKind.PAID_AFTER_END,
    LetterKind.BANK_TO_CONFIRM,
    LetterKind.SIGN_IN,
    LetterKind.CHANGE_OF_ADDRESS,
    LetterKind.ADDRESS_CHANGED,
    LetterKind.RECEIPT,
    LetterKind.DEBIT_FAILED,
    LetterKind.PAYMENT_FAILED_FIRST,
    LetterKind.REMINDER_CONFIRMATION,
    LetterKind.GIFT_GIVEN,
    LetterKind.GIFT_TOLD,
    LetterKind.GIFT_CODE,
    LetterKind.TO_STAFF,
}
# Their cycle names a thing at Stripe, whose customer may become somebody else's meanwhile: it is
# told once, to whom it was then. A change here needs a migration.
TOLD_ONCE = (
    LetterKind.CONTRIBUTION,
    LetterKind.SECOND_MEMBERSHIP,
    LetterKind.REFUNDED,
    LetterKind.PAID_AFTER_END,
    LetterKind.BANK_TO_CONFIRM,
    LetterKind.GIFT_GIVEN,
    LetterKind.GIFT_REMINDER,
    LetterKind.RECEIPT,
    LetterKind.DEBIT_FAILED,
    LetterKind.PAYMENT_FAILED_FIRST,
    LetterKind.PAYMENT_FAILED_DAY_0,
    LetterKind.PAYMENT_FAILED_DAY_3,
    LetterKind.PAYMENT_FAILED_DAY_7,
    LetterKind.PAYMENT_FAILED_DAY_12,
    LetterKind.PAYMENT_CONFIRMATION,
    LetterKind.CARD_EXPIRING_30_DAYS,
    LetterKind.CARD_EXPIRING_7_DAYS,
    LetterKind.RENEWAL_COMING,
    LetterKind.CANCELED,
    LetterKind.ENDED,
    LetterKind.WIN_BACK,
)
# What these carry is a key to something, so it is forgotten once the letter has left.
SECRET = {LetterKind.TO_STAFF}


class LetterState(StrEnum):
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


def _words(kinds: type[StrEnum]) -> Enum:
    """Kept as words that the table does not check."""
    return Enum(
        kinds,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


class Letter(Base):
    """A letter owed to a person, to somebody of the staff or to a reader: once in a cycle.

    ``gift_id``: to whom that gift is for, who is nobody of ours yet.

    ``due_at`` of one that is ``sending`` is when it counts as lost. ``unknown_at`` stays where such
    a letter was sent again. ``error`` is a sentence for staff.
    """

    __tablename__ = "letter"
    __table_args__ = (
        UniqueConstraint("member_id", "kind", "cycle"),
        UniqueConstraint("staff_id", "kind", "cycle"),
        UniqueConstraint("reminder_id", "kind", "cycle"),
        UniqueConstraint("gift_id", "kind", "cycle"),
        CheckConstraint(
            "num_nonnulls(member_id, staff_id, reminder_id, gift_id) = 1", name="recipient"
        ),
        Index(
            "uq_letter_told_once",
            "kind",
            "cycle",
            unique=True,
            postgresql_where=f"kind IN ({', '.join(repr(kind.value) for kind in TOLD_ONCE)})",
        ),
        Index(
            "ix_letter_due", "urgent", "due_at", postgresql_where="state IN ('queued', 'sending')"
        ),
        Index(
            "ix_letter_open",
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
    kind: Mapped[LetterKind] = mapped_column(_words(LetterKind))
    cycle: Mapped[str]
    context: Mapped[dict[str, Any]]
    urgent: Mapped[bool]
    state: Mapped[LetterState]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    unknown_at: Mapped[datetime | None]


def owe(
    session: Session,
    kind: LetterKind,
    *,
    cycle: str,
    context: dict[str, Any],
    member_id: int | None = None,
    staff_id: int | None = None,
    reminder_id: int | None = None,
    gift_id: int | None = None,
) -> None:
    """Owe one recipient this letter once; owing it again changes nothing."""
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
        "state": LetterState.QUEUED,
        "due_at": at,
        "created_at": at,
        "attempts": 0,
    }
    put(session, Letter, row)
    hint(session, Job.DELIVER)


def withdraw_queued(session: Session, member_id: int, why: str) -> None:
    """Take back what is queued for a person; ``why`` is a sentence for staff."""
    session.execute(
        update(Letter)
        .where(Letter.member_id == member_id, Letter.state == LetterState.QUEUED)
        .values(state=LetterState.WITHDRAWN, error=why)
    )


def owe_staff(
    session: Session,
    staff_id: int,
    *,
    cycle: str,
    subject: str,
    paragraphs: list[str],
    link: tuple[str, str] | None = None,
) -> None:
    """Owe somebody of the staff a letter that is written already, in the reader's language.

    ``link`` is the button's text and its address. Once the letter has left, all of it is forgotten.
    """
    owe(
        session,
        LetterKind.TO_STAFF,
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
    """What a person may want letters about, beside those about the person's own money.

    ``campaign``: milestones and last days, only to who asked for them. ``return``: one letter to
    who has left, unless it is not wanted.
    """

    CAMPAIGN = "campaign"
    RETURN = "return"


class LetterChoice(Base):
    """What a person said about the letters of a topic, when, and what was read then.

    Who said nothing has no row.
    """

    __tablename__ = "letter_choice"

    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), primary_key=True)
    topic: Mapped[Topic] = mapped_column(_words(Topic), primary_key=True)
    wanted: Mapped[bool]
    at: Mapped[datetime]
    text: Mapped[str]


def wants(session: Session, member_id: int, topic: Topic) -> bool:
    """Whether a person gets the letters of a topic."""
    said = session.scalar(
        select(LetterChoice.wanted).where(
            LetterChoice.member_id == member_id, LetterChoice.topic == topic
        )
    )
    return topic is Topic.RETURN if said is None else said


def choose_letters(
    session: Session, member_id: int, topic: Topic, *, wanted: bool, text: str
) -> None:
    """Note whether a person wants the letters of a topic; what is so already is left as it is."""
    row = {"wanted": wanted, "at": now(), "text": text}
    session.execute(
        insert(LetterChoice)
        .values(member_id=member_id, topic=topic, **row)
        .on_conflict_do_update(
            index_elements=[LetterChoice.member_id, LetterChoice.topic],
            set_=row,
            where=LetterChoice.wanted != wanted,
        )
    )


def owe_again(session: Session, letter: Letter) -> None:
    """Send a letter once more: as it is to be said then, to the address of then."""
    letter.state, letter.due_at, letter.attempts, letter.error = LetterState.QUEUED, now(), 0, None
    hint(session, Job.DELIVER)
