"""Models: daily figures, stored forecasts, exchange rates, retention, recurring income."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Currency, Identifier


class Topic(StrEnum):
    """The subject of a daily figure, with the meaning of its ``key`` in brackets.

    ``income``: counted memberships that pay through Stripe (interval). ``tier``, ``interval``,
    ``country``, ``source``, ``utm``, ``campaign``: counted people. ``churn``: people who stopped
    that day (``Churn``). ``moved``: people who started or stopped without an action of a reader
    (``joined``, ``stopped``). ``leaving``: people known to stop on that future day (``Loss``).
    ``contribution``: one-time contributions less refunds. ``failed``: payments that first failed in
    the month starting that day, once their grace period is over, and ``recovered`` those paid
    within it (Stripe's reason; ``amount`` is theirs). ``mrr``: the monthly recurring income and
    what it contains (``Part``).
    """

    INCOME = "income"
    TIER = "tier"
    INTERVAL = "interval"
    COUNTRY = "country"
    SOURCE = "source"
    UTM = "utm"
    CAMPAIGN = "campaign"
    CHURN = "churn"
    MOVED = "moved"
    LEAVING = "leaving"
    CONTRIBUTION = "contribution"
    FAILED = "failed"
    RECOVERED = "recovered"
    MRR = "mrr"


class Part(StrEnum):
    """All of the monthly recurring income, or a part of it; one amount may be in several parts."""

    ALL = ""
    OVERDUE = "overdue"
    LEAVING = "leaving"
    FEES = "fees"


class Churn(StrEnum):
    """Whether a person left by choice, or a payment failed."""

    VOLUNTARY = "voluntary"
    INVOLUNTARY = "involuntary"


class Loss(StrEnum):
    """Why a counted person is known to stop; ``card``: unless the bank replaces it in time."""

    CANCELED = "canceled"
    PAST_DUE = "past_due"
    RUNS_OUT = "runs_out"
    CARD = "card"


class DailyFigure(Base):
    """A figure of one day in the newsroom's time zone; each day's last one stays.

    ``recent`` are those of the last 28 days among ``people``. ``amount`` is in the smallest unit of
    ``currency``, as is ``recent`` for one-time contributions. An empty ``key`` or ``currency``
    means none.
    """

    __tablename__ = "daily_figure"

    day: Mapped[date] = mapped_column(primary_key=True)
    topic: Mapped[Topic] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    people: Mapped[int] = mapped_column(BigInteger)
    recent: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)


class ShownForecast(Base):
    """A forecast as shown on a day; each day's last one stays.

    ``campaign`` is empty for the newsroom's own number, ``days`` ahead (7, 14 or 28); a campaign's
    forecast is for its deadline, with 0 ``days``. ``low``, ``middle`` and ``high`` are P10, P50 and
    P90 of the members at ``due_at``, ``chance`` (0 to 1) that of reaching ``goal``, ``pace`` the
    last 28 days continued. ``joins`` and the losses ``canceled``, ``overdue``, ``ending`` and
    ``renewals`` are expected people; ``rush_low`` and ``rush_high`` the median with a final rush.
    ``came`` is the outcome, once known, without imports, merges, erasures and new rules.
    """

    __tablename__ = "forecast"
    __table_args__ = (Index("ix_forecast_open", "due_at", postgresql_where="came IS NULL"),)

    day: Mapped[date] = mapped_column(primary_key=True)
    campaign: Mapped[str] = mapped_column(primary_key=True)
    days: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    made_at: Mapped[datetime]
    due_at: Mapped[datetime]
    members: Mapped[int] = mapped_column(BigInteger)
    goal: Mapped[int | None] = mapped_column(BigInteger)
    low: Mapped[int] = mapped_column(BigInteger)
    middle: Mapped[int] = mapped_column(BigInteger)
    high: Mapped[int] = mapped_column(BigInteger)
    chance: Mapped[float]
    pace: Mapped[int] = mapped_column(BigInteger)
    joins: Mapped[int] = mapped_column(BigInteger)
    canceled: Mapped[int] = mapped_column(BigInteger)
    overdue: Mapped[int] = mapped_column(BigInteger)
    ending: Mapped[int] = mapped_column(BigInteger)
    renewals: Mapped[int] = mapped_column(BigInteger)
    rush_low: Mapped[int] = mapped_column(BigInteger)
    rush_high: Mapped[int] = mapped_column(BigInteger)
    came: Mapped[int | None] = mapped_column(BigInteger)


class ExchangeRate(Base):
    """The rate of ``currency`` in the newsroom's ``own`` currency on a day, entered by staff."""

    __tablename__ = "exchange_rate"
    __table_args__ = (
        UniqueConstraint("currency", "own", "day"),
        CheckConstraint("rate > 0", name="rate"),
        CheckConstraint("currency <> own", name="pair"),
    )

    id: Mapped[Identifier]
    currency: Mapped[Currency]
    own: Mapped[Currency]
    day: Mapped[date]
    rate: Mapped[Decimal] = mapped_column(Numeric(18, 8))
    entered_at: Mapped[datetime]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"), index=True)


class SavedView(Base):
    """Filters, order and columns of the list of members under a name, as the address has them.

    ``shared`` views are for all staff. Words that somebody searched for aren't kept: they may name
    a person.
    """

    __tablename__ = "saved_view"
    __table_args__ = (UniqueConstraint("staff_id", "name"),)

    id: Mapped[Identifier]
    name: Mapped[str]
    query: Mapped[str]
    staff_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("staff.id"))
    shared: Mapped[bool]
    created_at: Mapped[datetime]


