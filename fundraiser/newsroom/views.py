"""Staff pages for sign-in, sign-out and choosing a password."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.errors import UnavailableError, UnprocessableError
from fundraiser.incidents import Kind, note
from fundraiser.newsroom import second_step, sign_in as staff_session
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.devices import known_device, remember_device
from fundraiser.newsroom.staff import choose_password, forget_password, let_in, note_sign_in
from fundraiser.security import forget_try, limiter, public
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.newsroom.models import Staff

blueprint = Blueprint("newsroom", __name__)

_FOR_AN_ACCOUNT, _FOR_A_NETWORK = "10 per 15 minutes", "50 per 15 minutes"


@blueprint.get("/staff/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """The sign-in form."""
    next_path = request.args.get("next")
    if staff_session.current_staff():
        return redirect(staff_session.own_path(next_path))
    return render_template("newsroom/sign_in.html", email="", next_path=next_path, error=None)


@blueprint.post("/staff/sign-in")
@public
@limiter.limit(_FOR_AN_ACCOUNT, key_func=staff_session.limit_by_account)
@limiter.limit(_FOR_A_NETWORK, key_func=staff_session.limit_by_network_or_device)
def try_to_sign_in() -> ResponseReturnValue:
    """Check address and password; all failures get the same answer."""
    email, next_path = request.form.get("email", ""), request.form.get("next")
    error, status = None, HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        staff = let_in(
            db.session(),
            email,
            request.form.get("password", ""),
            is_known=known_device(email) is not None,
        )
    except UnavailableError as busy:
        staff, error, status = None, str(busy), busy.status
    if staff is None:
        note(Kind.PASSWORD if error is None else Kind.LIMIT)
        error = error or _("The e-mail address and password don’t match. Check both.")
        page = render_template(
            "newsroom/sign_in.html", email=email, next_path=next_path, error=error
        )
        return page, status
    forget_try()
    if staff.has_second_step:
        staff_session.await_code(staff, next_path)
        return redirect(url_for("newsroom.enter_code"), HTTPStatus.SEE_OTHER)
    second_step.start_deadline(db.session(), staff)
    return _let_in(staff, next_path, by="password")


@blueprint.get("/staff/sign-in/code")
@public
def enter_code() -> ResponseReturnValue:
    """The forms for the second step, after a correct password."""
    found = staff_session.awaited()
    if found is None:
        return redirect(url_for("newsroom.sign_in"), HTTPStatus.SEE_OTHER)
    return _second_step_page(found[0])


@blueprint.post("/staff/sign-in/code")
@public
@limiter.limit(_FOR_AN_ACCOUNT, key_func=staff_session.limit_by_account)
@limiter.limit(_FOR_A_NETWORK, key_func=staff_session.limit_by_network_or_device)
def try_code() -> ResponseReturnValue:
    """Check the passkey, authenticator code or recovery code."""
    session = db.session()
    found = staff_session.awaited()
    if found is None:
        flash(_("More than ten minutes have passed. Sign in again."))
        return redirect(url_for("newsroom.sign_in"), HTTPStatus.SEE_OTHER)
    staff, next_path = found
    try:
        if answer := request.form.get("passkey"):
            staff_session.check_passkey(answer)
            by = "passkey"
        else:
            by = second_step.check_code(session, staff, request.form.get("code", ""))
    except UnprocessableError as error:
        note(Kind.SECOND_STEP)
        session.rollback()
        return _second_step_page(staff, error), HTTPStatus.UNPROCESSABLE_ENTITY
    forget_try()
    return _let_in(staff, next_path, by=by)


@blueprint.get("/staff/forgotten")
@public
def forgotten() -> ResponseReturnValue:
    """The form to request a new password."""
    return render_template("newsroom/forgotten.html", email="", sent=False)


@blueprint.post("/staff/forgotten")
@public
@limiter.limit("5 per hour", key_func=staff_session.limit_by_account)
@limiter.limit("20 per hour", key_func=staff_session.limit_by_network_or_device)
def ask_for_password() -> ResponseReturnValue:
    """E-mail a key to members of staff; everybody gets the same answer."""
    email = request.form.get("email", "")
    forget_password(db.session(), email)
    return render_template("newsroom/forgotten.html", email=email.strip(), sent=True)


@blueprint.get("/staff/new-password")
@public
def new_password() -> ResponseReturnValue:
    """The form behind an e-mailed key; opening it doesn't use the key."""
    return render_template("newsroom/new_password.html", token="", error=None)


@blueprint.post("/staff/new-password")
@public
@limiter.limit(_FOR_A_NETWORK, key_func=staff_session.limit_by_network_or_device)
def keep_new_password() -> ResponseReturnValue:
    """Save the password chosen with an e-mailed key."""
    token, password = request.form.get("token", ""), request.form.get("password", "")
    try:
        choose_password(db.session(), token, password)
    except UnprocessableError as error:
        page = render_template("newsroom/new_password.html", token=token, error=error)
        return page, HTTPStatus.UNPROCESSABLE_ENTITY
    forget_try()
    staff_session.end_session()
    flash(_("Your new password is saved. Sign in with it."))
    return redirect(url_for("newsroom.sign_in"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/sign-out")
@staff_session.open_while_overdue
def sign_out() -> ResponseReturnValue:
    """End this browser's session."""
    staff = staff_session.signed_in_staff()
    record(db.session(), Action.SIGNED_OUT, f"staff {staff.id}", staff=staff)
    staff_session.end_session()
    return redirect(url_for("newsroom.sign_in"), HTTPStatus.SEE_OTHER)


def _let_in(staff: Staff, next_path: str | None, *, by: str) -> ResponseReturnValue:
    note_sign_in(db.session(), staff, by)
    staff_session.begin_session(staff)
    response = make_response(redirect(staff_session.own_path(next_path), HTTPStatus.SEE_OTHER))
    remember_device(response, staff.email)
    return response


def _second_step_page(staff: Staff, error: UnprocessableError | None = None) -> str:
    return render_template(
        "newsroom/code.html",
        has_authenticator=staff.second_factor_at is not None,
        options=staff_session.passkey_options(),
        error=error,
    )
