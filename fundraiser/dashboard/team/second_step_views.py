"""Staff pages for their own two-step sign-in: passkeys, authenticator, recovery codes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.dashboard.team.forms import SignInRules
from fundraiser.dashboard.team.views import account_page, team_page
from fundraiser.errors import BadRequestError, NotFoundError, UnprocessableError
from fundraiser.forms import Form
from fundraiser.newsroom import passkeys, second_factor, second_step
from fundraiser.newsroom.confirmation import confirmed
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sessions import name_browser
from fundraiser.newsroom.sign_in import current_session, open_while_overdue, signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("second_step_pages", __name__)


@blueprint.post("/staff/account/passkeys/new")
@open_while_overdue
@confirmed
def new_passkey() -> ResponseReturnValue:
    """The page on which the browser makes a passkey."""
    if not passkeys.are_possible():
        raise BadRequestError(
            _("Passkeys work only on a site with a domain name, like members.example.org.")
        )
    options = passkeys.registration_options(db.session(), signed_in_staff(), current_session())
    return render_template("dashboard/passkey.html", staff=signed_in_staff(), options=options)


@blueprint.post("/staff/account/passkeys")
@open_while_overdue
@confirmed
def add_passkey() -> ResponseReturnValue:
    """Store the new passkey."""
    session, staff = db.session(), signed_in_staff()
    answer, name = request.form.get("passkey", ""), name_browser(request.user_agent.string)
    try:
        second_step.add_passkey(session, staff, current_session(), answer, name)
    except UnprocessableError as error:
        session.rollback()
        return account_page(error), HTTPStatus.UNPROCESSABLE_ENTITY
    return _added(_("Your passkey is ready. You’ll be asked for it after your password."))


@blueprint.post("/staff/account/passkeys/<int:passkey_id>/removal")
@open_while_overdue
@confirmed
def remove_passkey(passkey_id: int) -> ResponseReturnValue:
    """Remove one of one's own passkeys."""
    second_step.remove_passkey(db.session(), signed_in_staff(), passkey_id)
    return _done(_("Passkey removed."))


@blueprint.post("/staff/account/second-factor")
@open_while_overdue
@confirmed
def begin_authenticator() -> ResponseReturnValue:
    """Show the QR code for the authenticator app."""
    second_factor.begin(signed_in_staff())
    return redirect(url_for("staff_pages.account", _anchor="second"), HTTPStatus.SEE_OTHER)


@blueprint.get("/staff/account/second-factor.svg")
@open_while_overdue
def authenticator_picture() -> ResponseReturnValue:
    """The secret as a QR code, before it is active."""
    staff = signed_in_staff()
    if staff.second_factor is None or staff.second_factor_at is not None:
        raise NotFoundError(
            _("There’s no authenticator app to set up. Start again on your account page.")
        )
    return Response(second_factor.picture(staff), mimetype="image/svg+xml")


@blueprint.post("/staff/account/second-factor/on")
@open_while_overdue
@confirmed
def turn_authenticator_on() -> ResponseReturnValue:
    """Activate authenticator codes."""
    session, staff = db.session(), signed_in_staff()
    if staff.second_factor is None:
        raise BadRequestError(
            _("There’s no authenticator app to set up. Start again on your account page.")
        )
    try:
        second_step.turn_on_authenticator(session, staff, request.form.get("code", ""))
    except UnprocessableError as error:
        return account_page(error), HTTPStatus.UNPROCESSABLE_ENTITY
    return _added(_("From now on you’ll be asked for a code when you sign in."))


@blueprint.post("/staff/account/second-factor/off")
@open_while_overdue
@confirmed
def turn_authenticator_off() -> ResponseReturnValue:
    """Deactivate authenticator codes."""
    second_step.turn_off_authenticator(db.session(), signed_in_staff())
    return _done(_("You won’t be asked for an authenticator code any more."))


@blueprint.post("/staff/account/recovery-codes")
@open_while_overdue
@confirmed
def make_recovery_codes() -> ResponseReturnValue:
    """Make ten new codes, shown only once."""
    staff = signed_in_staff()
    if not staff.has_second_step:
        raise BadRequestError(_("Set up a passkey or an authenticator app first."))
    codes = second_step.make_codes(db.session(), staff)
    return render_template("dashboard/recovery_codes.html", staff=staff, codes=codes)


@blueprint.post("/staff/team/rules")
@confirmed
def change_rules() -> ResponseReturnValue:
    """Set which roles need two-step sign-in, and which refunds need confirmation."""
    session, by = db.session(), signed_in_staff()
    require(by, Permission.MANAGE_STAFF)
    form = Form.sent(request.form, SignInRules)
    rules = form.read(SignInRules)
    if rules is None:
        return team_page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    second_step.change_rules(session, by, rules.second_step_roles, rules.large_refund)
    flash(_("The sign-in rules have been changed."))
    return redirect(url_for("staff_pages.team", _anchor="rules"), HTTPStatus.SEE_OTHER)


def _added(sentence: str) -> ResponseReturnValue:
    if not second_step.codes_left(db.session(), signed_in_staff()):
        flash(_("Make recovery codes below, in case you lose your phone or passkey."))
    return _done(sentence)


def _done(sentence: str) -> ResponseReturnValue:
    flash(sentence)
    return redirect(url_for("staff_pages.account", _anchor="second"), HTTPStatus.SEE_OTHER)