class Subject(StrEnum):
    """The subject of a retention figure; in brackets the meaning of its ``key``.

    The first four describe how somebody joined: ``interval``, ``tier``, ``source``
    (``members.models.Source``), ``article`` (the link's ``ref``). ``reason``: Stripe's feedback of
    people who cancelled.
    """

    INTERVAL = "interval"
    TIER = "tier"
    SOURCE = "source"
    ARTICLE = "article"
    REASON = "reason"


class RetentionFigure(Base):
    """People who joined in the same way and have stayed equally long; made anew each hour.

    ``month`` is the first day of the month in which they joined (with ``reason``: cancelled); null
    where it isn't kept. ``steps`` are whole periods of 30 days for which they are known to have
    stayed without a break, and ``ended`` says that they left in the next. ``entry``: the first
    period in which we knew them (imports say who joined long ago). An empty ``key`` means none,
    ``*`` all others.
    """

    __tablename__ = "retention_figure"
    __table_args__ = (Index("ix_retention_figure_subject", "subject", "month"),)

    id: Mapped[Identifier]
    subject: Mapped[Subject]
    key: Mapped[str]
    month: Mapped[date | None]
    entry: Mapped[int]
    steps: Mapped[int]
    ended: Mapped[bool]
    people: Mapped[int] = mapped_column(BigInteger)


class Movement(StrEnum):
    """Why the monthly recurring income changed.

    ``exchange``: members who pay in another currency now. ``other``: imports, merges, erasures and
    new counting rules, as in the ledger.
    """

    NEW = "new"
    REACTIVATION = "reactivation"
    EXPANSION = "expansion"
    CONTRACTION = "contraction"
    CHURN = "churn"
    EXCHANGE = "exchange"
    OTHER = "other"


class MemberMrr(Base):
    """A person's monthly recurring income in a currency, in its smallest unit; kept by a job.

    It is the sum of the person's movements. ``began`` is the first day of the month since which the
    person pays without a break. No foreign key, so that a merge leaves it to the job.
    """

    __tablename__ = "member_mrr"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    began: Mapped[date]


class MrrMovement(Base):
    """A change of a person's monthly recurring income; rows are added and never changed.

    ``month`` (its first day, in the newsroom's time zone) is that of ``happened_at``. ``payers``: 1
    if the person pays in this currency from now on, -1 if no longer.
    """

    __tablename__ = "mrr_movement"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        Index("ix_mrr_movement_month", "month", "kind", "member_id"),
        Index("ix_mrr_movement_recorded_at", "recorded_at"),
        Index("ix_mrr_movement_member_id", "member_id"),
    )

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[Currency]
    kind: Mapped[Movement]
    amount: Mapped[int] = mapped_column(BigInteger)
    payers: Mapped[int]
    month: Mapped[date]
    began: Mapped[date]
    happened_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class MrrSum(Base):
    """A month's movements, added up by kind, currency and the month in which people began."""

    __tablename__ = "mrr_sum"

    month: Mapped[date] = mapped_column(primary_key=True)
    kind: Mapped[Movement] = mapped_column(primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    began: Mapped[date] = mapped_column(primary_key=True)
    changes: Mapped[int] = mapped_column(BigInteger)
    payers: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)
