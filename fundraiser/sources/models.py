"""Models: sources outside our Stripe, imported files and their rows."""

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
    """A system other than our Stripe in which members pay; ``name`` prefixes its references.

    ``format`` reads its files, with the ``options`` of the last one. ``list_at`` is the date of its
    latest list: we refuse older ones. ``members`` is how many people it makes count, as of
    ``counted_at``.
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
    """The state of a file: uploaded, read, planned, applied or undone."""

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
    """What a connected service answered: all of its members, or some who changed."""

    LISTING = "listing"
    CHANGES = "changes"


class ImportBatch(Base):
    """An imported file.

    ``hash`` is of its bytes. ``problem`` is why we refused it, for staff. ``notes`` are hints for
    staff before they continue. ``counts`` are rows by outcome, ``sums`` the payments of counted
    rows by currency and interval, in the smallest unit. ``members_before`` and ``members_after``
    are the number now and afterwards. ``progress`` is the last row applied (or undone). ``peaks``
    are campaigns' highest numbers before it, which an undo restores. ``attempts`` counts attempts
    to read it. ``live`` says what a connected service answered; null for uploads.
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
    """The bytes of an unread file; deleted once it is read or discarded."""

    __tablename__ = "import_file"

    batch_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("import_batch.id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class Outcome(StrEnum):
    """What a row does to our members."""

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
    """What staff decided about a row."""

    COUNT = "count"
    IGNORE = "ignore"


class ImportRow(Base):
    """A file's row about one membership: its content, its outcome, and the previous state.

    ``number`` is its number in the file, ``lines`` how many lines it combines. ``key`` is the
    membership's reference, prefixed by the source's name. ``same_as`` is the row of the same file
    that is used instead, or that adds the person. ``counts``: whether it counts once applied.
    ``before`` is the membership's previous state, null if it was new. ``added``: it also added the
    person.
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
    card_last4: Mapped[str | None]
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
    """A keyed hash of an erased member's address, in case a list brings it back.

    We then ask staff, without saying whose it was.
    """

    __tablename__ = "erased_address"

    hash: Mapped[str] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]


class LiveSource(Base):
    """The state of a connected service that the operator has configured.

    ``tokens`` are the latest ones, encrypted; they come from the configured tokens that
    ``tokens_of`` identifies, and are renewed at ``renew_at``. A fetch holds ``lease`` until
    ``lease_until``; a later lease locks out an earlier one. A listing that started at
    ``listing_at`` continues at ``cursor``; ``expected`` is its announced number of members.
    ``batch_id`` is the file being made from the answers. ``trouble`` is the latest problem, and
    ``failing_since`` when it started.
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
    """A page of an unfinished listing; ``keys`` are its members' IDs at the source."""

    __tablename__ = "live_page"

    source: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    keys: Mapped[list[str]]
    created_at: Mapped[datetime]


class LiveChange(Base):
    """A member whom a webhook reported, to be fetched."""

    __tablename__ = "live_change"

    source: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    told_at: Mapped[datetime]
