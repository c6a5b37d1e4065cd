"""Staff page of the recurring income: what changed it, and how it compares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request
from sqlalchemy import func, select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.models import DailyFigure, Movement, Part, Subject, Topic
from fundraiser.dashboard.mrr import labels
from fundraiser.dashboard.mrr.statement import read_kept, read_known_since, read_movements
from fundraiser.dashboard.mrr.value import Recovery, expected_periods, read_recovery
from fundraiser.dashboard.overview.daily import read_counted_at
from fundraiser.dashboard.periods import Period, read_choice
from fundraiser.dashboard.retention.figures import read_groups
from fundraiser.db import now
from fundraiser.newsroom.sign_in import signed_in_staff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.mrr.statement import Movements, Statement

blueprint = Blueprint("income_pages", __name__)

_MOST_MONTHS = 36  # in the table by month


@dataclass(frozen=True, slots=True)
class Shown:
    """A period's statement and recovered payments."""

    statement: Statement
    recovery: Recovery


@blueprint.get("/staff/income")
def income() -> ResponseReturnValue:
    """The recurring income of a period beside another: movements, ratios, months, currencies."""
    session, settings = db.session(), current_settings()
    today = now().astimezone(settings.newsroom_timezone).date()
    movements = read_movements(session, settings.newsroom_currency, today)
    choice = read_choice(request.args, movements.earliest, today)
    asked = request.args.get("currency", "")
    currency = asked if asked in movements.currencies else None
    is_wrong = choice.is_wrong or (bool(asked) and currency is None)
    months = [
        movements.statement(Period(month, month), currency)
        for month in choice.period.months[-_MOST_MONTHS:]
    ]
    shown = _show(session, movements, choice.period, currency)
    page = render_template(
        "dashboard/income.html",
        staff=signed_in_staff(),
        says=labels,
        choice=choice,
        own=settings.newsroom_currency,
        currency=currency,
        currencies=movements.currencies,
        without_rate=movements.without_rate,
        is_wrong=is_wrong,
        this_month=today.replace(day=1),
        counted_at=read_counted_at(session),
        known_since=read_known_since(session),
        kinds=list(Movement),
        shown=shown,
        other=_show(session, movements, choice.compared, currency),
        months=months,
        moving=[kind for kind in Movement if any(one.moved[kind] for one in months)],
        by_currency=[movements.statement(choice.period, code) for code in movements.currencies],
        periods_paid=expected_periods(read_groups(session, Subject.INTERVAL)),
        contents=_contents(session),
    )
    return page, HTTPStatus.UNPROCESSABLE_ENTITY if is_wrong else HTTPStatus.OK


def _show(session: Session, movements: Movements, period: Period, currency: str | None) -> Shown:
    statement = movements.statement(period, currency)
    kept, kept_net = read_kept(session, movements, period, currency)
    return Shown(replace(statement, kept=kept, kept_net=kept_net), read_recovery(session, period))


def _contents(session: Session) -> Sequence[DailyFigure]:
    """The latest day's income and its parts, by currency; all first."""
    is_mrr = DailyFigure.topic == Topic.MRR
    newest = select(func.max(DailyFigure.day)).where(is_mrr).scalar_subquery()
    rows = session.scalars(select(DailyFigure).where(is_mrr, DailyFigure.day == newest))
    order = list(Part)
    return sorted(rows, key=lambda row: (row.currency, order.index(Part(row.key))))
