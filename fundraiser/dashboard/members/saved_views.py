"""Saved views of the list of members: filters, order and columns under a name."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, flash, redirect, request, url_for
from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from fundraiser import db
from fundraiser.dashboard.members.filters import read_filters, read_options
from fundraiser.dashboard.models import SavedView
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.newsroom.roles import Permission, may
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask.typing import ResponseReturnValue
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.members.filters import Filters
    from fundraiser.newsroom.models import Staff

blueprint = Blueprint("saved_views", __name__)

_LONGEST = 40  # characters of a name
_MOST = 50  # views of one person
_LONGEST_QUERY = 2000  # characters


def list_views(session: Session, staff: Staff) -> Sequence[SavedView]:
    """One's own views and the shared ones, by name."""
    return session.scalars(
        select(SavedView)
        .where(or_(SavedView.shared, SavedView.staff_id == staff.id))
        .order_by(func.lower(SavedView.name), SavedView.id)
    ).all()


def query_of(filters: Filters) -> str:
    """What a view keeps: all but the words that somebody searched for, which may be a name."""
    query = filters.query()
    query.pop("q", None)
    return urlencode(query)


def may_delete(staff: Staff, view: SavedView) -> bool:
    """Whether a person may delete a view: one's own, or as an administrator a shared one."""
    return view.staff_id == staff.id or (view.shared and may(staff, Permission.MANAGE_STAFF))


@blueprint.post("/staff/members/views")
def save() -> ResponseReturnValue:
    """Save the list's address under a name; the same name again replaces one's view."""
    session, staff = db.session(), signed_in_staff()
    name = " ".join(request.form.get("name", "").split())
    typed = dict(parse_qsl(request.form.get("query", "")[:_LONGEST_QUERY]))
    filters, errors = read_filters(typed, read_options(session))
    query = query_of(filters)
    if not name or errors or not query:
        raise UnprocessableError(_("Choose filters, and enter a name for the view."))
    if len(name) > _LONGEST:
        raise UnprocessableError(_("Enter %(count)s characters or fewer.", count=_LONGEST))
    others: ColumnElement[bool] = SavedView.name != name
    own = select(func.count(SavedView.id)).where(SavedView.staff_id == staff.id, others)
    if (session.scalar(own) or 0) >= _MOST:
        raise UnprocessableError(
            _("You have %(count)s views. Delete one that you no longer need.", count=_MOST)
        )
    values = {"query": query, "shared": request.form.get("shared") == "yes"}
    session.execute(
        insert(SavedView)
        .values(name=name, staff_id=staff.id, created_at=now(), **values)
        .on_conflict_do_update(index_elements=["staff_id", "name"], set_=values)
    )
    flash(_("The view is saved."), "view-saved")
    return redirect(f"{url_for('dashboard.members')}?{query}", HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/members/views/<int:view_id>/removal")
def remove(view_id: int) -> ResponseReturnValue:
    """Delete a view; nobody in it changes."""
    session, staff = db.session(), signed_in_staff()
    view = session.get(SavedView, view_id)
    if view is not None and may_delete(staff, view):
        session.execute(delete(SavedView).where(SavedView.id == view.id))
        flash(_("The view is deleted. No members were changed."), "view-deleted")
    return redirect(url_for("dashboard.members"), HTTPStatus.SEE_OTHER)
