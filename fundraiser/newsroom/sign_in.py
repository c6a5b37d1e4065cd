"""Sign-in: the session of a person of the staff, and the guard before every route."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import flask_login
from flask import Flask, jsonify, redirect, request, session as cookie, url_for
from flask_limiter.util import get_remote_address
from sqlalchemy import select

from fundraiser import db, security
from fundraiser.db import now
from fundraiser.newsroom import passwords
from fundraiser.newsroom.models import Staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask import Response
    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

_A_WORKING_DAY = timedelta(hours=12)
_FOR_A_CODE = timedelta(minutes=10)


class SignedIn:
    """What flask-login wants to know of a person; the model stays free of it."""

    is_authenticated = is_active = True
    is_anonymous = False

    def __init__(self, staff: Staff) -> None:
        self.staff = staff

    def get_id(self) -> str:
        """What the signed cookie holds: a new key makes all older cookies worthless."""
        return self.staff.session_key


def init_app(app: Flask) -> None:
    """Let nobody past who is not signed in, but for what is declared public."""
    manager = flask_login.LoginManager()
    manager.session_protection = None  # a telephone changes its network all day
    manager.user_loader(_load)
    # Not manager.init_app: it would look into the cookie after each request, and so mark every
    # public answer as one that differs by cookie.
    app.login_manager = manager  # type: ignore[attr-defined]  # where flask-login looks for it
    # Without refreshing, so that no public answer ever carries a cookie.
    app.config.update(PERMANENT_SESSION_LIFETIME=_A_WORKING_DAY, SESSION_REFRESH_EACH_REQUEST=False)
    app.before_request(require_staff)
    passwords.prepare()


def require_staff() -> ResponseReturnValue | None:
    """Send whoever is not signed in to the sign-in page; programs get a 401."""
    if security.is_public(request.endpoint) or current_staff() is not None:
        return None
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "text/html":
        there = request.full_path.rstrip("?") if request.method == "GET" else None
        return redirect(url_for("newsroom.sign_in", next=there), HTTPStatus.SEE_OTHER)
    return jsonify(error=_("Sign in first.")), HTTPStatus.UNAUTHORIZED


def current_staff() -> Staff | None:
    """Who is signed in, if anybody."""
    user = flask_login.current_user
    return cast("Staff", user.staff) if user.is_authenticated else None


def signed_in_staff() -> Staff:
    """Who is signed in, in a view that the guard protects."""
    return cast("Staff", flask_login.current_user.staff)


def begin_session(staff: Staff) -> None:
    """Sign in, in a cookie with nothing of what was in it before."""
    cookie.clear()
    cookie.permanent = True
    flask_login.login_user(SignedIn(staff))


def await_code(staff: Staff, next_path: str | None) -> None:
    """Remember in the cookie whose password was right; that alone opens nothing."""
    cookie.clear()
    cookie["awaited"] = [staff.id, int(now().timestamp()), next_path]


def awaited(session: Session) -> tuple[Staff, str | None] | None:
    """Who has still to enter a code, and where to go then."""
    staff_id, since, next_path = cookie.get("awaited") or (0, 0, None)
    if now().timestamp() - since > _FOR_A_CODE.total_seconds():
        return None
    staff = session.get(Staff, staff_id)
    if staff is None or staff.deactivated_at or staff.second_factor_at is None:
        return None
    return staff, next_path


def limit_by_awaited() -> str:
    """Codes are counted for the person whose password was right."""
    found = awaited(db.session())
    return f"code {found[0].email.lower()}" if found else "code"


def end_session() -> None:
    """Sign out, here."""
    flask_login.logout_user()
    cookie.clear()


def own_path(wish: str | None) -> str:
    """Where to go next: only to a staff page of our own."""
    overview = url_for("dashboard.overview")
    if not wish or not wish.isprintable() or "\\" in wish:
        return overview
    parts = urlsplit(wish)
    is_ours = not parts.scheme and not parts.netloc and parts.path.startswith("/staff")
    return wish if is_ours and not wish.startswith("//") else overview


def limit_by_address() -> str:
    """Tries are counted for the e-mail address that is tried."""
    return request.form.get("email", "").strip().lower()


def limit_by_network() -> str:
    """Tries are counted for the network they come from: IPv4 /24, IPv6 /56."""
    address = ip_address(get_remote_address())
    return str(ip_network((address, 24 if address.version == 4 else 56), strict=False))  # noqa: PLR2004 - IP's own number


def has_failed(response: Response) -> bool:
    """Whether this try counts towards the limits."""
    return response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def _load(session_key: str) -> SignedIn | None:
    staff = (
        db.session()
        .scalars(
            select(Staff).where(Staff.session_key == session_key, Staff.deactivated_at.is_(None))
        )
        .first()
    )
    return SignedIn(staff) if staff else None
