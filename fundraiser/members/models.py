"""Models: people, memberships, consents and the ledger."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from fundraiser.db import Base, Currency, Identifier

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.engine.default import DefaultExecutionContext


class Source(StrEnum):
    """Where a membership comes from."""

    STRIPE = "stripe"
    GIFT = "gift"
    IMPORT = "import"
    COMPLIMENTARY = "complimentary"


class Status(StrEnum):
    """Stripe's subscription status; memberships from elsewhere are active or canceled."""

    ACTIVE = "active"
    PAST_DUE = "past_due"
    TRIALING = "trialing"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


# A subscription with one of these statuses is never paid again.
ENDED = (Status.CANCELED, Status.INCOMPLETE_EXPIRED)
# Where a source doesn't say what is paid: the smallest unit, as the rule asks for more than zero.
UNKNOWN_AMOUNT = 1


class Dues(StrEnum):
    """The payment state of a membership, from its invoices.

    ``paid``: the latest finished invoice is paid (a renewal may be a draft or processing).
    ``free``: it was for nothing, as in a trial. ``in_process``: the first payment ever is
    processing. ``overdue``: it is unpaid, and an earlier one was paid. ``nothing``: nothing was
    ever paid.
    """

    PAID = "paid"
    FREE = "free"
    IN_PROCESS = "in_process"
    OVERDUE = "overdue"
    NOTHING = "nothing"


class Interval(StrEnum):
    """How often a membership is paid; we sell those in ``SOLD``, imports have others."""

    MONTH = "month"
    YEAR = "year"
    WEEK = "week"
    DAY = "day"


SOLD = (Interval.MONTH, Interval.YEAR)
PER_YEAR = {Interval.MONTH: 12, Interval.YEAR: 1, Interval.WEEK: 52, Interval.DAY: 365}


def fold_address(email: str) -> str:
    """Normalise an e-mail address, so that case and alphabet don't matter.

    A domain in Punycode (xn--…) equals the same domain in Unicode.
    """
    local, at, domain = email.rpartition("@")
    if "xn--" in domain.lower():
        with suppress(UnicodeError):
            domain = domain.encode().decode("idna")
    folded = unicodedata.normalize("NFC", f"{local}{at}{domain}").casefold()
    return unicodedata.normalize("NFC", folded)


def _row(context: DefaultExecutionContext) -> dict[str, Any]:
    found: dict[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call] # as SQLAlchemy has it
    return found


def _paid(context: DefaultExecutionContext) -> bool:
    return _row(context).get("paid_at") is not None


def _folded(context: DefaultExecutionContext) -> str | None:
    email = _row(context)["email"]
    return fold_address(email) if email else None


# The text in which staff search for people; the index and the search use the same expression.
# ``search_text`` and ``search_parts`` are functions in the database (migration 0060).
MEMBER_TEXT = "(COALESCE(name, '') || ' ') || COALESCE(email, '')"
MEMBER_PARTS = f"search_parts({MEMBER_TEXT})"


# An address without dots and tag; index and search must use the same expression.
MEMBER_ALIKE = (
    "regexp_replace(replace(replace(address, '.', ''), 'googlemail', 'gmail'), '[+][^@]*', '')"
)


def alike(of: type[Member]) -> ColumnElement[str]:
    """An address without dots and tag, which many mail providers ignore."""

    def word(text: str) -> ColumnElement[str]:
        return literal_column(f"'{text}'", String)

    plain = func.replace(of.address, word("."), word(""))
    plain = func.replace(plain, word("googlemail"), word("gmail"))
    return func.regexp_replace(plain, word("[+][^@]*"), word(""), type_=String)


