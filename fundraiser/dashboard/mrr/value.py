"""What a member brings within three years, and how much of failed payments is recovered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.dashboard.models import DailyFigure, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from fundraiser.dashboard.periods import Period
    from fundraiser.dashboard.retention.figures import Group

_PERIODS = 36  # of 30 days: three years
_MOST_UNKNOWN = 0.1  # of those who joined, whose interval is too young to say


@dataclass(frozen=True, slots=True)
class Recovery:
    """Renewals that first failed in a period, and those paid within the grace period."""

    failed: int
    recovered: int

    @property
    def share(self) -> float | None:
        return self.recovered / self.failed if self.failed else None


def expected_periods(groups: Sequence[Group]) -> float | None:
    """How many of the first 36 periods of 30 days people pay for, on average.

    The sum of the shares who stay, by interval, weighted by those who joined; None while the curves
    are too young.
    """
    joined = sum(group.curve.joined for group in groups)
    known = [group.curve for group in groups if len(group.curve.shares) >= _PERIODS - 1]
    people = sum(curve.joined for curve in known)
    if not people or people < (1 - _MOST_UNKNOWN) * joined:
        return None
    stay = sum(curve.joined * (1 + sum(curve.shares[: _PERIODS - 1])) for curve in known)
    return stay / people


def read_recovery(session: Session, period: Period) -> Recovery:
    """Failures of the period's months whose grace period is over, and what became of them."""
    rows = session.execute(
        select(DailyFigure.topic, func.sum(DailyFigure.people))
        .where(
            DailyFigure.topic.in_((Topic.FAILED, Topic.RECOVERED)),
            DailyFigure.day.between(period.first, period.last),
        )
        .group_by(DailyFigure.topic)
    )
    found = {topic: int(people) for topic, people in rows}
    return Recovery(found.get(Topic.FAILED, 0), found.get(Topic.RECOVERED, 0))
