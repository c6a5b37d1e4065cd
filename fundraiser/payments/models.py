"""Models: tiers and prices, customers, payments, events, sync requests, reconciliation, balance."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Sequence,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from fundraiser.db import Base, Currency, Identifier
from fundraiser.logs import current_cause
from fundraiser.members.models import Interval


class Tier(Base):
    """A kind of membership on offer, with one product at Stripe that we make.

    ``names``, ``descriptions`` and ``perks`` are by language; ``perks`` has one perk a line.
    ``stale_at_stripe`` until Stripe has the latest name and knows whether it is on offer.
    """

    __tablename__ = "tier"

    slug: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    names: Mapped[dict[str, str]]
    descriptions: Mapped[dict[str, str]]
    perks: Mapped[dict[str, str]] = mapped_column(default=dict)
    product_id: Mapped[str | None] = mapped_column(unique=True)
    retired_at: Mapped[datetime | None]
    stale_at_stripe: Mapped[bool] = mapped_column(default=False)

    prices: Mapped[list[Price]] = relationship(
        back_populates="tier",
        order_by="Price.currency, Price.amount",
        lazy="selectin",
        cascade="all, delete-orphan",
    )


class ImportedProduct(Base):
    """An older product at Stripe whose subscriptions belong to a tier; nobody can join it now.

    People who subscribed before ``imported_at`` didn't join through us.
    """

    __tablename__ = "imported_product"

    id: Mapped[str] = mapped_column(primary_key=True)
    tier_slug: Mapped[str] = mapped_column(ForeignKey("tier.slug"), index=True)
    imported_at: Mapped[datetime]


class OtherProduct(Base):
    """A product at Stripe that the operator marked as no membership."""

    __tablename__ = "other_product"

    id: Mapped[str] = mapped_column(primary_key=True)
    noted_at: Mapped[datetime]


class Price(Base):
    """A tier's price in one currency and interval; ``stripe_id`` once it exists at Stripe.

    ``next_amount`` is the new price until Stripe has it; readers pay ``amount`` until then.
    """

    __tablename__ = "price"
    __table_args__ = (
        UniqueConstraint("tier_slug", "interval", "currency"),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("next_amount > 0", name="next_amount"),
    )

    id: Mapped[Identifier]
    tier_slug: Mapped[str] = mapped_column(ForeignKey("tier.slug"))
    interval: Mapped[Interval]
    currency: Mapped[Currency]
    amount: Mapped[int] = mapped_column(BigInteger)
    next_amount: Mapped[int | None] = mapped_column(BigInteger)
    stripe_id: Mapped[str | None] = mapped_column(unique=True)

    tier: Mapped[Tier] = relationship(back_populates="prices", lazy="raise")


class OldPrice(Base):
    """A price that new members can't choose; existing members keep paying it.

    ``archived_at`` is set once Stripe has archived it too.
    """

    __tablename__ = "old_price"

    stripe_id: Mapped[str] = mapped_column(primary_key=True)
    tier_slug: Mapped[str] = mapped_column(ForeignKey("tier.slug"), index=True)
    interval: Mapped[Interval]
    currency: Mapped[Currency]
    amount: Mapped[int] = mapped_column(BigInteger)
    retired_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class CheckoutKind(StrEnum):
    """What a checkout is for."""

    MEMBERSHIP = "membership"
    CONTRIBUTION = "contribution"
    GIFT = "gift"


class Checkout(Base):
    """One click on the join page's button, with its Stripe Checkout session.

    ``key`` is made from the form's nonce and choices: the same form sent twice is one checkout.
    ``amount`` is the total, including ``fee`` to cover the card's fee. ``member_id`` and
    ``reference`` (the subscription or charge) are the result, once synced. ``invite`` is the code
    of the member's link that led here. ``gift`` is the giver's input (``checkout.GiftChoice``),
    until the gift exists.
    """

    __tablename__ = "checkout"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("fee >= 0 AND fee < amount", name="fee"),
        Index("ix_checkout_gift", "created_at", postgresql_where="gift IS NOT NULL"),
        Index("ix_checkout_created_at", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    session_id: Mapped[str | None] = mapped_column(unique=True)
    session_url: Mapped[str | None]
    kind: Mapped[CheckoutKind]
    campaign: Mapped[str]
    tier: Mapped[str | None]
    interval: Mapped[Interval | None]
    currency: Mapped[Currency]
    amount: Mapped[int] = mapped_column(BigInteger)
    fee: Mapped[int] = mapped_column(BigInteger, default=0)
    language: Mapped[str]
    ref: Mapped[str | None]
    invite: Mapped[str | None]
    utm: Mapped[str | None]
    return_url: Mapped[str | None]
    gift: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[datetime]
    member_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    reference: Mapped[str | None] = mapped_column(index=True)


class Customer(Base):
    """A Stripe customer and the person it belongs to; a person may have several.

    ``method_id`` is the default payment method at the last sync: empty if none, null if not yet
    synced. ``facts`` is the version of the facts that the last sync wrote (``sync.FACTS``).
    """

    __tablename__ = "customer"

    id: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    email: Mapped[str]
    deleted: Mapped[bool] = mapped_column(default=False)
    facts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    settled_at: Mapped[datetime]
    method_id: Mapped[str | None]


class PaymentStatus(StrEnum):
    """Stripe's status of a charge."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"


