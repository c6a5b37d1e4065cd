"""The forecast in words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask_babel import format_decimal, ngettext

from fundraiser.texts import date, gettext as _, time

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.dashboard.overview.curves import Range
    from fundraiser.dashboard.overview.figures import Day
    from fundraiser.dashboard.overview.forecasts import Record

_HARDLY, _NEARLY = 0.01, 0.99


def chance(share: float) -> str:
    """A probability in percent, never 0 or 100."""
    if share < _HARDLY:
        return _("less than 1%")
    if share > _NEARLY:
        return _("more than 99%")
    return _("%(percent)s%%", percent=format_decimal(round(100 * share)))


def span(shown: Range) -> str:
    """A range of the charts."""
    return {
        "campaign": _("Campaign"),
        "28": _("28 days"),
        "91": _("13 weeks"),
        "365": _("12 months"),
        "all": _("All"),
    }[shown.value]


def members_at(at: datetime, members: int, *, last: bool) -> str:
    """A day's number of members; the last one's time matters, as its day isn't over."""
    return str(
        ngettext(
            "%(date)s: %(count)s member",
            "%(date)s: %(count)s members",
            members,
            date=f"{date(at)}, {time(at)}" if last else date(at),
            count=format_decimal(members),
        )
    )


def joined_and_left(day: Day, step: int) -> str:
    """How many people joined and left on a day, or in ``step`` days."""
    values = {
        "joined": format_decimal(day.joined),
        "left": format_decimal(day.stopped),
        "date": date(day.start),
    }
    if step == 1:
        return _("%(date)s: %(joined)s joined, %(left)s left", **values)
    end = date(day.start + timedelta(days=step - 1, hours=12))
    return _("%(date)s to %(end)s: %(joined)s joined, %(left)s left", end=end, **values)


def record(found: Record) -> str:
    """How often forecasts held, or that it is too early to say."""
    if found.is_young:
        return str(
            ngettext(
                "Too early to say: %(num)s forecast completed so far",
                "Too early to say: %(num)s forecasts completed so far",
                found.total,
            )
        )
    return _(
        "%(held)s of %(total)s were in range (%(percent)s%%)",
        held=format_decimal(found.held),
        total=format_decimal(found.total),
        percent=format_decimal(found.percent),
    )


def misses(found: Record) -> str:
    """On which side forecasts missed, and whether they beat the simple method."""
    sides = _(
        "%(below)s ended below the range, %(above)s above it.",
        below=format_decimal(found.below),
        above=format_decimal(found.above),
    )
    if found.better is None:
        return sides
    percent = format_decimal(abs(round(found.better)))
    worth = (
        _(
            "The error is %(percent)s%% smaller than if we simply extended the last 28 days.",
            percent=percent,
        )
        if found.better >= 0
        else _(
            "The error is %(percent)s%% larger than if we simply extended the last 28 days.",
            percent=percent,
        )
    )
    return f"{sides} {worth}"
