"""Sign a member out everywhere, for somebody who has lost a phone."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, url_for

from fundraiser import db
from fundraiser.account.sessions import end_all
from fundraiser.errors import NotFoundError
from fundraiser.members.models import Member
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("member_sessions", __name__)


@blueprint.post("/staff/members/<int:member_id>/sessions/end")
def end(member_id: int) -> ResponseReturnValue:
    """Sign the member out in every browser."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    member = session.get(Member, member_id)
    if member is None:
        raise NotFoundError(_("We can’t find this member."))
    end_all(session, member)
    record(session, Action.ENDED_MEMBER_SESSIONS, f"member {member.id}", staff=staff)
    flash(_("The member has been signed out everywhere."))
    return redirect(url_for("dashboard.member", member_id=member_id), HTTPStatus.SEE_OTHER)
