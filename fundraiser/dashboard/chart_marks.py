"""What happened on a chart's days: campaigns, mailings, new prices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from flask_babel import format_decimal
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from fundraiser.campaigns.models import Campaign, Goal
from fundraiser.dashboard import labels
from fundraiser.emails.mailings import list_mailings
from fundraiser.payments.models import OldPrice, Tier
from fundraiser.texts import by_language, date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

_MOST = 26  # letters
_APART = 8  # percent of the width: closer marks share a letter


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: its day and what it was, in words."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """Marks at nearly the same place, with their letters: "A", or "B–D"."""

    x: float
    letters: str
    marks: list[Mark]


def read_marks(session: Session, start: datetime, end: datetime) -> list[Mark]:
    """The latest things that happened in this time, in order; the same on one day is one mark."""
    found = [
        *_campaigns(session),
        *_mailings(session, start, end),
        *_prices(session, start, end),
    ]
    inside = sorted((mark for mark in found if start < mark.at <= end), key=lambda mark: mark.at)
    return list({mark.text: mark for mark in inside}.values())[-_MOST:]


def place(marks: Sequence[Mark], start: datetime, end: datetime) -> list[PlacedMark]:
    """Lay those of this time out on its chart; the letters are in order."""
    placed: list[tuple[float, list[Mark]]] = []
    for mark in (one for one in marks if start < one.at <= end):
        x = round((mark.at - start) / (end - start) * 100, 2)
        if placed and x - placed[-1][0] < _APART:
            placed[-1][1].append(mark)
        else:
            placed.append((x, [mark]))
    found, count = [], 0
    for x, here in placed:
        first, last = (chr(ord("A") + place) for place in (count, count + len(here) - 1))
        found.append(PlacedMark(x, first if first == last else f"{first}–{last}", here))
        count += len(here)
    return found


def _campaigns(session: Session) -> Iterator[Mark]:
    with_goals = select(Campaign).options(joinedload(Campaign.goals)).order_by(Campaign.starts_at)
    for campaign in session.scalars(with_goals).unique():
        name = by_language(campaign.headlines)
        happened = (
            (campaign.starts_at, _("“%(name)s” starts", name=name)),
            *(
                (
                    goal.set_at,
                    _(
                        "the goal of “%(name)s” becomes %(goal)s",
                        name=name,
                        goal=format_decimal(goal.members),
                    ),
                )
                for goal in _new(campaign)
            ),
            (campaign.deadline, _("“%(name)s” ends", name=name)),
        )
        yield from (_mark(at, words) for at, words in happened)


def _new(campaign: Campaign) -> list[Goal]:
    """Goals that were set while it ran."""
    return [goal for goal in campaign.goals[1:] if goal.set_at > campaign.starts_at]


def _mailings(session: Session, start: datetime, end: datetime) -> Iterator[Mark]:
    for mailing in list_mailings(session, start, end):
        name = labels.email(mailing.kind)
        yield _mark(mailing.at, _("e-mailed to everybody who asked for news: %(name)s", name=name))


def _prices(session: Session, start: datetime, end: datetime) -> Iterator[Mark]:
    """One mark for prices that staff changed together."""
    rows = session.execute(
        select(OldPrice.retired_at, Tier.names)
        .join(Tier, Tier.slug == OldPrice.tier_slug)
        .where(OldPrice.retired_at >= start, OldPrice.retired_at <= end)
        .order_by(OldPrice.retired_at)
    )
    for _day, of_day in groupby(rows, key=lambda row: row.retired_at.date()):
        changed = list(of_day)
        names = dict.fromkeys(by_language(row.names) for row in changed)
        words = _("new prices: %(tiers)s", tiers=", ".join(names))
        yield _mark(changed[0].retired_at, words)


def _mark(at: datetime, words: str) -> Mark:
    return Mark(at, f"{date(at)}: {words}")
