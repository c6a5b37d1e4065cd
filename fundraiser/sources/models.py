"""Sources of members outside our own Stripe, the files brought in from them, and their rows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier
from fundraiser.members.models import Interval
from fundraiser.sources.readings import Says


class ExternalSource(Base):
    """A system in which members pay that isn't our own Stripe; ``name`` begins its references.

    ``format`` reads its files, and ``options`` are how its last one was read. ``list_at`` is when
    its newest list was made: an older one is refused. ``members`` is how many people are counted by
    it as of ``counted_at``.
    """

    __tablename__ = "external_source"

    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    format: Mapped[str]
    options: Mapped[dict[str, Any]]
    list_at: Mapped[datetime | None]
    members: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    counted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class BatchState(StrEnum):
    """Where a file is on its way: uploaded, read, planned, applied; or undone."""

    UPLOADED = "uploaded"
    READING = "reading"
    PLANNED = "planned"
    APPLYING = "applying"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"
    REFUSED = "refused"
    DISCARDED = "discarded"


# In these, work goes on in the background.
AT_WORK = (BatchState.READING, BatchState.APPLYING, BatchState.UNDOING)


class Live(StrEnum):
    """What a live source answered: all of its members, or some who have changed."""

    LISTING = "listing"
    CHANGES = "changes"


class ImportBatch(Base):
    """One file, from its upload to its end.

    ``hash`` is of its bytes. ``problem`` is why it was refused, for staff. ``notes`` are what they
    should know before they go on. ``counts`` are how many rows have each outcome, ``sums`` what the
    counted ones pay by currency and interval, in the smallest unit. ``members_before`` and
    ``members_after`` are the number now, and as it would be. ``progress`` is the number of the last
    row that was applied (or undone): each step goes on behind it. ``peaks`` are the largest numbers
    that campaigns had reached before it, so that an undo gives their milestones back. ``attempts``
    counts how often reading it was begun. ``live`` says what a live source answered it with; null
    where it was uploaded.
    """

    __tablename__ = "import_batch"
    __table_args__ = (
        Index(
            "ix_import_batch_at_work",
            "id",
            postgresql_where="state IN ('reading', 'applying', 'undoing')",
        ),
        Index(
            "uq_import_batch_busy",
            "source",
            unique=True,
            postgresql_where="state IN ('applying', 'undoing')",
        ),
    )

    id: Mapped[Identifier]
    source: Mapped[str] = mapped_column(ForeignKey("external_source.name"), index=True)
    format: Mapped[str]
    state: Mapped[BatchState]
    file_name: Mapped[str]
    hash: Mapped[str]
    options: Mapped[dict[str, Any]]
    headings: Mapped[list[str]]
    notes: Mapped[list[str]]
    problem: Mapped[str | None]
    list_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any]]
    sums: Mapped[dict[str, Any]]
    members_before: Mapped[int | None]
    members_after: Mapped[int | None]
    rows: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    progress: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    done: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    peaks: Mapped[dict[str, Any]]
    live: Mapped[Live | None]
    staff_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    created_at: Mapped[datetime]
    planned_at: Mapped[datetime | None]
    applied_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]


class ImportFile(Base):
    """The bytes of a file that is still to be read; deleted as soon as it was, or was discarded."""

    __tablename__ = "import_file"

    batch_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("import_batch.id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class Outcome(StrEnum):
    """What a row does to the people that we count."""

    NEW = "new"
    RENEWED = "renewed"
    UNCHANGED = "unchanged"
    JOINED = "joined"
    GIVEN = "given"
    ENDED = "ended"
    ABSENT = "absent"
    SAME_ROW = "same_row"
    NOT_COUNTED = "not_counted"
    HELD = "held"
    REFUSED = "refused"
    SKIPPED = "skipped"


# These change something.
CHANGES = (
    *(Outcome.NEW, Outcome.RENEWED, Outcome.JOINED, Outcome.GIVEN, Outcome.ENDED),
    Outcome.ABSENT,
)


class Decision(StrEnum):
    """What staff decided of a row that only a person can judge."""

    COUNT = "count"
    IGNORE = "ignore"


class ImportRow(Base):
    """What a row of a file says of one membership, what it does, and what was there before.

    ``number`` is the row's own in the file, ``lines`` how many it stands for. ``key`` is the
    membership's reference, which begins with the source's name. ``same_as`` is the row of the same
    file that holds instead, or that adds the person. ``counts``: whether it counts once applied.
    ``before`` is the membership as it was, null where there was none. ``added``: the person too was
    added by it.
    """

    __tablename__ = "import_row"
    __table_args__ = (
        UniqueConstraint("batch_id", "number"),
        Index("ix_import_row_key", "key"),
        Index("ix_import_row_address", "address"),
        Index("ix_import_row_outcome", "batch_id", "outcome", "number"),
    )

    id: Mapped[Identifier]
    batch_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("import_batch.id", ondelete="CASCADE")
    )
    number: Mapped[int]
    lines: Mapped[int]
    says: Mapped[Says]
    why: Mapped[str]
    looks: Mapped[list[str]]
    cells: Mapped[list[str] | None] = mapped_column(JSONB)
    key: Mapped[str | None]
    email: Mapped[str | None]
    address: Mapped[str | None]
    name: Mapped[str | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    interval: Mapped[Interval | None]
    interval_count: Mapped[int]
    started_at: Mapped[datetime | None]
    counts_until: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    refunded_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None]
    counts: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    same_as: Mapped[int | None]
    decision: Mapped[Decision | None]
    decided_by: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)
    decided_at: Mapped[datetime | None]
    member_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    membership_id: Mapped[int | None] = mapped_column(BigInteger)
    before: Mapped[dict[str, Any] | None]
    added: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    applied_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]


class ErasedAddress(Base):
    """A keyed hash of an address whose owner had their account deleted: a list may bring it back.

    It is asked about then, and says nothing of whom it belonged to.
    """

    __tablename__ = "erased_address"

    hash: Mapped[str] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]


class LiveSource(Base):
    """Where asking a live source stands: one that the operator has set up.

    ``tokens`` are those that it gave us last, encrypted; they come from the settings' tokens that
    ``tokens_of`` names, and are renewed at ``renew_at``. Whoever asks holds ``lease`` until
    ``lease_until``: a later lease shuts out an earlier one. A listing that began at ``listing_at``
    goes on at ``cursor``; ``expected`` is how many members it said that there are. ``batch_id`` is
    the file on its way that was made of the answers. ``trouble`` is what was wrong last, and
    ``failing_since`` when it began.
    """

    __tablename__ = "live_source"

    name: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[bytes | None] = mapped_column(LargeBinary)
    tokens_of: Mapped[str | None]
    renew_at: Mapped[datetime | None]
    lease: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    listing_at: Mapped[datetime | None]
    cursor: Mapped[str | None]
    pages: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    expected: Mapped[int | None]
    batch_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("import_batch.id", ondelete="SET NULL"), index=True
    )
    due_at: Mapped[datetime | None]
    retry_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    failing_since: Mapped[datetime | None]
    trouble: Mapped[str | None]
    answered_at: Mapped[datetime | None]
    listed_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]


class LivePage(Base):
    """A page of a listing that isn't whole yet; ``keys`` are its members' names at the source."""

    __tablename__ = "live_page"

    source: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    keys: Mapped[list[str]]
    created_at: Mapped[datetime]


class LiveChange(Base):
    """Somebody of whom a live source's webhook told: to be asked about."""

    __tablename__ = "live_change"

    source: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    told_at: Mapped[datetime]
