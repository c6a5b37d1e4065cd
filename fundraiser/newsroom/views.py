"""Sign-in and sign-out."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.newsroom import sign_in as staff_session
from fundraiser.newsroom.audit import Act, record
from fundraiser.newsroom.staff import let_in
from fundraiser.security import limiter, public
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("newsroom", __name__)

_FOR_AN_ADDRESS, _FOR_A_NETWORK = "10 per 15 minutes", "50 per 15 minutes"


@blueprint.get("/staff/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """The form."""
    next_path = request.args.get("next")
    if staff_session.current_staff():
        return redirect(staff_session.own_path(next_path))
    return render_template("newsroom/sign_in.html", email="", next_path=next_path, error=None)


@blueprint.post("/staff/sign-in")
@public
@limiter.limit(
    _FOR_AN_ADDRESS, key_func=staff_session.limit_by_address, deduct_when=staff_session.has_failed
)
@limiter.limit(
    _FOR_A_NETWORK, key_func=staff_session.limit_by_network, deduct_when=staff_session.has_failed
)
def try_to_sign_in() -> ResponseReturnValue:
    """Let in whoever knows the password; everybody else gets the same answer."""
    email, next_path = request.form.get("email", ""), request.form.get("next")
    staff = let_in(db.session(), email, request.form.get("password", ""))
    if staff is None:
        error = _("The e-mail address and the password do not belong together. Check both.")
        page = render_template(
            "newsroom/sign_in.html", email=email, next_path=next_path, error=error
        )
        return page, HTTPStatus.UNPROCESSABLE_ENTITY
    staff_session.begin_session(staff)
    return redirect(staff_session.own_path(next_path), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/sign-out")
def sign_out() -> ResponseReturnValue:
    """End this browser's session."""
    staff = staff_session.signed_in_staff()
    record(db.session(), Act.SIGNED_OUT, f"staff {staff.id}", staff=staff)
    staff_session.end_session()
    return redirect(url_for("newsroom.sign_in"), HTTPStatus.SEE_OTHER)
