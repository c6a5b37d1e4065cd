"""Staff page of security events and the card guard's switch."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.team import security_labels as words
from fundraiser.errors import UnprocessableError
from fundraiser.incidents import current_incidents, read_entries
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments.card_guard import Mode, ceilings, read_guard, set_mode
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("security_pages", __name__)

_SHOWN_FOR = timedelta(days=30)
_MOST = 200


@blueprint.get("/staff/security")
def index() -> ResponseReturnValue:
    """The card guard, and the security events of 30 days."""
    session, staff = db.session(), signed_in_staff()
    current_incidents().write()
    return render_template(
        "dashboard/security.html",
        staff=staff,
        words=words,
        guard=read_guard(session),
        modes=list(Mode),
        most=ceilings(current_settings()),
        may_switch=may(staff, Permission.CHANGE_CAMPAIGN),
        entries=read_entries(session, _SHOWN_FOR, _MOST),
    )


@blueprint.post("/staff/security/guard")
def switch() -> ResponseReturnValue:
    """Set the card guard to always, never or automatic."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    try:
        mode = Mode(request.form.get("mode", ""))
    except ValueError as error:
        raise UnprocessableError(_("Choose one of the three settings.")) from error
    before = read_guard(session).mode
    set_mode(session, mode)
    record(
        session,
        Action.SWITCHED_GUARD,
        f"card guard {mode.value}",
        staff=staff,
        changes={"mode": (before.value, mode.value)},
    )
    flash(_("Saved. It applies from now on."))
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)
