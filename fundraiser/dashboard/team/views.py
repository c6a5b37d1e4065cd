"""Staff pages: the team, one's own account, the audit log."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.dashboard.team import labels as words
from fundraiser.dashboard.team.columns import activity_columns, row_name
from fundraiser.dashboard.team.forms import Invitation, SignInRules, read_role
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.forms import Form, values_of
from fundraiser.newsroom import passkeys, second_factor, second_step, sessions, staff as people
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.confirmation import check_ones_password, confirmed
from fundraiser.newsroom.models import AuditEntry, Role, Staff
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import (
    begin_session,
    current_session,
    end_session,
    open_while_overdue,
    signed_in_staff,
)
from fundraiser.paging import LARGEST_KEY, PAGE, key_from_url, split_page
from fundraiser.payments.intents import Intent
from fundraiser.texts import LANGUAGES, Named, gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("staff_pages", __name__)


@blueprint.get("/staff/team")
def team() -> ResponseReturnValue:
    """Everybody on the staff, and the invitation form."""
    require(signed_in_staff(), Permission.MANAGE_STAFF)
    return team_page()


@blueprint.post("/staff/team")
@confirmed
def invite() -> ResponseReturnValue:
    """Invite a person by e-mail."""
    session, by = db.session(), signed_in_staff()
    require(by, Permission.MANAGE_STAFF)
    form = Form.sent(request.form, Invitation)
    asked = form.read(Invitation)
    if asked is None:
        return team_page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        people.invite(session, by, email=asked.email, name=asked.name, role=asked.role)
    except UnprocessableError as error:
        form.refuse(error, "email")
        return team_page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    return _done(_is_invited())


@blueprint.post("/staff/team/<int:staff_id>/<what>")
@confirmed
def change(staff_id: int, what: str) -> ResponseReturnValue:
    """Act on one person; safe to repeat."""
    session, by = db.session(), signed_in_staff()
    require(by, Permission.MANAGE_STAFF)
    staff = people.get_staff(session, min(staff_id, LARGEST_KEY))
    try:
        sentence = _act(by, staff, what)
    except UnprocessableError as error:
        # Nothing of it is kept: an answer with an error's status is rolled back.
        return team_page(error=error), HTTPStatus.UNPROCESSABLE_ENTITY
    return _done(sentence)


@blueprint.get("/staff/account")
@open_while_overdue
def account() -> ResponseReturnValue:
    """One's own password, two-step sign-in and sessions."""
    return account_page()