# Undecided disputes; index and query must use the same condition.
IS_DISPUTED = (
    "dispute IN ('needs_response', 'under_review', 'warning_needs_response', "
    "'warning_under_review')"
)


class Payment(Base):
    """A charge at Stripe, for a membership, a gift or a one-time contribution."""

    __tablename__ = "payment"
    __table_args__ = (
        Index(
            "ix_payment_contribution",
            "paid_at",
            "id",
            postgresql_where="kind = 'contribution'",
        ),
        Index("ix_payment_paid_at", "paid_at"),
        Index("ix_payment_dispute", "id", postgresql_where=IS_DISPUTED),
        Index("ix_payment_failed", "paid_at", "id", postgresql_where="status = 'failed'"),
    )

    id: Mapped[Identifier]
    charge_id: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    customer_id: Mapped[str]
    kind: Mapped[CheckoutKind]
    subscription_id: Mapped[str | None] = mapped_column(index=True)
    campaign: Mapped[str | None]
    status: Mapped[PaymentStatus]
    amount: Mapped[int] = mapped_column(BigInteger)
    refunded: Mapped[int] = mapped_column(BigInteger, default=0)
    currency: Mapped[Currency]
    dispute: Mapped[str | None]
    failure: Mapped[str | None]
    paid_at: Mapped[datetime]


