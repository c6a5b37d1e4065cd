"""Staff sign-in: sessions, two-step checks, and the guard of all routes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import flask_login
from flask import Flask, current_app, jsonify, redirect, request, session as cookie, url_for

from fundraiser import db, security
from fundraiser.addresses import read_url
from fundraiser.errors import ForbiddenError
from fundraiser.networks import for_guesses
from fundraiser.newsroom import passkeys, passwords, second_step, sessions
from fundraiser.newsroom.devices import known_device
from fundraiser.texts import gettext as _, speak

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.newsroom.models import Staff, StaffSession
    from fundraiser.security import View

_LONGEST_ADDRESS = 254


class SignedIn:
    """The user object for flask-login; keeps the models independent of it.

    Before the second step a session is known but not authenticated.
    """

    is_active = True
    is_anonymous = False

    def __init__(self, session: StaffSession, staff: Staff, token: str) -> None:
        self.session = session
        self.staff = staff
        self._token = token

    @property
    def is_authenticated(self) -> bool:
        return self.session.confirmed_at is not None

    def get_id(self) -> str:
        """The content of the signed cookie."""
        return self._token


def init_app(app: Flask) -> None:
    """Require a signed-in member of staff for all routes that aren't public."""
    manager = flask_login.LoginManager()
    manager.session_protection = None  # a phone changes its network all day
    manager.user_loader(_load)
    # Not manager.init_app: it would look into the cookie after each request, and so mark every
    # public answer as one that differs by cookie.
    app.login_manager = manager  # type: ignore[attr-defined]  # where flask-login looks for it
    # Without refreshing, so that no public answer ever carries a cookie.
    app.config.update(PERMANENT_SESSION_LIFETIME=sessions.LIVES, SESSION_REFRESH_EACH_REQUEST=False)
    app.before_request(require_staff)
    passwords.prepare()


def require_staff() -> ResponseReturnValue | None:
    """Redirect to the sign-in page, or answer 401 to programs, if nobody is signed in."""
    if security.is_public(request.endpoint):
        return None
    if staff := current_staff():
        if staff.chosen_language:
            speak(staff.chosen_language)
        _note_activity()
        view = current_app.view_functions[request.endpoint or ""]
        if second_step.is_overdue(staff) and not getattr(view, "is_open_while_overdue", False):
            return redirect(url_for("staff_pages.account"), HTTPStatus.SEE_OTHER)
        return None
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "text/html":
        there = request.full_path.rstrip("?") if request.method == "GET" else None
        return redirect(url_for("newsroom.sign_in", next=there), HTTPStatus.SEE_OTHER)
    return jsonify(error=_("Sign in first.")), HTTPStatus.UNAUTHORIZED


def open_while_overdue(view: View) -> View:
    """Decorator: open this view to people whose second step is overdue, to set one up or leave."""
    view.is_open_while_overdue = True  # type: ignore[attr-defined]  # a mark, read by require_staff
    return view


def current_staff() -> Staff | None:
    """The signed-in member of staff, or None."""
    user = flask_login.current_user
    return cast("Staff", user.staff) if user.is_authenticated else None


def signed_in_staff() -> Staff:
    """The signed-in member of staff, in a guarded view."""
    return _signed_in().staff


def current_session() -> StaffSession:
    """This browser's session, in a guarded view."""
    return _signed_in().session


def begin_session(staff: Staff) -> None:
    """Sign in, with a new cookie."""
    _keep(staff, is_confirmed=True)


def await_code(staff: Staff, next_path: str | None) -> None:
    """Start a session that waits for the second step; remembers where to go next.

    The query is dropped: a search for a person has no place in a cookie.
    """
    _keep(staff, is_confirmed=False)
    cookie["next"] = next_path and next_path.partition("?")[0]


def awaited() -> tuple[Staff, str | None] | None:
    """The person who still needs the second step, and where to go next."""
    found = _found()
    if found is None or found.is_authenticated or not found.staff.has_second_step:
        return None
    return found.staff, cookie.get("next")


