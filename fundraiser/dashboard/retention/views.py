"""Staff page of retention: how long members stay, and why they leave."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.models import Subject
from fundraiser.dashboard.periods import read_choice
from fundraiser.dashboard.retention import figures, labels
from fundraiser.dashboard.retention.survival import FEWEST
from fundraiser.db import now
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments.models import Tier
from fundraiser.texts import by_language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

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


@blueprint.get("/staff/retention")
def retention() -> ResponseReturnValue:
    """How long members stay, by month and way of joining, and why people cancel."""
    session, settings, at = db.session(), current_settings(), now()
    zone = settings.newsroom_timezone
    tiers = dict(session.execute(select(Tier.slug, Tier.names)).all())
    first_reason = figures.read_first_reason(session)
    choice = read_choice(request.args, first_reason, at.astimezone(zone).date(), usual=_YEAR)
    page = render_template(
        "dashboard/retention.html",
        staff=signed_in_staff(),
        says=labels,
        made_at=figures.read_made_at(session),
        tables=[(subject, figures.read_groups(session, subject)) for subject in _SUBJECTS],
        filters=_FILTERS,
        tiers={slug: by_language(names) for slug, names in tiers.items()},
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