class Member(Base):
    """A person: one e-mail address, ignoring case, and one or more Stripe customers.

    ``address`` is ``email`` normalised by ``fold_address``, for finding people. ``number`` is the
    order in which people first counted: assigned once and kept. ``counting`` is what the person's
    latest ledger row says; ``recount_at`` is when time may change that; ``sequence`` is the
    person's number of ledger rows. ``supporter_since`` is when the person agreed to be named
    publicly, by the latest consent; ``supporter_closed_at`` is since when staff hide the name.
    ``supporter_name`` is the approved name, if staff review names. ``invite_code`` is in the
    person's invitation link, if any; ``invited_by`` is whose link led here (no foreign key, which
    would lock the inviter's row).
    """

    __tablename__ = "member"
    __table_args__ = (
        Index("uq_member_address", "address", unique=True),
        Index("ix_member_recount_at", "recount_at", postgresql_where="recount_at IS NOT NULL"),
        Index("ix_member_counting", "id", postgresql_where="counting"),
        Index("ix_member_never", "id", postgresql_where="number IS NULL"),
        Index("ix_member_parts", text(MEMBER_PARTS), postgresql_using="gin"),
        Index("ix_member_joined", text("coalesce(first_counted_at, created_at)"), "id"),
        Index("ix_member_by_name", text("lower(coalesce(name, email, ''))"), "id"),
        Index("ix_member_alike", text(MEMBER_ALIKE), postgresql_where="counting"),
        Index("ix_member_country", "country"),
        Index(
            "ix_member_supporter",
            "supporter_since",
            postgresql_where="counting AND supporter_since IS NOT NULL AND name IS NOT NULL",
        ),
        Index("ix_member_invited_by", "invited_by", postgresql_where="invited_by IS NOT NULL"),
    )

    id: Mapped[Identifier]
    email: Mapped[str | None]
    address: Mapped[str | None] = mapped_column(default=_folded)
    name: Mapped[str | None]
    country: Mapped[str | None]
    language: Mapped[str]
    number: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    counting: Mapped[bool] = mapped_column(default=False)
    sequence: Mapped[int] = mapped_column(default=0)
    recount_at: Mapped[datetime | None]
    first_counted_at: Mapped[datetime | None]
    supporter_since: Mapped[datetime | None]
    supporter_closed_at: Mapped[datetime | None]
    supporter_name: Mapped[str | None]
    invite_code: Mapped[str | None] = mapped_column(unique=True)
    invited_by: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]

    memberships: Mapped[list[Membership]] = relationship(
        back_populates="member", order_by="Membership.started_at", lazy="raise"
    )

    @validates("email")
    def _fold(self, _name: str, email: str | None) -> str | None:
        self.address = fold_address(email) if email else None
        return email


