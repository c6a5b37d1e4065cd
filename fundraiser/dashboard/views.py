"""Staff pages: overview, members, contributions."""

from __future__ import annotations

from http import HTTPStatus
from itertools import groupby
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import format_decimal
from sqlalchemy import select

from fundraiser import db
from fundraiser.account.labels import say_payment
from fundraiser.config import current_settings
from fundraiser.dashboard import labels
from fundraiser.dashboard.finance.columns import CONTRIBUTION_COLUMNS
from fundraiser.dashboard.members import giving, profile
from fundraiser.dashboard.members.list_views import show_list
from fundraiser.dashboard.members.timeline import read_timeline
from fundraiser.dashboard.overview import figures, labels as overview_labels
from fundraiser.dashboard.overview.columns import failed_sync_columns
from fundraiser.dashboard.overview.daily import read_counted_at
from fundraiser.dashboard.overview.summary import read_overview
from fundraiser.errors import NotFoundError
from fundraiser.incidents import current_incidents
from fundraiser.members.member_labels import labels_of, list_labels
from fundraiser.members.overdue import paid_until
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import own_path, signed_in_staff
from fundraiser.paging import key_from_url
from fundraiser.payments import queue
from fundraiser.payments.models import Customer, Tier
from fundraiser.payments.statement import read_statement
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("dashboard", __name__)


@blueprint.app_context_processor
def _in_templates() -> dict[str, object]:
    """The labels of all staff pages; a view with labels of its own passes those instead."""
    return {"words": labels}


@blueprint.get("/staff", strict_slashes=False)
def overview() -> ResponseReturnValue:
    """The overview: forecast, figures and warnings."""
    current_incidents().write()  # what this request itself has shown is told at once
    values = read_overview(
        db.session(),
        current_settings(),
        reads_emails=may(signed_in_staff(), Permission.READ_EMAILS),
        shown_range=request.args.get("range"),
    )
    columns = failed_sync_columns(may_retry=may(signed_in_staff(), Permission.SETTLE), since=False)
    return _page(
        "dashboard/overview.html", says=overview_labels, failed_sync_columns=columns, **values
    )


@blueprint.get("/staff/members")
def members() -> ResponseReturnValue:
    """The list of members."""
    return show_list(request.args)


@blueprint.get("/staff/members/<int:member_id>")
def member(member_id: int) -> ResponseReturnValue:
    """A person's page."""
    session, staff = db.session(), signed_in_staff()
    person = profile.read_person(session, member_id)
    settings = current_settings()
    zone, years = (
        settings.newsroom_timezone,
        giving.read_years(session, member_id, settings.newsroom_timezone),
    )
    may_change, may_refund, may_read = (
        may(staff, permission)
        for permission in (Permission.CHANGE_MEMBER, Permission.REFUND, Permission.READ_EMAILS)
    )
    return _page(
        "dashboard/member.html",
        person=person,
        member=person.member,
        paid_until=paid_until,
        may_change=may_change,
        timeline=[
            (year, list(entries))
            for year, entries in groupby(
                read_timeline(
                    session,
                    person,
                    with_emails=may_read,
                    may_change=may_change,
                    may_refund=may_refund,
                ),
                key=lambda entry: entry.at.astimezone(zone).year,
            )
        ],
        years=years,
        lifetime=giving.lifetime(years),
        monthly=giving.monthly(person.memberships),
        next=giving.read_next(person, person.emails if may_read else (), settings.grace),
        member_labels=labels_of(session, [member_id]).get(member_id, []),
        known_labels=list_labels(session) if may_change else [],
        tier_names=dict(db.session().execute(select(Tier.slug, Tier.names)).all()),
    )


@blueprint.get("/staff/members/<int:member_id>/statements/<int:year>")
def statement(member_id: int, year: int) -> ResponseReturnValue:
    """A member's yearly statement, as the member sees it."""
    session, zone = db.session(), current_settings().newsroom_timezone
    member = profile.read_person(session, member_id).member
    return _page(
        "dashboard/statement.html",
        member=member,
        statement=read_statement(session, member.id, year, zone),
        said=say_payment,
    )


@blueprint.get("/staff/contributions")
def contributions() -> ResponseReturnValue:
    """One-time contributions."""
    rows, older = profile.list_contributions(db.session(), key_from_url("before"))
    return _page(
        "dashboard/contributions.html",
        columns=CONTRIBUTION_COLUMNS,
        rows=rows,
        older=older,
        before=key_from_url("before"),
        sums=figures.read_contribution_sums(db.session()),
        counted_at=read_counted_at(db.session()),
    )


@blueprint.post("/staff/customers/<name>/sync")
def sync_customer(name: str) -> ResponseReturnValue:
    """Request a sync of a customer; the same form twice does it once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.SETTLE)
    if not queue.retry_failed(session, name):
        if session.get(Customer, name) is None:
            raise NotFoundError(_("We have no record of this customer."))
        queue.request_sync(session, name)
    record(session, Action.SETTLED_AGAIN, f"customer {name}", staff=staff)
    flash(_("We’re syncing %(customer)s again. Reload in a moment.", customer=name), "synced-again")
    return redirect(own_path(request.form.get("back")), HTTPStatus.SEE_OTHER)


def _page(template: str, **values: object) -> str:
    staff = signed_in_staff()
    return render_template(
        template,
        staff=staff,
        signed=_signed,
        may_settle=may(staff, Permission.SETTLE),
        may_read_emails=may(staff, Permission.READ_EMAILS),
        **values,
    )


def _signed(value: float) -> str:
    """A number with its sign, using a real minus: +212 or 0."""
    digits = format_decimal(abs(value))
    return f"+{digits}" if value > 0 else f"−{digits}" if value < 0 else digits  # noqa: RUF001 - a minus
