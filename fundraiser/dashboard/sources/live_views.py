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
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings

blueprint = Blueprint("live_pages", __name__)


@blueprint.post("/staff/sources/live/<name>/listing")
def ask(name: str) -> ResponseReturnValue:
    """Fetch all members now, even if the source was paused."""
    said = _("We’re fetching its members now. Their file will appear below.")
    return _act(name, status.ask_now, Action.ASKED_SOURCE, said)


@blueprint.post("/staff/sources/live/<name>/pause")
def pause(name: str) -> ResponseReturnValue:
    """Stop fetching until staff start it again."""
    said = _("It’s paused. We count its members until the end of what they’ve paid for.")
    return _act(name, status.pause, Action.PAUSED_SOURCE, said)


def _act(
    name: str, act: Callable[[Session, Settings, str], object], action: Action, said: str
) -> ResponseReturnValue:
    staff = signed_in_staff()
    require(staff, Permission.IMPORT)
    act(db.session(), current_settings(), name)
    record(db.session(), action, f"source {name}", staff=staff)
    flash(said)
    return redirect(url_for("source_pages.index"), HTTPStatus.SEE_OTHER)