@blueprint.post("/staff/account/password")
@open_while_overdue
def change_password() -> ResponseReturnValue:
    """Change one's own password."""
    session, staff = db.session(), signed_in_staff()
    try:
        check_ones_password(request.form.get("old", ""), field="old")
        people.change_password(session, staff, request.form.get("new", ""))
    except UnprocessableError as error:
        return account_page(error), HTTPStatus.UNPROCESSABLE_ENTITY
    begin_session(staff)
    flash(_("Your password is changed. You’ve been signed out everywhere else."))
    return redirect(url_for("staff_pages.account"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/account/emails")
def choose_emails() -> ResponseReturnValue:
    """Switch one's own milestone e-mails on or off."""
    staff = signed_in_staff()
    staff.wants_milestones = request.form.get("milestones") == "yes"
    flash(
        _("We’ll e-mail you at each milestone.")
        if staff.wants_milestones
        else _("We won’t e-mail you about milestones.")
    )
    return redirect(url_for("staff_pages.account", _anchor="milestones"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/account/language")
@open_while_overdue
def choose_language() -> ResponseReturnValue:
    """Choose the language of one's own pages and e-mails; an empty one is the browser's."""
    staff, wish = signed_in_staff(), request.form.get("language", "")
    staff.chosen_language = wish if wish in LANGUAGES else None
    staff.language = staff.chosen_language or staff.language
    return redirect(url_for("staff_pages.account", _anchor="language"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/account/sessions/<int:session_id>/end")
@open_while_overdue
def end_one_session(session_id: int) -> ResponseReturnValue:
    """Sign out in one browser."""
    session, staff = db.session(), signed_in_staff()
    is_this_one = session_id == current_session().id
    if sessions.end(session, staff, min(session_id, LARGEST_KEY)):
        record(session, Action.ENDED_SESSION, f"staff {staff.id}", staff=staff)
    if is_this_one:
        end_session()
        return redirect(url_for("newsroom.sign_in"), HTTPStatus.SEE_OTHER)
    flash(_("You’ve been signed out in that browser."))
    return redirect(url_for("staff_pages.account", _anchor="sessions"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/account/sign-out")
@open_while_overdue
def sign_out_everywhere() -> ResponseReturnValue:
    """Sign out in every browser, including this one."""
    staff = signed_in_staff()
    people.sign_out_everywhere(db.session(), staff, staff)
    end_session()
    return redirect(url_for("newsroom.sign_in"), HTTPStatus.SEE_OTHER)


@blueprint.get("/staff/audit-log")
def audit_log() -> ResponseReturnValue:
    """All actions by staff, latest first, of everybody or of one person."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.MANAGE_STAFF)
    who, before = key_from_url("staff"), key_from_url("before")
    statement = (
        select(AuditEntry, Staff, Intent)
        .outerjoin(Staff, Staff.id == AuditEntry.staff_id)
        .outerjoin(Intent, Intent.key == AuditEntry.key)
        .order_by(AuditEntry.id.desc())
        .limit(PAGE + 1)
    )
    if who is not None:
        statement = statement.where(AuditEntry.staff_id == who)
    if before is not None:
        statement = statement.where(AuditEntry.id < before)
    rows, older = split_page(session.execute(statement).all(), lambda row: row[0].id)
    everybody = session.scalars(select(Staff).order_by(Staff.name, Staff.id)).all()
    return render_template(
        "dashboard/audit_log.html",
        staff=staff,
        columns=activity_columns({found.id: found.name for found in everybody}),
        row_name=row_name,
        rows=rows,
        older=older,
        before=before,
        who=who,
        everybody=everybody,
    )


def _act(by: Staff, staff: Staff, what: str) -> str:
    """Act, and return the notice: it stands in a cookie, and so names nobody."""
    session = db.session()
    match what:
        case "role":
            people.change_role(session, by, staff, read_role(request.form.get("role", "")))
            return _("The role is now %(role)s.", role=words.role(staff.role).lower())
        case "invitation":
            people.invite_again(session, by, staff)
            return _is_invited()
        case "closing":
            people.close_account(session, by, staff)
            return _("This person can no longer sign in.")
        case "opening":
            people.open_account(session, by, staff)
            return _is_invited()
        case "sign-out":
            people.sign_out_everywhere(session, by, staff)
            return _("This person has been signed out everywhere.")
        case "second-factor-off":
            second_step.remove_all(session, by, staff)
            return _("Two-step sign-in is off for this person.")
    raise NotFoundError(_("That can’t be done here. Reload the page and try again."))


def _is_invited() -> Named:
    return Named("invited", _("We’re e-mailing the invitation."))


def _done(sentence: str) -> ResponseReturnValue:
    flash(sentence, getattr(sentence, "name", "done"))
    return redirect(url_for("staff_pages.team"), HTTPStatus.SEE_OTHER)


def team_page(sent: Form | None = None, *, error: UnprocessableError | None = None) -> str:
    """Render the team page, with a submitted form or an error."""
    session = db.session()
    rules = second_step.read_rules(session)
    form = Form.blank(Invitation, SignInRules, role=Role.SUPPORT, **values_of(rules, SignInRules))
    if sent:
        form.typed |= sent.typed
        form.errors = sent.errors
    everybody = session.scalars(
        select(Staff).order_by(Staff.deactivated_at.is_not(None), Staff.name, Staff.id)
    ).all()
    return render_template(
        "dashboard/team.html",
        staff=signed_in_staff(),
        words=words,
        everybody=everybody,
        roles=list(Role),
        form=form,
        error=error,
    )


def account_page(error: UnprocessableError | None = None) -> str:
    """Render one's own account, with errors."""
    staff, session = signed_in_staff(), db.session()
    return render_template(
        "dashboard/account.html",
        staff=staff,
        words=words,
        secret=second_factor.secret_of(staff) if staff.second_factor else None,
        may_manage=may(staff, Permission.MANAGE_STAFF),
        is_overdue=second_step.is_overdue(staff),
        passkeys_possible=passkeys.are_possible(),
        codes_left=second_step.codes_left(session, staff),
        sessions=sessions.sessions_of(session, staff),
        here=current_session().id,
        error=error,
    )