class Membership(Base):
    """A membership from any source, with the facts that the counting rule reads.

    ``amount`` is the charge each ``interval_count`` intervals, after discounts; ``price`` is the
    list price, null if unknown, and ``discount_until`` the end of a discount. ``credit`` is the
    customer's credit at Stripe in this currency, which pays the next invoices. ``cancel_at``: it
    ends then, unless somebody changes that. ``paid_until`` is the end of the latest paid period,
    ``free_until`` the end of a free period, ``has_paid`` whether anything was ever paid and kept.
    ``grace_from``: the first failure (or due date) in an unbroken series of unpaid invoices.
    ``refunded_at`` and ``disputed_at`` concern the payment for the current period. ``moved_at`` is
    when we found it on a product that is no membership. ``method`` is Stripe's payment method type.
    ``counts_until``: the end of a gift, or an import's paid-through date. ``reference`` is its ID
    at its source (Stripe's subscription ID). ``duplicate_of`` is the membership to which this one
    was a duplicate.

    For e-mails: the charged card (``card_expires_at`` is the first moment at which it no longer
    works), ``pay_url`` to pay the overdue invoice, ``due`` the amount it still asks for,
    ``next_attempt_at`` when Stripe retries, ``needs_confirmation`` if the bank wants the payer to
    confirm, and Stripe's reason for the end. ``cancel_comment`` is what the member wrote when
    cancelling. ``origin`` is the source outside Stripe of an import.
    ``cancel_wanted_at`` is when the member asked to cancel and Stripe refused: staff handle it.
    """

    __tablename__ = "membership"
    __table_args__ = (
        UniqueConstraint("source", "reference"),
        CheckConstraint("amount >= 0", name="amount"),
        *(
            Index(f"ix_membership_{name}", name, postgresql_where=f"{name} IS NOT NULL")
            for name in ("grace_from", "card_expires_at", "canceled_at", "ended_at")
        ),
        Index(
            "ix_membership_commented",
            "canceled_at",
            postgresql_where="cancel_comment IS NOT NULL",
        ),
        Index("ix_membership_renewal", "period_end", postgresql_where="interval = 'year'"),
        Index("ix_membership_gift_end", "counts_until", postgresql_where="source = 'gift'"),
        Index(
            "ix_membership_card",
            "card_last4",
            "member_id",
            postgresql_where="card_last4 IS NOT NULL",
        ),
        Index("ix_membership_tier", "tier"),
        Index("ix_membership_currency", "currency"),
        Index("ix_membership_campaign", "campaign"),
        Index("ix_membership_ref", "ref"),
        Index("ix_membership_utm", "utm"),
        Index(
            "ix_membership_origin",
            "origin",
            "counts_until",
            postgresql_where="origin IS NOT NULL",
        ),
        Index(
            "ix_membership_cancel_wanted",
            "member_id",
            postgresql_where="cancel_wanted_at IS NOT NULL",
        ),
        Index("ix_membership_overdue", "member_id", postgresql_where="status = 'past_due'"),
        Index(
            "ix_membership_unpaid",
            "member_id",
            postgresql_where="payment_status = 'overdue' AND ended_at IS NULL",
        ),
        Index(
            "ix_membership_complimentary", "member_id", postgresql_where="source = 'complimentary'"
        ),
        Index(
            "ix_membership_leaving",
            "cancel_at",
            "member_id",
            postgresql_where="cancel_at IS NOT NULL AND ended_at IS NULL",
        ),
    )

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    source: Mapped[Source]
    reference: Mapped[str]
    customer_id: Mapped[str | None] = mapped_column(index=True)
    tier: Mapped[str | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[Currency]
    price: Mapped[int | None] = mapped_column(BigInteger)
    interval: Mapped[Interval | None]
    interval_count: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    status: Mapped[Status]
    payment_status: Mapped[Dues]
    collection_paused: Mapped[bool] = mapped_column(default=False)
    resumes_at: Mapped[datetime | None]
    started_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    paid_until: Mapped[datetime | None]
    has_paid: Mapped[bool] = mapped_column(default=_paid, server_default=text("false"))
    free_until: Mapped[datetime | None]
    discount_until: Mapped[datetime | None]
    credit: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    moved_at: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    cancel_wanted_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    grace_from: Mapped[datetime | None]
    refunded_at: Mapped[datetime | None]
    disputed_at: Mapped[datetime | None]
    counts_until: Mapped[datetime | None]
    duplicate_of: Mapped[str | None]
    method: Mapped[str | None]
    schedule_id: Mapped[str | None]
    collection_method: Mapped[str | None]
    card_last4: Mapped[str | None]
    card_expires_at: Mapped[datetime | None]
    pay_url: Mapped[str | None]
    due: Mapped[int | None] = mapped_column(BigInteger)
    next_attempt_at: Mapped[datetime | None]
    needs_confirmation: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    cancel_reason: Mapped[str | None]
    cancel_feedback: Mapped[str | None]
    cancel_comment: Mapped[str | None]
    campaign: Mapped[str | None]
    ref: Mapped[str | None]
    utm: Mapped[str | None]
    origin: Mapped[str | None]

    member: Mapped[Member] = relationship(back_populates="memberships", lazy="raise")


class MemberAlias(Base):
    """Another address of a person, from a merged record."""

    __tablename__ = "member_alias"

    address: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)


