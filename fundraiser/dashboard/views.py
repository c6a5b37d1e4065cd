"""The staff's pages."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import format_decimal, ngettext
from sqlalchemy import select

from fundraiser import db
from fundraiser.campaigns.models import CampaignStatus, Counts
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.config import current_settings
from fundraiser.dashboard import figures, people, words
from fundraiser.dashboard.chart import bar_chart, line_chart
from fundraiser.db import now
from fundraiser.errors import BadRequestError, NotFoundError
from fundraiser.members.ledger import read_balance
from fundraiser.members.proof import count_drift, read_drift
from fundraiser.newsroom.audit import Act, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import own_path, signed_in_staff
from fundraiser.payments.models import Customer, Tier
from fundraiser.texts import gettext as _
from fundraiser.webhooks import inbox

if TYPE_CHECKING:
    from datetime import datetime

    from flask.typing import ResponseReturnValue

    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress
    from fundraiser.dashboard.chart import LineChart
    from fundraiser.dashboard.figures import Machinery, Pace

blueprint = Blueprint("dashboard", __name__)

_NEWEST, _MOST_SHOWN = 10, 20


@blueprint.get("/staff", strict_slashes=False)
def overview() -> ResponseReturnValue:
    """Will we make it, and what needs somebody today?"""
    session, zone = db.session(), current_settings().newsroom_timezone
    campaign = current_campaign(session)
    progress = read_progress(session, campaign) if campaign else None
    today, week, month = figures.read_flows(session, zone)
    pace = figures.read_pace(progress, month) if progress else None
    machinery = figures.read_machinery(session)
    chart, table = _chart(campaign, progress, pace)
    return _page(
        "dashboard/overview.html",
        campaign=campaign,
        progress=progress,
        balance=read_balance(session),
        pace=pace,
        today_flow=today,
        week_flow=week,
        month_flow=month,
        machinery=machinery,
        troubles=_troubles(machinery),
        resting=inbox.resting(session, most=_MOST_SHOWN),
        drift=read_drift(session, _MOST_SHOWN),
        drift_count=sum(count_drift(session).values()),
        failed_letters=figures.read_failed_letters(session, _MOST_SHOWN)
        if may(signed_in_staff(), Permission.READ_LETTERS)
        else [],
        chart=chart,
        chart_table=table,
        bars=bar_chart(figures.read_weeks(session, zone)),
        sums=figures.read_contribution_sums(session),
        newest=people.read_newest_members(session, _NEWEST),
        at=now(),
    )


@blueprint.get("/staff/members")
def members() -> ResponseReturnValue:
    """Who they are: a list to search."""
    query = "".join(letter for letter in request.args.get("q", "") if letter.isprintable())
    try:
        which = people.Filter(request.args.get("state") or people.Filter.ALL)
    except ValueError as error:
        raise BadRequestError(
            _("There is no such list. Choose everybody, who counts, or who does not.")
        ) from error
    before = _key("before")
    page = people.list_members(db.session(), query, which, before)
    return _page(
        "dashboard/members.html",
        query=query,
        which=which,
        before=before,
        page=page,
        filters=[
            (people.Filter.ALL, _("Everybody")),
            (people.Filter.COUNTING, _("Counting")),
            (people.Filter.NOT_COUNTING, _("Not counting")),
        ],
        balance=read_balance(db.session()),
    )


@blueprint.get("/staff/members/<int:member_id>")
def member(member_id: int) -> ResponseReturnValue:
    """All that is known of one person."""
    person = people.read_person(db.session(), member_id)
    return _page(
        "dashboard/member.html",
        person=person,
        member=person.member,
        tier_names=dict(db.session().execute(select(Tier.slug, Tier.names)).all()),
    )


@blueprint.get("/staff/contributions")
def contributions() -> ResponseReturnValue:
    """What was given once."""
    rows, older = people.list_contributions(db.session(), _key("before"))
    return _page(
        "dashboard/contributions.html",
        rows=rows,
        older=older,
        before=_key("before"),
        sums=figures.read_contribution_sums(db.session()),
    )


@blueprint.post("/staff/customers/<name>/look")
def look_again(name: str) -> ResponseReturnValue:
    """Have a customer settled again; asked twice, it is done once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.SETTLE)
    if not inbox.settle_again(session, name):
        if session.get(Customer, name) is None:
            raise NotFoundError(_("There is no such customer in our books."))
        inbox.look_at(session, name)
    record(session, Act.SETTLED_AGAIN, f"customer {name}", staff=staff)
    flash(_("%(customer)s is being looked at again. Reload in a moment.", customer=name))
    return redirect(own_path(request.form.get("back")), HTTPStatus.SEE_OTHER)


def _page(template: str, **values: object) -> str:
    staff = signed_in_staff()
    return render_template(
        template,
        staff=staff,
        words=words,
        signed=_signed,
        may_settle=may(staff, Permission.SETTLE),
        may_read_letters=may(staff, Permission.READ_LETTERS),
        **values,
    )


def _key(name: str) -> int | None:
    """The key at which a page begins; anything that is none begins at the newest."""
    value = request.args.get(name, "")
    return int(value) if value.isdecimal() and len(value) < len(str(2**63)) else None


def _signed(value: float) -> str:
    """With its sign, a real minus among them: +212 or 0."""
    digits = format_decimal(abs(value))
    return f"+{digits}" if value > 0 else f"−{digits}" if value < 0 else digits  # noqa: RUF001 - a minus


def _troubles(machinery: Machinery) -> list[str]:
    """What does not run as it should, a sentence each."""
    at = now()
    troubles = []
    beat = machinery.heartbeats.get("worker")
    if beat is None:
        troubles.append(_("No worker has ever reported. Until one runs, joins are not counted."))
    elif at - beat > figures.SILENT:
        minutes = int((at - beat).total_seconds() // 60)
        troubles.append(
            ngettext(
                "The workers have been silent for %(num)s minute. New joins wait until they run.",
                "The workers have been silent for %(num)s minutes. New joins wait until they run.",
                minutes,
            )
        )
    oldest = machinery.oldest_unsettled
    if oldest and at - oldest > figures.LATE:
        minutes = int((at - oldest).total_seconds() // 60)
        troubles.append(
            ngettext(
                "An event from Stripe has waited for %(num)s minute.",
                "An event from Stripe has waited for %(num)s minutes.",
                minutes,
            )
        )
    return troubles


def _chart(
    campaign: Campaign | None, progress: Progress | None, pace: Pace | None
) -> tuple[LineChart | None, list[tuple[datetime, int]]]:
    """The campaign's members over time, and the same as a short table."""
    if not campaign or not progress or not pace or progress.status is CampaignStatus.SCHEDULED:
        return None, []
    session, zone = db.session(), current_settings().newsroom_timezone
    times = figures.sample_times(campaign.starts_at, min(now(), campaign.deadline), zone)
    marks = figures.read_marks(session, times)
    base = marks[0].balance if campaign.counts is Counts.NEW else 0
    series = [(at, mark.balance - base) for at, mark in zip(times, marks, strict=True)]
    series[-1] = (times[-1], progress.members)
    chart = line_chart(series, end=campaign.deadline, goal=progress.goal, projected=pace.projected)
    return chart, series[:: max(len(series) // 12, 1)]
