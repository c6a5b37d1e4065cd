"""The list of members as a page and as a file, with its filters."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, render_template, request, url_for

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import chosen_on_page, on_page
from fundraiser.dashboard.export import stream_members
from fundraiser.dashboard.members.columns import COLUMNS, with_ticks
from fundraiser.dashboard.members.filters import (
    NO_REASON,
    Held,
    Leaving,
    Period,
    Sort,
    State,
    read_filters,
    read_options,
)
from fundraiser.dashboard.members.listing import Page, count_members, list_members
from fundraiser.dashboard.members.saved_views import list_views, may_delete, query_of
from fundraiser.dashboard.models import Movement, Subject
from fundraiser.dashboard.mrr.labels import movement
from fundraiser.dashboard.retention.labels import key, reason
from fundraiser.dashboard.retention.stays import FEEDBACK
from fundraiser.db import now
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Interval, Source
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.confirmation import confirmed
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.paging import read_key
from fundraiser.payments.models import Tier
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.members.filters import Filters, Options
    from fundraiser.db import Database

blueprint = Blueprint("member_list", __name__)


def show_list(typed: Mapping[str, str]) -> ResponseReturnValue:
    """The list, or messages beside invalid filters."""
    session, zone = db.session(), current_settings().newsroom_timezone
    options = read_options(session)
    filters, errors = read_filters(typed, options)
    after = typed.get("after", "")
    page = Page([], None) if errors else list_members(session, filters, zone, after)
    first = 1 if page.lost or not after else read_key(typed.get("first", "")) or 1
    matches, more = (0, False) if errors else _count(session, filters, page, after)
    columns = chosen_on_page(COLUMNS, filters.column_names())
    may_change = may(signed_in_staff(), Permission.CHANGE_MEMBER)
    shown = render_template(
        "dashboard/members.html",
        staff=signed_in_staff(),
        filters=filters,
        errors=errors,
        page=page,
        first=first,
        matches=matches,
        more=more,
        link=lambda **others: members_address(filters, **others),
        columns=with_ticks(columns) if may_change else columns,
        may_change=may_change,
        all_columns=on_page(COLUMNS)[1:],
        views=list_views(session, signed_in_staff()),
        view_query=query_of(filters),
        may_delete=may_delete,
        after="" if page.lost else after,
        choices=_choices(options),
        refs=options.refs,
        may_export=may(signed_in_staff(), Permission.EXPORT),
        balance=read_balance(session),
    )
    return shown, HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK


@blueprint.post("/staff/members/export")
@confirmed
def export() -> ResponseReturnValue:
    """All matches as CSV; the audit log records who exported with which filters."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.EXPORT)
    filters, errors = read_filters(request.form, read_options(session))
    if errors:
        return show_list(request.form)
    narrowed = ", ".join(sorted(filters.query()))
    record(session, Action.EXPORTED_MEMBERS, f"members by {narrowed or 'nothing'}", staff=staff)
    database: Database = current_app.extensions["database"]
    zone = current_settings().newsroom_timezone
    name = f"members-{now().astimezone(zone):%Y-%m-%d-%H%M}.csv"
    return Response(
        stream_members(session, database.engine, filters, zone),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def members_address(filters: Filters, **others: str) -> str:
    """The list's address with these filters, other ones replaced or added."""
    return f"{url_for('dashboard.members')}?{urlencode(filters.query() | others)}"


def _count(session: Session, filters: Filters, page: Page, after: str) -> tuple[int, bool]:
    """Count the matches; a first page without a next one shows all of them."""
    if not page.after and (page.lost or not after):
        return len(page.rows), False
    return count_members(session, filters, current_settings().newsroom_timezone)


def _choices(options: Options) -> dict[str, list[tuple[str, str]]]:
    """Each filter's options with labels."""
    names = {tier.slug: by_language(tier.names) for tier in db.session().query(Tier)}
    countries = sorted((labels.country(code) or code, code) for code in options.countries)
    return {
        "state": [
            (State.COUNTING, _("Counted")),
            (State.NOT_COUNTING, _("Not counted")),
            (State.OVERDUE, _("Payment overdue")),
            (State.LEFT, _("No longer counted")),
            (State.NEVER, _("Never counted")),
            (State.COMPLIMENTARY, _("Complimentary")),
            (State.GIFT, _("Gift")),
        ],
        "tier": [(slug, names.get(slug, slug)) for slug in options.tiers],
        "interval": [(Interval.MONTH, _("Monthly")), (Interval.YEAR, _("Yearly"))],
        "currency": [(code, code) for code in options.currencies],
        "country": [(code, name) for name, code in countries],
        "campaign": [(slug, slug) for slug in options.campaigns],
        "label": [*options.labels.items()],
        "joined": [
            (Period.THIS_MONTH, _("This month")),
            (Period.LAST_MONTH, _("Last month")),
            (Period.THIS_YEAR, _("This year")),
            (Period.LAST_YEAR, _("Last year")),
        ],
        "movement": [(kind, movement(kind)) for kind in Movement],
        "reason": [(NO_REASON, reason("")), *((one, reason(one)) for one in FEEDBACK)],
        "source": [(one, key(Subject.SOURCE, one, {})) for one in Source],
        "held": [(Held.FIRST, _("The one they joined with"))],
        "leaving": [
            (Leaving.WEEK, _("Within 7 days")),
            (Leaving.MONTH, _("Within 30 days")),
            (Leaving.ANY, _("Any end date")),
        ],
        "sort": [
            (Sort.NEWEST, _("Latest first")),
            (Sort.OLDEST, _("Oldest first")),
            (Sort.NAME, _("By name")),
            (Sort.LEAVING, _("Ending soonest first")),
        ],
    }