def passkey_options() -> str | None:
    """The passkey options for this session, as JSON; None if the person has no passkey.

    Stored in a separate transaction, so they persist even if the request fails.
    """
    found = _found()
    if found is None or not found.staff.passkeys or not passkeys.are_possible():
        return None
    with own_transaction() as own:
        return passkeys.sign_in_options(own, found.staff, found.session)


def check_passkey(answer: str) -> None:
    """Verify the person's passkey against the session's challenge.

    Raises:
        UnprocessableError: it doesn't match.
    """
    found = _found()
    if found is None:
        raise ForbiddenError(_("Sign in first."))
    with own_transaction() as own:
        passkeys.check(own, found.staff, found.session, answer)


def own_transaction() -> AbstractContextManager[Session]:
    """A transaction beside the request's, for data to keep even if the request fails."""
    return cast("Database", current_app.extensions["database"]).transaction(beside=True)


def confirm_session() -> None:
    """Record that the person has just confirmed their identity, even if the request fails.

    The session gets a new token, so that a copied cookie becomes useless.
    """
    found = _signed_in()
    with own_transaction() as own:
        token = sessions.confirm(own, found.session.id)
    db.session().expire(found.session)
    flask_login.login_user(SignedIn(found.session, found.staff, token))


def end_session() -> None:
    """Sign out in this browser."""
    if found := _found():
        sessions.end(db.session(), found.staff, found.session.id)
    flask_login.logout_user()
    cookie.clear()


def own_path(wish: str | None) -> str:
    """The path to go to next, if it is one of our staff pages."""
    overview = url_for("dashboard.overview")
    if not wish or not wish.isprintable() or "\\" in wish:
        return overview
    parts = read_url(wish)
    is_ours = not parts.scheme and not parts.netloc and parts.path.startswith("/staff")
    return wish if is_ours and not wish.startswith("//") else overview


def limit_by_account() -> str:
    """Rate-limit key of attempts: the network and account, or a known browser.

    By account alone, strangers could lock its owner out. The key contains no e-mail address,
    because reached limits are logged.
    """
    email = _tried_email()
    if device := known_device(email):
        return f"device {device}"
    return security.keyed_digest("limit", f"{for_guesses()} {email.lower()}")


def limit_by_network_or_device() -> str:
    """Rate-limit key of attempts on any account: the network, or a known browser."""
    device = known_device(_tried_email())
    return f"device {device}" if device else security.network_hash()


def _tried_email() -> str:
    """The address being tried: the form's, or the session's."""
    typed = request.form.get("email", "").strip()[:_LONGEST_ADDRESS]
    if typed:
        return typed
    found = _found()
    return found.staff.email if found else ""


def _load(token: str) -> SignedIn | None:
    found = sessions.find(db.session(), token)
    return SignedIn(*found, token) if found else None


def _found() -> SignedIn | None:
    """This browser's session, even without its second step."""
    user = flask_login.current_user
    return user if isinstance(user, SignedIn) else None


def _signed_in() -> SignedIn:
    found = _found()
    if found is None or not found.is_authenticated:
        raise ForbiddenError(_("Sign in first."))
    return found


def _keep(staff: Staff, *, is_confirmed: bool) -> None:
    session, agent = db.session(), request.headers.get("User-Agent", "")
    if before := _found():
        sessions.end(session, before.staff, before.session.id)
    begun, token = sessions.begin(session, staff, agent, is_confirmed=is_confirmed)
    cookie.clear()
    cookie.permanent = True
    flask_login.login_user(SignedIn(begun, staff, token))


def _note_activity() -> None:
    """Update the session's last use when a person opens a page, but not for automatic updates.

    It has its own transaction, because a longer one would block the person's other pages.
    """
    is_page = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    if is_page and sessions.has_to_be_seen(current_session()):
        with own_transaction() as own:
            sessions.note_seen(own, current_session().id)
