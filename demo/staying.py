"""How long the made-up members stay, whose payments fail, and why they leave."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

from demo.joining import Arrival
from demo.settings import APPEAL
from fundraiser.members.models import Interval
from simulator.core.due import DAY, RETRY_DAYS
from simulator.core.periods import next_end

# The share of members who cancel in each of their first periods; the last number goes on.
CANCELING = {
    Interval.MONTH: (0.055, 0.042, 0.034, 0.029, 0.026, 0.024, 0.02),
    Interval.YEAR: (0.23, 0.14),
}
OF_TIER = {"reader": 1.3, "member": 1.0, "patron": 0.6}
OF_ARTICLE = {
    "harbour-tide-gauges": 0.85,
    "contracts-in-the-open": 0.7,
    "last-net-loft": 1.1,
    "club-without-a-sponsor": 1.8,
}
OF_APPEAL = 1.3
FAILING = {Interval.MONTH: 0.036, Interval.YEAR: 0.07}  # of the renewals
CAUSES = {  # share of the failures, and of these how many are paid in the end
    "card_declined": (56, 0.6),
    "expired_card": (22, 0.64),
    "authentication_required": (12, 0.72),
    "processing_error": (10, 0.93),
}
RETURNING = 0.05  # of those who left, some months later
COMMENTS = {  # Stripe's reasons for leaving, their shares, and words that some add
    "too_expensive": (
        31,
        (
            "My rent went up, and something has to go. I’ll be back.",
            "I’m retired and have to count now. Thank you for the work you do.",
            "Three subscriptions are two too many this year.",
        ),
    ),
    "unused": (
        27,
        (
            "I never find the time to read.",
            "I read the Friday newsletter and hardly anything else.",
        ),
    ),
    "other": (
        13,
        (
            "Moving abroad at the end of the month.",
            "We are now a family of one membership: my wife keeps hers.",
            "I only wanted to help once.",
        ),
    ),
    "switched_service": (8, ("I support the local radio instead.",)),
    "missing_features": (
        7,
        (
            "An app that works on the train would bring me back.",
            "I miss the crossword.",
        ),
    ),
    "low_quality": (6, ("Too much about the harbour, too little about the schools.",)),
    "customer_service": (2, ("Nobody answered my e-mail about the invoice.",)),
    "too_complex": (1, ()),
    None: (30, ()),
}


class Kind(StrEnum):
    """How a membership stands now: the last two are over."""

    PAYING = "paying"
    LEAVING = "leaving"
    OVERDUE = "overdue"
    CANCELED = "canceled"
    LAPSED = "lapsed"


OVER = (Kind.CANCELED, Kind.LAPSED)


@dataclass(frozen=True, slots=True)
class Term:
    """How long a subscription has run: ``count`` periods since ``joined``."""

    joined: datetime
    interval: Interval
    count: int

    def start(self, number: int) -> datetime:
        """When a period began; the first is 0."""
        anchor = int(self.joined.timestamp())
        return datetime.fromtimestamp(next_end(anchor, anchor, self.interval.value, number), UTC)

    @property
    def begun(self) -> datetime:
        """When the newest period began."""
        return self.start(self.count - 1)

    @property
    def end(self) -> datetime:
        return self.start(self.count)


@dataclass(frozen=True, slots=True)
class Failure:
    """A renewal that failed at first: why, and when it is paid, if ever."""

    cause: str
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stay:
    """One membership until now; ``failures`` are by period, the first being 0."""

    term: Term
    kind: Kind
    failures: dict[int, Failure] = field(default_factory=dict)
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    feedback: str | None = None
    comment: str | None = None


class Staying:
    """Draws how memberships went on until ``at``."""

    def __init__(self, random: Random, at: datetime, grace: timedelta) -> None:
        self.random = random
        self.at = at
        self.grace = grace

    def draw(self, arrival: Arrival, tier: str, interval: Interval) -> Stay:
        """One membership from its start."""
        times = OF_TIER[tier] * OF_ARTICLE.get(arrival.article or "", 1)
        times *= OF_APPEAL if arrival.campaign == APPEAL else 1
        stay = Stay(Term(arrival.at, interval, 1), Kind.PAYING)
        for hazard in _hazards(interval):
            term = stay.term
            begun, end = term.begun, term.end
            failure = stay.failures.get(term.count - 1)
            if failure is not None and (failure.paid_at is None or failure.paid_at > self.at):
                return self._overdue(stay, begun)
            if self.random.random() < hazard * times:
                since = failure.paid_at if failure and failure.paid_at else begun
                canceled_at = since + (end - since) * self.random.random()
                if canceled_at <= self.at:
                    return self._canceled(stay, canceled_at.replace(microsecond=0), end)
            if end > self.at:
                return stay
            stay = replace(stay, term=replace(term, count=term.count + 1))
            if self.random.random() < FAILING[interval]:
                stay.failures[term.count] = self._failure(end)
        raise AssertionError

    def returns(self, stay: Stay) -> Arrival | None:
        """Whether and when somebody who left comes back."""
        if stay.ended_at is None or self.random.random() >= RETURNING:
            return None
        at = stay.ended_at + timedelta(days=self.random.expovariate(1 / 120) + 1)
        at = at.replace(microsecond=0)
        return Arrival(at, None, None, None) if at < self.at else None

    def _failure(self, at: datetime) -> Failure:
        (cause,) = self.random.choices(list(CAUSES), [share for share, _ in CAUSES.values()])
        if self.random.random() >= CAUSES[cause][1]:
            return Failure(cause, None)
        # Stripe tries again on these days; others pay by the link in our e-mail.
        days: float = self.random.choice(RETRY_DAYS[:-1])
        if self.random.random() < 0.4:  # noqa: PLR2004 - the share that uses the link
            days = min(self.random.expovariate(1 / 3), 13)
        return Failure(cause, at + timedelta(seconds=int(days * DAY) + 60))

    def _overdue(self, stay: Stay, since: datetime) -> Stay:
        over = since + self.grace
        if over > self.at:
            return replace(stay, kind=Kind.OVERDUE)
        return replace(stay, kind=Kind.LAPSED, canceled_at=over, ended_at=over)

    def _canceled(self, stay: Stay, at: datetime, end: datetime) -> Stay:
        (feedback,) = self.random.choices(list(COMMENTS), [share for share, _ in COMMENTS.values()])
        words = COMMENTS[feedback][1]
        says = words and self.random.random() < 0.25  # noqa: PLR2004 - the share that adds words
        over = end <= self.at
        return replace(
            stay,
            kind=Kind.CANCELED if over else Kind.LEAVING,
            canceled_at=at,
            ended_at=end if over else None,
            feedback=feedback,
            comment=self.random.choice(words) if says else None,
        )


def _hazards(interval: Interval) -> Iterator[float]:
    yield from CANCELING[interval]
    while True:
        yield CANCELING[interval][-1]
