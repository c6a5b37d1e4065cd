"""A member's own page: what is so, and what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template

from fundraiser import db
from fundraiser.account.sessions import count_sessions, for_members, form_token, signed_in_member

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("account", __name__)


@blueprint.get("/account")
@for_members
def overview() -> ResponseReturnValue:
    """What we have of this person, and the ways to change it."""
    member = signed_in_member()
    return render_template(
        "account/overview.html",
        member=member,
        token=form_token(),
        sessions=count_sessions(db.session(), member),
    )
