"""Store forecasts as shown, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert

from fundraiser.campaigns.forecast import HORIZONS, PACE_DAYS, forecast
from fundraiser.campaigns.models import Campaign
from fundraiser.campaigns.progress import read_progress
from fundraiser.dashboard.models import ShownForecast
from fundraiser.dashboard.overview.outlook import read_moved, read_outlook, read_rates
from fundraiser.members.history import start_of_day
from fundraiser.members.ledger import balance_at, read_balance

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.forecast import Forecast, Outlook

_TO_DEADLINE = 0  # in the place of the days ahead
_LEAST_ORIGINS = 10  # below this a record says nothing
_REMEMBERED = timedelta(days=730)
_STALE = timedelta(days=1)  # a forecast that is older is not shown as today's
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True)
class Record:
    """The track record of forecasts a number of days ahead.

    They don't overlap: one every ``days``. ``better`` is by how many percent they beat "the last 28
    days continued" (pinball loss of P10, P50 and P90).
    """

    days: int
    held: int
    below: int
    above: int
    better: float | None

    @property
    def total(self) -> int:
        return self.held + self.below + self.above

    @property
    def is_young(self) -> bool:
        return self.total < _LEAST_ORIGINS

    @property
    def percent(self) -> int:
        return round(100 * self.held / self.total) if self.total else 0


def write_forecasts(session: Session, zone: ZoneInfo, grace: timedelta, at: datetime) -> None:
    """Forecast the newsroom's number, and each running campaign's at its deadline.

    Each day's last forecast stays as shown.
    """
    _note_what_came(session, zone, at)
    outlook, rates = read_outlook(session, zone, grace, at), read_rates(session, grace, at)
    net = _net_a_day(session, zone, at)
    today = at.astimezone(zone).date()

    def keep(
        campaign: str, days: int, due_at: datetime, outlook: Outlook, goal: int | None = None
    ) -> None:
        left = (due_at - at) / timedelta(days=1)
        found = forecast(outlook, rates, left, goal=goal)
        if found is not None:
            key = {"day": today, "campaign": campaign, "days": days}
            row = _row(found) | {
                "made_at": at,
                "due_at": due_at,
                "members": outlook.members,
                "goal": goal,
                "pace": max(round(outlook.members + net * left), 0),
            }
            statement = insert(ShownForecast).values(key | row)
            session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=row))

    for days in HORIZONS:
        keep("", days, at + timedelta(days=days), outlook)
    for campaign in _running(session, at):
        progress = read_progress(session, campaign)
        of_campaign = replace(outlook, members=progress.members)
        keep(campaign.slug, _TO_DEADLINE, campaign.deadline, of_campaign, progress.goal)


def read_newest(session: Session, at: datetime) -> list[ShownForecast]:
    """The latest forecasts, nearest first; empty if it is too early."""
    newest = select(func.max(ShownForecast.day)).scalar_subquery()
    return list(
        session.scalars(
            select(ShownForecast)
            .where(ShownForecast.day == newest, ShownForecast.made_at > at - _STALE)
            .order_by(ShownForecast.days)
        )
    )


def read_records(session: Session, at: datetime) -> dict[int, Record]:
    """The track records, by days ahead."""
    epoch = literal(date(2000, 1, 1))
    rows = session.scalars(
        select(ShownForecast).where(
            ShownForecast.campaign == "",
            ShownForecast.came.is_not(None),
            ShownForecast.day > at.date() - _REMEMBERED,
            (ShownForecast.day - epoch) % ShownForecast.days == 0,
        )
    ).all()
    return {days: record_of(days, [row for row in rows if row.days == days]) for days in HORIZONS}


def record_of(days: int, rows: Sequence[ShownForecast]) -> Record:
    """Compare outcomes with forecasts."""
    came = [(row, row.came) for row in rows if row.came is not None]
    below = sum(number < row.low for row, number in came)
    above = sum(number > row.high for row, number in came)
    ours = sum(
        _pinball(share, said, number)
        for row, number in came
        for share, said in zip(_QUANTILES, (row.low, row.middle, row.high), strict=True)
    )
    plain = sum(_pinball(share, row.pace, number) for row, number in came for share in _QUANTILES)
    better = 100 * (1 - ours / plain) if plain else None
    return Record(days, len(came) - below - above, below, above, better)


def _pinball(share: float, said: int, came: int) -> float:
    """The pinball loss of a quantile, which honest quantiles minimise."""
    return max(share * (came - said), (share - 1) * (came - said))


def _row(found: Forecast) -> dict[str, object]:
    return {
        "low": found.low,
        "middle": found.middle,
        "high": found.high,
        "chance": found.chance,
        "joins": round(found.joins),
        "canceled": round(found.losses.canceled),
        "overdue": round(found.losses.overdue),
        "ending": round(found.losses.ending),
        "renewals": round(found.losses.renewals),
        "rush_low": found.rush[0],
        "rush_high": found.rush[1],
    }


def _running(session: Session, at: datetime) -> Sequence[Campaign]:
    return session.scalars(
        select(Campaign).where(
            Campaign.archived_at.is_(None), Campaign.starts_at <= at, Campaign.deadline > at
        )
    ).all()


def _net_a_day(session: Session, zone: ZoneInfo, at: datetime) -> float:
    """The daily change of the number over the last 28 days, by readers' own actions."""
    since = start_of_day(at, zone, PACE_DAYS)
    moved = read_moved(session, zone, since, at).values()
    net = read_balance(session).members - balance_at(session, since)
    return (net - sum(joined - left for joined, left in moved)) / ((at - since) / timedelta(days=1))


def _note_what_came(session: Session, zone: ZoneInfo, at: datetime) -> None:
    """Store the number at a forecast's time, without changes that no reader made."""
    for row in session.scalars(
        select(ShownForecast).where(ShownForecast.came.is_(None), ShownForecast.due_at <= at)
    ):
        moved = read_moved(session, zone, row.made_at, row.due_at).values()
        # A campaign may count from its start: its number differs from the balance by a constant.
        offset = row.members - balance_at(session, row.made_at) if row.campaign else 0
        came = balance_at(session, row.due_at) + offset
        row.came = came - sum(joined - left for joined, left in moved)
