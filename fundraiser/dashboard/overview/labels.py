"""The forecast in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_babel import format_decimal, ngettext

from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from fundraiser.dashboard.overview.forecasts import Record

_HARDLY, _NEARLY = 0.01, 0.99


def chance(share: float) -> str:
    """A probability in percent, never 0 or 100."""
    if share < _HARDLY:
        return _("less than 1%")
    if share > _NEARLY:
        return _("more than 99%")
    return _("%(percent)s%%", percent=format_decimal(round(100 * share)))


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
