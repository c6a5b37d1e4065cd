"""What the overview reads instead of counting everybody: daily figures; and exchange rates."""

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
    """What a daily figure is about, and in brackets what its ``key`` names.

    ``income``: memberships that count and pay through Stripe (interval). ``tier``, ``interval``,
    ``country``, ``source``, ``utm``, ``campaign``: the people who count. ``churn``: who stopped
    that day (``Churn``). ``moved``: who started or stopped then by no reader's doing (``joined``,
    ``stopped``). ``leaving``: who is known to stop on that day, which is yet to come (``Loss``).
    ``contribution``: what was given once, less what was paid back. ``failed``: the payments that
    failed first in the month that begins on that day, once their grace period is over, and
    ``recovered`` those of them that were made good in it (Stripe's reason; ``amount`` is theirs).
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


class Churn(StrEnum):
    """Whether a person chose to stop, or a payment did not arrive."""

    VOLUNTARY = "voluntary"
    INVOLUNTARY = "involuntary"


class Loss(StrEnum):
    """Why a person who counts is known to stop; ``card``: unless the bank replaces it in time."""

    CANCELED = "canceled"
    PAST_DUE = "past_due"
    RUNS_OUT = "runs_out"
    CARD = "card"


class DailyFigure(Base):
    """One figure of one day in the newsroom's zone; a day's last one stays.

    ``recent`` are those of the last 28 days among ``people``. ``amount`` is in the smallest unit of
    ``currency``, and so is ``recent`` where money was given once. An empty ``key`` or ``currency``
    stands for none.
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
    """A forecast as it was shown on a day; the day's last one stays.

    ``campaign`` is empty for the newsroom's own number, forecast ``days`` ahead (7, 14 or 28); a
    campaign's is forecast for its deadline, with 0 ``days``. ``low``, ``middle`` and ``high`` are
    P10, P50 and P90 of the members at ``due_at``, ``chance`` (0 to 1) that of reaching ``goal``,
    ``pace`` where the last 28 days carried on would lead. ``joins`` and the losses ``canceled``,
    ``overdue``, ``ending`` and ``renewals`` are the people expected in that time; ``rush_low`` and
    ``rush_high`` the middle with an end rush. ``came`` is the number that came, as soon as it is
    known, without what imports, merges, erasures and new rules moved meanwhile.
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
    """What one unit of ``currency`` was worth in the newsroom's ``own`` on a day, as staff say."""

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