class ConsentKind(StrEnum):
    """What a person may agree to, separately."""

    SUPPORTERS = "roster"
    INVITER = "inviter"


class Consent(Base):
    """A consent or its withdrawal; ``text`` is what the person read.

    The latest row of each kind is in force.
    """

    __tablename__ = "consent"

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    kind: Mapped[ConsentKind]
    given: Mapped[bool]
    text: Mapped[str]
    at: Mapped[datetime]


class Note(Base):
    """A note by staff about a person, and the audit log entry that it explains.

    Personal values are here and not in the audit log, because we can erase them here.
    """

    __tablename__ = "member_note"

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    audit_entry_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("audit_entry.id"), index=True
    )
    text: Mapped[str]


class Cause(StrEnum):
    """What made us recount a person, as the ledger records it."""

    STRIPE = "stripe"
    CLOCK = "clock"
    IMPORT = "import"
    STAFF = "staff"
    MERGE = "merge"
    ERASURE = "erasure"
    RULE = "rule"
    GIFT = "gift"


# Causes that aren't a reader's own action; index and query must use the same condition.
NOT_READERS = (Cause.IMPORT, Cause.MERGE, Cause.ERASURE, Cause.RULE)
MOVED_BY_NO_READER = "cause IN ('import', 'merge', 'erasure', 'rule')"


class LedgerHead(Base):
    """The single row with the latest balance and version; its lock puts changes in order."""

    __tablename__ = "ledger_head"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint("balance >= 0", name="balance"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)
    numbers_given: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime]


class LedgerEntry(Base):
    """A person started (+1) or stopped (-1) counting; a trigger refuses any change of a row.

    ``version`` has no gaps. A person's ``sequence`` 1, 3, 5 … is +1 and 2, 4, 6 … is -1, so that
    the database itself refuses to count a person twice.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        UniqueConstraint("member_id", "sequence"),
        CheckConstraint(
            "change = CASE WHEN mod(sequence, 2) = 1 THEN 1 ELSE -1 END", name="change"
        ),
        CheckConstraint("balance >= 0", name="balance"),
        CheckConstraint("sequence >= 1", name="sequence"),
        Index("ix_ledger_recorded_at", "recorded_at"),
        Index("ix_ledger_happened_at", "happened_at"),
        Index("ix_ledger_import", "happened_at", postgresql_where="cause = 'import'"),
        Index("ix_ledger_moved", "recorded_at", postgresql_where=MOVED_BY_NO_READER),
        Index("ix_ledger_reached", "balance", "version", postgresql_where="change = 1"),
    )

    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"))
    sequence: Mapped[int]
    change: Mapped[int]
    balance: Mapped[int] = mapped_column(BigInteger)
    cause: Mapped[Cause]
    cause_ref: Mapped[str | None]
    reason: Mapped[str]
    rule: Mapped[str]
    happened_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class DriftKind(StrEnum):
    """The kinds of drift: which two records differ.

    ``balance``: the head and the ledger's rows. ``ledger``: a person's row and their ledger rows.
    ``rule``: the ledger and the rule. ``stripe``: our data and Stripe's.
    """

    BALANCE = "balance"
    LEDGER = "ledger"
    RULE = "rule"
    STRIPE = "stripe"


class Drift(Base):
    """A difference between two records that must match: shown to staff, never corrected silently.

    ``detail`` explains it in a sentence. ``gone_at`` is when both matched again.
    """

    __tablename__ = "drift"
    __table_args__ = (
        Index(
            "uq_drift_open",
            "kind",
            "member_id",
            "customer_id",
            unique=True,
            postgresql_where="gone_at IS NULL",
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[Identifier]
    kind: Mapped[DriftKind]
    member_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    customer_id: Mapped[str | None]
    detail: Mapped[str]
    since: Mapped[datetime]
    gone_at: Mapped[datetime | None]
