"""What is on offer, who pays, what was paid, and the customers to look at."""

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
from fundraiser.members.models import Interval


class Tier(Base):
    """A kind of membership on offer. Each has one product at Stripe, made by the application.

    ``names``, ``descriptions`` and ``perks`` are by language; ``perks`` have a line each.
    ``stale_at_stripe`` until Stripe knows the newest name, and whether it is still on offer.
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
    """A product made before us whose subscriptions are of this tier; nobody joins by it any more.

    Who began to pay for it before ``imported_at`` did not join through us.
    """

    __tablename__ = "imported_product"

    id: Mapped[str] = mapped_column(primary_key=True)
    tier_slug: Mapped[str] = mapped_column(ForeignKey("tier.slug"), index=True)
    imported_at: Mapped[datetime]


class OtherProduct(Base):
    """A product at Stripe that the operator said is no membership: its subscribers are nobody's."""

    __tablename__ = "other_product"

    id: Mapped[str] = mapped_column(primary_key=True)
    noted_at: Mapped[datetime]


class Price(Base):
    """What a tier costs in a currency and an interval; ``stripe_id`` once it is made at Stripe.

    ``next_amount`` is what it is to cost as soon as Stripe has a price for that: until then readers
    go on paying ``amount``.
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
    """A price that nobody joins by any more; who joined by it goes on paying it.

    ``archived_at`` once Stripe takes it for no new subscription either.
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
    """What a reader wanted to begin."""

    MEMBERSHIP = "membership"
    CONTRIBUTION = "contribution"
    GIFT = "gift"


class Checkout(Base):
    """One click on the join page's button, and the Stripe Checkout session made for it.

    ``key`` is made of the form's nonce and its choices: the same form sent twice is one checkout.
    ``amount`` is the whole sum, with ``fee`` of it added to cover the card's fee. ``member_id`` and
    ``reference`` (the subscription or the charge) are what came of it, once that is settled.
    ``invite`` is the code of the member's link that led here.
    ``gift`` is what the giver wrote of a gift (``checkout.GiftChoice``), until the gift is made.
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
    """A customer at Stripe and the person behind it; several may be one person.

    ``method_id`` is the default payment method that we saw last: empty if there was none, null as
    long as nobody has looked.
    ``facts`` is the version of the facts that the last settlement wrote (``sync.FACTS``).
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
    """What Stripe says of a charge."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"


# The disputes that are not decided; the index and the query must say the same.
IS_DISPUTED = (
    "dispute IN ('needs_response', 'under_review', 'warning_needs_response', "
    "'warning_under_review')"
)


class Payment(Base):
    """One charge at Stripe, for a membership, for a gift or as a one-time contribution."""

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
    """An event of Stripe's, once by its id: it says that something changed, not what."""

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_unsettled", "received_at", postgresql_where="settled_at IS NULL"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    customer_id: Mapped[str | None]
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]


class SyncRequest(Base):
    """A reason to sync a customer with Stripe: deleted once a sync has answered it.

    ``charge_id`` stands in until it is known whose it is (a dispute names no customer). ``due_at``
    is null once the last attempt has failed with ``error``; then staff can try it again.
    ``urgent``: somebody has just paid, and goes before those whose payments renew by themselves.
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


class SyncLease(Base):
    """Who may write what Stripe says of a customer: whoever holds the newest ``token``.

    ``name`` is a customer's ID, or a charge's while it isn't known whose it is. A lease is taken
    before the look at Stripe and checked with the write, in transactions of their own, so that
    nothing is held in between. After ``until`` somebody else may take it; that token is newer.
    """

    __tablename__ = "sync_lease"

    name: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[datetime]


# Tokens go on where a row was deleted: none is ever given twice.
Sequence("sync_lease_token", metadata=Base.metadata)


class Stage(StrEnum):
    """What a reconciliation looks through, in this order."""

    SUBSCRIPTIONS = "subscriptions"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    DONE = "done"


class Reconciliation(Base):
    """A run through all that Stripe lists; ``cursor`` is where it goes on after an interruption.

    ``differing`` is how many customers were not as Stripe has them. ``members_listed`` is how many
    people count by Stripe's listing, with those whose membership comes from elsewhere. ``unknown``
    is how many subscriptions run by product, of products that nobody has said anything about.
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
    """What Stripe's listing said of a subscription in the newest run."""

    __tablename__ = "listed_subscription"

    run_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("reconciliation.id"), primary_key=True
    )
    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    counts: Mapped[bool]


class Part(StrEnum):
    """Which sum of a month's a movement belongs to."""

    GROSS = "gross"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    FEES = "fees"
    PAYOUTS = "payouts"
    OTHER = "other"


class BalanceTransaction(Base):
    """What moved the balance at Stripe, as Stripe has it: rows are added and never changed.

    ``category`` is Stripe's reporting category. ``kind`` (``CheckoutKind``) and ``tier`` say what
    was paid for, once the charge is in our books; a charge that is none of ours has neither.
    ``payout_id`` is the payout that it is part of.
    """

    __tablename__ = "balance_transaction"
    __table_args__ = (
        CheckConstraint("net = amount - fee", name="net"),
        Index("ix_balance_transaction_created_at", "created_at", "id"),
        Index("ix_balance_transaction_unknown", "charge_id", postgresql_where="kind IS NULL"),
        # With all that a payout's page adds up: a payout may contain hundreds of thousands.
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
    """What Stripe sent to the newsroom's bank.

    ``listed`` once Stripe says what is in it; ``contents_at`` is when all of that was in our books,
    ``cursor`` where an interrupted look goes on.
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
    """All movements of a month in the newsroom's zone, by what they are; empty stands for none."""

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
    """What a look through Stripe's balance does, in this order."""

    TRANSACTIONS = "transactions"
    PAYOUTS = "payouts"
    CONTENTS = "contents"
    ADDING_UP = "adding_up"
    DONE = "done"


class BalanceScan(Base):
    """The one look through Stripe's balance, begun again every ten minutes.

    ``cursor`` is where the stage goes on after an interruption, ``since`` the newest movement that
    earlier scans have brought and ``newest`` that of this one. ``months`` are to be added up anew
    (their first days), all of them where the newsroom's ``zone`` has changed.
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
    """What Stripe said it holds of a currency at a moment, and by how much our books differ.

    ``difference`` is Stripe's amount less ours, null until the look that asked is through.
    """

    __tablename__ = "held_at_stripe"

    currency: Mapped[Currency] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    told_at: Mapped[datetime]
    difference: Mapped[int | None] = mapped_column(BigInteger)
    compared_at: Mapped[datetime | None]
