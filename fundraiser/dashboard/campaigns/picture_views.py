"""Staff pages: a campaign's picture."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, request, url_for

from fundraiser import db
from fundraiser.campaigns.picture import drop_picture, set_picture
from fundraiser.campaigns.plan import lock_campaign
from fundraiser.errors import UnprocessableError
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("picture_pages", __name__)


@blueprint.post("/staff/campaigns/<slug>/picture")
def save(slug: str) -> ResponseReturnValue:
    """Show an uploaded picture on the campaign's page."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    lock_campaign(session, slug)
    sent = request.files.get("picture")
    try:
        set_picture(session, slug, sent.read() if sent else b"")
    except UnprocessableError as error:
        flash(error.sentence, "picture-refused")
        return _back(slug)
    record(session, Action.CHANGED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The picture is on the campaign’s page now."), "picture")
    return _back(slug)


@blueprint.post("/staff/campaigns/<slug>/picture/removal")
def remove(slug: str) -> ResponseReturnValue:
    """Take the picture off the campaign's page."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    lock_campaign(session, slug)
    drop_picture(session, slug)
    record(session, Action.CHANGED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The picture is removed."), "picture-removed")
    return _back(slug)


def _back(slug: str) -> ResponseReturnValue:
    address = url_for("campaign_pages.show", slug=slug, _anchor="picture")
    return redirect(address, HTTPStatus.SEE_OTHER)
