"""Staff review of names before the supporters page shows them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import ngettext

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.errors import NotFoundError
from fundraiser.members.consents import names_to_review, show_name
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("name_pages", __name__)

_PAGE = 50


@blueprint.get("/staff/names")
def index() -> ResponseReturnValue:
    """The names that wait for review, longest waiting first."""
    if not current_settings().review_names:
        raise NotFoundError(
            _("Names appear at once here. To review each name first, set REVIEW_NAMES=yes.")
        )
    staff = signed_in_staff()
    return render_template(
        "dashboard/names.html",
        staff=staff,
        waiting=names_to_review(db.session(), _PAGE),
        may_show=may(staff, Permission.CHANGE_MEMBER),
    )


@blueprint.post("/staff/names")
def show() -> ResponseReturnValue:
    """Approve the ticked names, except those changed since the page was opened."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    ticked = set(request.form.getlist("member"))
    waiting = [one for one in names_to_review(session, _PAGE) if str(one.id) in ticked]
    shown = [
        one for one in waiting if show_name(session, one.id, request.form.get(str(one.id), ""))
    ]
    for member in shown:
        record(session, Action.SHOWED_NAME, f"member {member.id}", staff=staff)
    flash(
        ngettext("%(num)s name is now shown.", "%(num)s names are now shown.", len(shown))
        if shown
        else _("No name was shown. Tick the names to show and send the form again."),
        f"names-{len(shown)}",
    )
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)