class Event(Base):
    """An event from Stripe, stored once by its ID: it says that something changed, not what."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_unsettled", "received_at", postgresql_where="settled_at IS NULL"),
        Index("ix_event_received_at", "received_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    customer_id: Mapped[str | None]
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class SyncRequest(Base):
    """A request to sync a customer with Stripe; deleted once a sync has answered it.

    ``request_id`` is the ID of the HTTP request or task that asked for it: the sync logs under it.

    ``charge_id`` is set if we don't know the customer (a dispute doesn't name one). ``due_at`` is
    null after the last attempt failed with ``error``; then staff can retry. ``urgent``: somebody
    has just paid, and goes before automatic renewals.
    """

    __tablename__ = "sync_request"
    __table_args__ = (
        CheckConstraint("num_nonnulls(customer_id, charge_id) = 1", name="target"),
        Index("ix_sync_request_due_at", "due_at", postgresql_where="due_at IS NOT NULL"),
        Index("ix_sync_request_urgent", "due_at", postgresql_where="due_at IS NOT NULL AND urgent"),
        Index("ix_sync_request_failed", "id", postgresql_where="due_at IS NULL"),
    )

    id: Mapped[Identifier]
    customer_id: Mapped[str | None] = mapped_column(index=True)
    charge_id: Mapped[str | None] = mapped_column(index=True)
    event_id: Mapped[str | None]
    due_at: Mapped[datetime | None]
    urgent: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    request_id: Mapped[str | None] = mapped_column(default=current_cause)


class SyncLease(Base):
    """The right to write a customer's data from Stripe; belongs to the latest ``token``.

    ``name`` is a customer's ID, or a charge's if we don't know the customer. A sync takes the lease
    before it fetches from Stripe and checks it when it writes, in separate transactions, so it
    holds nothing in between. After ``until`` another sync may take it, with a newer token.
    """

    __tablename__ = "sync_lease"

    name: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[datetime]


# A sequence, because tokens must not repeat after a row is deleted.
Sequence("sync_lease_token", metadata=Base.metadata)


class Stage(StrEnum):
    """The stages of a reconciliation, in order."""

    SUBSCRIPTIONS = "subscriptions"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    DONE = "done"


class Reconciliation(Base):
    """A comparison with everything that Stripe lists; ``cursor`` is where it continues.

    ``differing`` counts customers whose data differed. ``members_listed`` counts members by
    Stripe's list, plus those from elsewhere. ``unknown`` counts running subscriptions by product,
    for products that nobody has classified.
    """

    __tablename__ = "reconciliation"

    id: Mapped[Identifier]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    stage: Mapped[Stage]
    cursor: Mapped[str | None]
    looked_at: Mapped[int] = mapped_column(default=0)
    differing: Mapped[int] = mapped_column(default=0)
    members_listed: Mapped[int | None] = mapped_column(BigInteger)
    unknown: Mapped[dict[str, int]] = mapped_column(
        JSONB, default=dict, server_default=text("'{}'::jsonb")
    )


class ListedSubscription(Base):
    """A subscription as Stripe listed it in the latest reconciliation."""

    __tablename__ = "listed_subscription"

    run_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("reconciliation.id"), primary_key=True
    )
    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    counts: Mapped[bool]


class Part(StrEnum):
    """Which sum of a month a balance transaction belongs to."""

    GROSS = "gross"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    FEES = "fees"
    PAYOUTS = "payouts"
    OTHER = "other"


class BalanceTransaction(Base):
    """A balance transaction at Stripe: rows are added and never changed.

    ``category`` is Stripe's reporting category. ``kind`` (``CheckoutKind``) and ``tier`` say what
    was paid for, once we know the charge; other charges have neither. ``payout_id`` is its payout.
    """

    __tablename__ = "balance_transaction"
    __table_args__ = (
        CheckConstraint("net = amount - fee", name="net"),
        Index("ix_balance_transaction_created_at", "created_at", "id"),
        Index("ix_balance_transaction_unknown", "charge_id", postgresql_where="kind IS NULL"),
        # Covers all columns that a payout's page adds up, perhaps over hundreds of thousands of
        # rows.
        Index(
            "ix_balance_transaction_payout",
            *("payout_id", "created_at", "id"),
            postgresql_include=["part", "amount", "fee", "source_id"],
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[Part]
    category: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    fee: Mapped[int] = mapped_column(BigInteger)
    net: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[Currency]
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    source_id: Mapped[str | None]
    charge_id: Mapped[str | None]
    payout_id: Mapped[str | None]
    description: Mapped[str | None]
    kind: Mapped[str | None]
    tier: Mapped[str | None]


class Payout(Base):
    """A payout from Stripe to the newsroom's bank.

    ``listed`` once Stripe lists its contents; ``contents_at`` is when we had imported all of them,
    ``cursor`` where an interrupted import continues.
    """

    __tablename__ = "payout"
    __table_args__ = (
        Index("ix_payout_created_at", "created_at", "id"),
        Index("ix_payout_unread", "created_at", postgresql_where="listed AND contents_at IS NULL"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[Currency]
    status: Mapped[str]
    listed: Mapped[bool]
    created_at: Mapped[datetime]
    arrives_at: Mapped[datetime]
    failure: Mapped[str | None]
    cursor: Mapped[str | None]
    contents_at: Mapped[datetime | None]


class MonthlySum(Base):
    """A month's balance transactions, added up by category; empty values mean none."""

    __tablename__ = "monthly_sum"

    month: Mapped[date] = mapped_column(primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    part: Mapped[Part] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    tier: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)
    fee: Mapped[int] = mapped_column(BigInteger)


class MoneyStage(StrEnum):
    """The stages of a balance scan, in order."""

    TRANSACTIONS = "transactions"
    PAYOUTS = "payouts"
    CONTENTS = "contents"
    ADDING_UP = "adding_up"
    DONE = "done"


class BalanceScan(Base):
    """The scan of Stripe's balance, restarted every ten minutes; one row.

    ``cursor`` is where the stage continues after an interruption, ``since`` the latest transaction
    of earlier scans and ``newest`` that of this one. ``months`` (their first days) must be added up
    again: all of them if the newsroom's ``zone`` has changed.
    """

    __tablename__ = "balance_scan"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stage: Mapped[MoneyStage]
    cursor: Mapped[str | None]
    began_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    since: Mapped[datetime | None]
    newest: Mapped[datetime | None]
    months: Mapped[list[str]]
    zone: Mapped[str]


class HeldAtStripe(Base):
    """Stripe's balance in one currency at a moment, and how far our books differ.

    ``difference`` is Stripe's amount less ours, null until the scan is finished.
    """

    __tablename__ = "held_at_stripe"

    currency: Mapped[Currency] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    told_at: Mapped[datetime]
    difference: Mapped[int | None] = mapped_column(BigInteger)
    compared_at: Mapped[datetime | None]
