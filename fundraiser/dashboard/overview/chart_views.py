"""The overview's charts as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from fundraiser import db
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.config import current_settings
from fundraiser.dashboard.overview.curves import read_bars, read_curve, read_range
from fundraiser.errors import NotFoundError
from fundraiser.members.history import Mark
from fundraiser.members.ledger import read_balance
from fundraiser.spreadsheets import BYTE_ORDER_MARK, write_rows
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

blueprint = Blueprint("charts", __name__)


@blueprint.get("/staff/charts/<name>.csv")
def download(name: str) -> ResponseReturnValue:
    """A chart's values in the range of the page: whole, where the page's table is short."""
    rows = {"members": _members, "joined-and-left": _joined_and_left}.get(name)
    if rows is None:
        raise NotFoundError(_("We have no such chart."))
    return Response(
        BYTE_ORDER_MARK + write_rows(rows()),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def _members() -> Iterator[list[str]]:
    session, zone = db.session(), current_settings().newsroom_timezone
    campaign = current_campaign(session)
    of = (campaign, read_progress(session, campaign)) if campaign else None
    curve = read_curve(session, zone, read_range(request.args.get("range"), campaign), of)
    yield [_("Time"), _("Members")]
    for at, members in curve.series if curve else ():
        yield [f"{at.astimezone(zone):%Y-%m-%d %H:%M}", str(members)]


def _joined_and_left() -> Iterator[list[str]]:
    session, zone = db.session(), current_settings().newsroom_timezone
    balance = read_balance(session)
    span = read_range(request.args.get("range"), current_campaign(session))
    bars = read_bars(session, zone, span, Mark(balance.version, balance.members))
    yield [_("From"), _("Days"), _("Joined"), _("Left"), _("Net through imports")]
    for day in bars.days:
        first = f"{day.start.astimezone(zone):%Y-%m-%d}"
        yield [first, *map(str, (bars.step, day.joined, day.stopped, day.imported))]
