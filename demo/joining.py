"""When the made-up readers join, and what brings them: seasons, weekdays, stories and an appeal.

The service's forecast knows nothing of this page, and this page nothing of the forecast.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

from demo.settings import APPEAL, CAMPAIGN

YEARS = timedelta(days=730)
GROWTH = (0.7, 1.3)  # readers a day at the beginning and at the end, beside the mean
MONTHS = (1.3, 1.05, 1.0, 0.95, 0.9, 0.8, 0.65, 0.6, 1.0, 1.1, 1.25, 1.3)  # January first
WEEKDAYS = (1.1, 1.15, 1.1, 1.05, 1.0, 0.75, 0.85)  # Monday first
HOURS = (1, 1, 1, 1, 1, 2, 5, 9, 10, 9, 8, 8, 9, 9, 8, 7, 7, 8, 9, 11, 13, 12, 8, 4)
# A story that many read: days ago, how many times a usual day, and days until half of it is over.
STORIES = (
    (611, "contracts-in-the-open", 4, 3),
    (447, "last-net-loft", 3, 2),
    (236, "harbour-tide-gauges", 7, 3),
    (98, "club-without-a-sponsor", 4, 1),
    (24, "harbour-tide-gauges", 3, 2),
)
APPEAL_BEGINS, APPEAL_ENDS = (3, 2.2, 1.6, 1.3), (6, 4, 3, 2.4, 2, 1.6)  # its first and last days
APPEAL_BETWEEN = 1.15
# The article or the tags of the link that lead a reader here on a usual day.
WAYS = {
    ("harbour-tide-gauges", None): 25,
    ("last-net-loft", None): 15,
    ("contracts-in-the-open", None): 10,
    ("club-without-a-sponsor", None): 7,
    ("harbour-tide-gauges", "newsletter / email / friday"): 5,
    (None, "newsletter / email / friday"): 15,
    (None, "mastodon / social"): 9,
    (None, None): 14,
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reader who has just joined; nobody was asked from where while no campaign ran."""

    at: datetime
    article: str | None
    tags: str | None
    campaign: str | None


@dataclass(frozen=True, slots=True)
class _Day:
    """``stories`` are articles with their share of the day's ``weight``."""

    begins: datetime
    weight: float
    stories: dict[str, float]
    campaign: str | None


def appeal_times(at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The last winter's appeal: from November until the end of the year before this one."""
    year = at.astimezone(zone).year - 1
    return datetime(year, 11, 1, 9, tzinfo=zone), datetime(year, 12, 31, 23, 59, 59, tzinfo=zone)


class Arrivals:
    """Draws arrivals from the two years before ``at``."""

    def __init__(self, random: Random, at: datetime, zone: ZoneInfo) -> None:
        self.random = random
        self.at = at
        self.days = list(_days(at, zone))
        self.weights = list(accumulate(day.weight for day in self.days))

    def draw(self) -> Arrival:
        """One more reader."""
        while True:
            (day,) = self.random.choices(self.days, cum_weights=self.weights)
            (hour,) = self.random.choices(range(24), HOURS)
            moment = day.begins + timedelta(hours=hour, seconds=self.random.randrange(3600))
            moment = moment.astimezone(UTC)
            if self.at - YEARS <= moment < self.at:
                break
        article, tags = self._way(day)
        if day.campaign is None:
            article = tags = None
        return Arrival(moment, article, tags, day.campaign)

    def _way(self, day: _Day) -> tuple[str | None, str | None]:
        point = self.random.random() * day.weight
        for article, weight in day.stories.items():
            point -= weight
            if point < 0:
                return article, None
        (way,) = self.random.choices(list(WAYS), list(WAYS.values()))
        return way


def _days(at: datetime, zone: ZoneInfo) -> Iterator[_Day]:
    today = at.astimezone(zone).date()
    begins, ends = (moment.date() for moment in appeal_times(at, zone))
    for ago in range(YEARS.days, -1, -1):
        day = today - timedelta(days=ago)
        grown = GROWTH[1] + (GROWTH[0] - GROWTH[1]) * ago / YEARS.days
        usual = grown * MONTHS[day.month - 1] * WEEKDAYS[day.weekday()]
        usual *= _appeal(day, begins, ends)
        stories: dict[str, float] = {}
        for since, article, times, half in STORIES:
            if ago <= since:
                rush = usual * times * 0.5 ** ((since - ago) / half)
                stories[article] = stories.get(article, 0) + rush
        campaign = CAMPAIGN if day.year == today.year else None
        yield _Day(
            datetime.combine(day, time(), zone),
            usual + sum(stories.values()),
            stories,
            APPEAL if begins <= day <= ends else campaign,
        )


def _appeal(day: date, begins: date, ends: date) -> float:
    """How many times a usual day: appeals begin and end with a rush."""
    if not begins <= day <= ends:
        return 1
    since, left = (day - begins).days, (ends - day).days
    if since < len(APPEAL_BEGINS):
        return APPEAL_BEGINS[since]
    return APPEAL_ENDS[left] if left < len(APPEAL_ENDS) else APPEAL_BETWEEN
