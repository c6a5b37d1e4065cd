"""Staff buttons to fetch from a connected service now, or to pause it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, url_for

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.sources.live import status
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("live_pages", __name__)


@blueprint.post("/staff/sources/live/<name>/listing")
def ask(name: str) -> ResponseReturnValue:
    """Fetch all members now, even if the source was paused."""
    staff = signed_in_staff()
    require(staff, Permission.IMPORT)
    status.ask_now(db.session(), current_settings(), name)
    record(db.session(), Action.ASKED_SOURCE, f"source {name}", staff=staff)
    flash(_("We’re fetching its members now. Their file will appear below."))
    return redirect(url_for("source_pages.index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/sources/live/<name>/pause")
def pause(name: str) -> ResponseReturnValue:
    """Stop fetching until staff start it again."""
    staff = signed_in_staff()
    require(staff, Permission.IMPORT)
    status.pause(db.session(), current_settings(), name)
    record(db.session(), Action.PAUSED_SOURCE, f"source {name}", staff=staff)
    flash(_("It’s paused. We count its members until the end of what they’ve paid for."))
    return redirect(url_for("source_pages.index"), HTTPStatus.SEE_OTHER)
