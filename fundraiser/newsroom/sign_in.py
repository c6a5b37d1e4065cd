"""Sign-in: the session of a person of the staff, and the guard before every route."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flask import Flask, current_app, g, jsonify, redirect, request, session as cookie, url_for

from fundraiser import db, security
from fundraiser.errors import ForbiddenError
from fundraiser.networks import limit_by_network
from fundraiser.newsroom import passkeys, passwords, second_step, sessions
from fundraiser.newsroom.devices import known_device
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.newsroom.models import Staff, StaffSession
    from fundraiser.security import View

_LONGEST_ADDRESS = 254
_TOKEN = "session"  # noqa: S105 - the cookie’s entry


def init_app(app: Flask) -> None:
    """Let nobody past who is not signed in, but for what is declared public."""
    # Without refreshing, so that no public answer ever carries a cookie.
    app.config.update(PERMANENT_SESSION_LIFETIME=sessions.LIVES, SESSION_REFRESH_EACH_REQUEST=False)
    app.before_request(require_staff)
    passwords.prepare()


def require_staff() -> ResponseReturnValue | None:
    """Send whoever is not signed in to the sign-in page; programs get a 401."""
    if security.is_public(request.endpoint):
        return None
    if staff := current_staff():
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
    """Declare that people whose second step is overdue may use this view: to set one up, or go."""
    view.is_open_while_overdue = True  # type: ignore[attr-defined]  # a mark, read by require_staff
    return view


def current_staff() -> Staff | None:
    """Who is signed in, if anybody."""
    found = _found()
    return found[1] if found and found[0].confirmed_at else None


def signed_in_staff() -> Staff:
    """Who is signed in, in a view that the guard protects."""
    return _signed_in()[1]


def current_session() -> StaffSession:
    """The session of this browser, in a view that the guard protects."""
    return _signed_in()[0]


def begin_session(staff: Staff) -> None:
    """Sign in, in a cookie with nothing of what was in it before."""
    _keep(staff, is_confirmed=True)


def await_code(staff: Staff, next_path: str | None) -> None:
    """Remember whose password was right, and where to go after the second step."""
    _keep(staff, is_confirmed=False)
    cookie["next"] = next_path


def awaited() -> tuple[Staff, str | None] | None:
    """Who has still to do the second step, and where to go then."""
    found = _found()
    if found is None or found[0].confirmed_at or not found[1].has_second_step:
        return None
    return found[1], cookie.get("next")


def passkey_options() -> str | None:
    """What this browser's passkey is to be asked with, as JSON; None if the person has none.

    Kept in a transaction of its own, also where the answer is an error.
    """
    found = _found()
    if found is None or not found[1].passkeys or not passkeys.are_possible():
        return None
    with own_transaction() as own:
        return passkeys.sign_in_options(own, found[1], found[0])


def check_passkey(answer: str) -> None:
    """Make sure that the person's passkey has signed the session's challenge.

    Raises:
        UnprocessableError: it has not.
    """
    found = _found()
    if found is None:
        raise ForbiddenError(_("Sign in first."))
    with own_transaction() as own:
        passkeys.check(own, found[1], found[0], answer)


def own_transaction() -> AbstractContextManager[Session]:
    """One beside the request's, for what is to be kept whatever becomes of the request."""
    return cast("Database", current_app.extensions["database"]).transaction()


def end_session() -> None:
    """Sign out, here."""
    if found := _found():
        sessions.end(db.session(), found[1], found[0].id)
    g.pop("staff_session", None)
    cookie.clear()


def own_path(wish: str | None) -> str:
    """Where to go next: only to a staff page of our own."""
    overview = url_for("dashboard.overview")
    if not wish or not wish.isprintable() or "\\" in wish:
        return overview
    parts = urlsplit(wish)
    is_ours = not parts.scheme and not parts.netloc and parts.path.startswith("/staff")
    return wish if is_ours and not wish.startswith("//") else overview


def limit_by_account() -> str:
    """Tries are counted for a network and the account that it tries, or for a known browser.

    For the account alone, strangers could keep its owner out. Without the address itself, which a
    limit that is met writes into the log.
    """
    email = _tried_email()
    if device := known_device(email):
        return f"device {device}"
    return security.keyed_digest("limit", f"{limit_by_network()} {email.lower()}")


def limit_by_network_or_device() -> str:
    """Tries on any account are counted for the network they come from, or for a known browser."""
    device = known_device(_tried_email())
    return f"device {device}" if device else security.network_hash()


def _tried_email() -> str:
    """Whose password or second step is tried: the form's, or that of the session's person."""
    typed = request.form.get("email", "").strip()[:_LONGEST_ADDRESS]
    if typed:
        return typed
    found = _found()
    return found[1].email if found else ""


def _found() -> tuple[StaffSession, Staff] | None:
    """The session of this browser's cookie, also one whose second step is missing."""
    if "staff_session" not in g:
        token = cookie.get(_TOKEN)
        g.staff_session = sessions.find(db.session(), token) if token else None
    return cast("tuple[StaffSession, Staff] | None", g.staff_session)


def _signed_in() -> tuple[StaffSession, Staff]:
    found = _found()
    if found is None or found[0].confirmed_at is None:
        raise ForbiddenError(_("Sign in first."))
    return found


def _keep(staff: Staff, *, is_confirmed: bool) -> None:
    session, agent = db.session(), request.headers.get("User-Agent", "")
    if before := _found():
        sessions.end(session, before[1], before[0].id)
    begun, token = sessions.begin(session, staff, agent, is_confirmed=is_confirmed)
    cookie.clear()
    cookie.permanent = True
    cookie[_TOKEN] = token
    g.staff_session = (begun, staff)


def _note_activity() -> None:
    """Only pages that a person opens: a figure that renews itself keeps nobody signed in.

    In a transaction of its own, since a longer one would hold up the person's other pages.
    """
    is_page = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    if is_page and sessions.has_to_be_seen(current_session()):
        with own_transaction() as own:
            sessions.note_seen(own, current_session().id)
