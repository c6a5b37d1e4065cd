"""Staff page of overdue payments: what is at risk, what failed, what was recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.overdue import desk
from fundraiser.dashboard.overdue.labels import cause
from fundraiser.db import now
from fundraiser.members.history import start_of_day
from fundraiser.newsroom.roles import Permission, may
from fundraiser.newsroom.sign_in import signed_in_staff

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("overdue_desk", __name__)

_LARGEST_KEY = 2**63 - 1


@blueprint.get("/staff/overdue")
def overdue() -> ResponseReturnValue:
    """All members with an overdue payment, soonest to stop being counted first."""
    session, staff, settings = db.session(), signed_in_staff(), current_settings()
    counted = request.args.get("counted") != "no"
    typed = request.args.get("after", "")
    is_key = typed.isascii() and typed.isdecimal() and len(typed) < len(str(_LARGEST_KEY))
    reads_emails = may(staff, Permission.READ_EMAILS)
    found, next_after = desk.read_overdue(
        session,
        settings.grace,
        counted=counted,
        after=int(typed) if is_key else None,
        with_emails=reads_emails,
    )
    within, beyond = desk.count_overdue(session, settings.grace)
    midnight = start_of_day(now(), settings.newsroom_timezone)
    failed_count, failed = desk.read_failed(session, midnight)
    months = desk.read_recoveries(session)
    return render_template(
        "dashboard/overdue.html",
        staff=staff,
        cause=cause,
        counted=counted,
        within=within,
        beyond=beyond,
        sums=desk.read_sums(session, settings.grace, counted=counted),
        found=found,
        next_after=next_after,
        after=is_key,
        reads_emails=reads_emails,
        failed=failed,
        failed_count=failed_count,
        months=[(month, desk.together(causes), causes) for month, causes in months],
        grace_days=settings.grace.days,
    )
