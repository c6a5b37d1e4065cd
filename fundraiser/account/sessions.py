"""Members' sessions: cookie, database row, and the guard of their pages."""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from flask import g, redirect, request, url_for
from sqlalchemy import ColumnElement, delete, select

from fundraiser import db
from fundraiser.account.models import MemberSession
from fundraiser.config import current_settings
from fundraiser.db import clock, now
from fundraiser.errors import ForbiddenError
from fundraiser.incidents import Kind, note
from fundraiser.members.address_changes import AddressChange
from fundraiser.members.models import Member
from fundraiser.newsroom.sessions import name_browser
from fundraiser.security import (
    check_origin,
    cookieless,
    digest,
    is_one_of,
    keyed_digests,
    new_secret,
)
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Response
    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

log = structlog.get_logger()

LIVES, IDLE = timedelta(days=30), timedelta(days=14)
_SEEN_EACH = timedelta(hours=1)
_ASKING = timedelta(hours=1)


def for_members(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Decorator: require a signed-in member, and a valid form token for POST."""

    @wraps(view)
    def guarded(**values: object) -> ResponseReturnValue:
        current = current_session()
        if current is None:
            return redirect(url_for("account_sign_in.sign_in"), HTTPStatus.SEE_OTHER)
        if clock.machine() - current.seen_at > _SEEN_EACH:
            current.seen_at = clock.machine()
        if request.method == "POST":
            check_origin()
            if not is_one_of(request.form.get("token", ""), _form_tokens()):
                note(Kind.FOREIGN_FORM)
                raise ForbiddenError(
                    _("You opened this page before you signed in. Open it again and try once more.")
                )
        return view(**values)

    return cookieless(guarded)


def begin_session(
    session: Session, member: Member, response: Response, *, by: str
) -> MemberSession:
    """Sign in, replacing this browser's session; ``by`` is the method, for the log."""
    at, token = now(), new_secret()
    before = current_session()
    is_over = MemberSession.ends_at < at
    gone = is_over | (MemberSession.id == before.id) if before else is_over
    session.execute(delete(MemberSession).where(gone))
    log.info("member_signed_in", member=member.id, by=by)
    begun = MemberSession(
        member_id=member.id,
        token_hash=digest(token),
        browser=name_browser(request.headers.get("User-Agent", "")),
        created_at=at,
        ends_at=at + LIVES,
    )
    session.add(begun)
    g.pop("member_session", None)
    _set_cookie(response, "member", token, LIVES)
    return begun


def end_session(session: Session, *, everywhere: bool) -> None:
    """Sign out here, or in every browser."""
    current = signed_in()
    which = (
        MemberSession.member_id == current.member_id
        if everywhere
        else MemberSession.id == current.id
    )
    session.execute(delete(MemberSession).where(which))


def end_one(session: Session, session_id: int) -> bool:
    """Sign this person out in one browser; returns whether it was this one."""
    current = signed_in()
    session.execute(
        delete(MemberSession).where(
            MemberSession.id == session_id, MemberSession.member_id == current.member_id
        )
    )
    return session_id == current.id


def end_all(session: Session, member: Member) -> None:
    """End all sessions of a member, at the request of staff."""
    session.execute(delete(MemberSession).where(MemberSession.member_id == member.id))


def sessions_of(session: Session, member: Member) -> Sequence[MemberSession]:
    """The browsers in which this person is signed in, last used first."""
    return session.scalars(
        select(MemberSession)
        .where(MemberSession.member_id == member.id, _is_good())
        .order_by(MemberSession.seen_at.desc(), MemberSession.id.desc())
    ).all()


def current_session() -> MemberSession | None:
    """This browser's session, if valid."""
    if "member_session" not in g:
        token = request.cookies.get(_name("member"))
        g.member_session = (
            db.session()
            .scalars(
                select(MemberSession).where(MemberSession.token_hash == digest(token), _is_good())
            )
            .first()
            if token
            else None
        )
    found: MemberSession | None = g.member_session
    return found


def signed_in() -> MemberSession:
    """The session, in a guarded view."""
    current = current_session()
    if current is None:
        raise ForbiddenError(_("Sign in first."))
    return current


def signed_in_member() -> Member:
    """The signed-in member, in a guarded view."""
    return db.session().get_one(Member, signed_in().member_id)


def form_token() -> str:
    """The token of this session's forms, so that other sites can't send them."""
    return _form_tokens()[0]


def _form_tokens() -> list[str]:
    return keyed_digests("form", signed_in().token_hash)


def form_token_here() -> str | None:
    """``form_token`` on a page that is also public; None if nobody is signed in."""
    return form_token() if current_session() else None


def _is_good() -> ColumnElement[bool]:
    """Whether the session hasn't expired, and started after the last change of address."""
    changed_since = select(AddressChange.id).where(
        AddressChange.member_id == MemberSession.member_id,
        AddressChange.at > MemberSession.created_at,
    )
    is_used = MemberSession.seen_at > clock.machine() - IDLE
    return (MemberSession.ends_at > now()) & is_used & ~changed_since.exists()


def asking_browser() -> str | None:
    """The secret of a browser that requested an e-mail."""
    return request.cookies.get(_name("asking"))


def remember_browser(response: Response, secret: str) -> None:
    """Set a cookie that recognises this browser when it opens the link or enters the code."""
    _set_cookie(response, "asking", secret, _ASKING)


def forget_member(response: Response) -> None:
    """Delete the session's cookie."""
    response.delete_cookie(_name("member"), secure=_is_https(), httponly=True, samesite="Lax")


def _set_cookie(response: Response, name: str, value: str, lives: timedelta) -> None:
    response.set_cookie(
        _name(name), value, max_age=lives, secure=_is_https(), httponly=True, samesite="Lax"
    )


def _name(name: str) -> str:
    return f"__Host-{name}" if _is_https() else name


def _is_https() -> bool:
    return current_settings().public_url.startswith("https://")
