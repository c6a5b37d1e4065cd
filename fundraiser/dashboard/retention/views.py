"""Staff page of retention: how long members stay, and why they leave."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template, request
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.models import Subject
from fundraiser.dashboard.periods import read_choice
from fundraiser.dashboard.retention import figures, labels
from fundraiser.dashboard.retention.chart import DAYS, stay_chart
from fundraiser.dashboard.retention.survival import FEWEST
from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments.models import Tier
from fundraiser.spreadsheets import BYTE_ORDER_MARK, write_rows
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.retention.figures import Group

blueprint = Blueprint("retention_pages", __name__)

_SUBJECTS = (Subject.INTERVAL, Subject.TIER, Subject.SOURCE, Subject.ARTICLE)
# The list of members knows these filters, of the membership that people joined with.
_FILTERS = {
    Subject.INTERVAL: "interval",
    Subject.TIER: "tier",
    Subject.SOURCE: "source",
    Subject.ARTICLE: "ref",
}
_COMMENTS = 30
_YEAR = 12  # months
_CHARTS = (Subject.INTERVAL, Subject.TIER)


@blueprint.get("/staff/retention")
def retention() -> ResponseReturnValue:
    """How long members stay, by month and way of joining, and why people cancel."""
    session, settings, at = db.session(), current_settings(), now()
    zone = settings.newsroom_timezone
    tiers = _tiers(session)
    tables = [(subject, figures.read_groups(session, subject)) for subject in _SUBJECTS]
    first_reason = figures.read_first_reason(session)
    choice = read_choice(request.args, first_reason, at.astimezone(zone).date(), usual=_YEAR)
    page = render_template(
        "dashboard/retention.html",
        staff=signed_in_staff(),
        says=labels,
        made_at=figures.read_made_at(session),
        tables=tables,
        charts={
            subject: stay_chart(_named(subject, groups, tiers))
            for subject, groups in tables
            if subject in _CHARTS
        },
        filters=_FILTERS,
        tiers=tiers,
        days=[(steps, 30 * steps) for steps in figures.SHOWN],
        cohorts=figures.read_cohorts(session, zone, settings.grace, at),
        cohort_days=[30 * steps for steps in figures.COHORTS_SHOWN],
        choice=choice,
        reasons=figures.read_reasons(session, choice.period, choice.compared),
        comments=figures.read_comments(session, choice.period, zone, _COMMENTS),
        fewest=FEWEST,
        grace_days=settings.grace.days,
    )
    return page, HTTPStatus.UNPROCESSABLE_ENTITY if choice.is_wrong else HTTPStatus.OK


@blueprint.get("/staff/retention/<subject>.csv")
def download(subject: str) -> ResponseReturnValue:
    """The curves of every way of joining, by days since joining."""
    session = db.session()
    if subject not in set(Subject) - {Subject.REASON}:
        raise NotFoundError(_("We have no such chart."))
    known = Subject(subject)
    groups = _named(known, figures.read_groups(session, known), _tiers(session))
    last = max((len(group.curve.shares) for _name, group in groups), default=0)
    rows = [[_("Days"), *(name for name, _group in groups)]]
    for step in range(1, last + 1):
        shares = (group.curve.at(step) for _name, group in groups)
        rows.append(
            [str(step * DAYS), *("" if share is None else f"{share:.4f}" for share in shares)]
        )
    return Response(
        BYTE_ORDER_MARK + write_rows(rows),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="retention-{subject}.csv"'},
    )


def _tiers(session: Session) -> dict[str, str]:
    rows = session.execute(select(Tier.slug, Tier.names))
    return {slug: by_language(names) for slug, names in rows}


def _named(
    subject: Subject, groups: Iterable[Group], tiers: dict[str, str]
) -> list[tuple[str, Group]]:
    return [(labels.key(subject, group.key, tiers), group) for group in groups]
