"""Staff page of retention: how long members stay, and why they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.models import Subject
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
# The list of members knows these filters; a gift and a complimentary membership are a status.
_FILTERS = {Subject.INTERVAL: "interval", Subject.TIER: "tier", Subject.ARTICLE: "ref"}


@blueprint.get("/staff/retention")
def retention() -> ResponseReturnValue:
    """How long members stay, by month and way of joining, and why people cancel."""
    session, settings, at = db.session(), current_settings(), now()
    zone = settings.newsroom_timezone
    tiers = dict(session.execute(select(Tier.slug, Tier.names)).all())
    return render_template(
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
        reasons=figures.read_reasons(session, zone, at),
        fewest=FEWEST,
        grace_days=settings.grace.days,
    )
