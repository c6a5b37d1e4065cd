"""Member sign-in by e-mail: by link in the same browser, by code there or elsewhere.

Opening the link elsewhere uses nothing up, because security scanners open links; the token is in
the fragment, which no server sees, and a script sends it.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import Blueprint, current_app, make_response, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.account.sessions import (
    asking_browser,
    begin_session,
    current_session,
    end_one,
    end_session,
    for_members,
    forget_member,
    remember_browser,
)
from fundraiser.addresses import read_address
from fundraiser.incidents import Kind, note
from fundraiser.members.addresses import (
    MOST_TRIES,
    AddressCheck,
    Purpose,
    ask,
    find_check,
    find_member_id,
    is_code,
    is_over,
    newest_check,
    take_try,
    use,
)
from fundraiser.members.models import Member
from fundraiser.security import (
    check_origin,
    cookieless,
    digest,
    limit_by_network,
    network_hash,
    new_secret,
    public,
)
from fundraiser.texts import gettext as _, keep_language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.db import Database


blueprint = Blueprint("account_sign_in", __name__)
blueprint.url_defaults(keep_language)

_CODE = re.compile(r"\d{6}")


@blueprint.get("/account/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """The form for the address."""
    if current_session():
        return redirect(url_for("account.overview"))
    return _page("sign_in.html", email="", error=None)


@blueprint.post("/account/sign-in")
@cookieless
@limit_by_network()
def ask_for_code() -> ResponseReturnValue:
    """Enqueue an e-mail if the address is a member's; the answer is always the same."""
    check_origin()
    typed = request.form.get("email", "").strip()
    email = read_address(typed)
    if email is None:
        error = _("Enter your e-mail address, like name@example.org.")
        return _page("sign_in.html", email=typed, error=error), HTTPStatus.UNPROCESSABLE_ENTITY
    browser = asking_browser() or new_secret()
    ask(db.session(), Purpose.SIGN_IN, email, browser, network=network_hash())
    response = make_response(redirect(url_for(".enter_code"), HTTPStatus.SEE_OTHER))
    remember_browser(response, browser)
    return response


@blueprint.get("/account/sign-in/code")
@public
def enter_code() -> ResponseReturnValue:
    """The form for the e-mailed code."""
    check = _asked_here()
    if check is None:
        return redirect(url_for(".sign_in"), HTTPStatus.SEE_OTHER)
    return _page("code.html", email=check.email, link_token=None, error=None)


@blueprint.post("/account/sign-in/code")
@cookieless
@limit_by_network()
def try_code() -> ResponseReturnValue:
    """Sign in with a code: of this browser's request, or of the link opened here."""
    check_origin()
    token = request.form.get("link", "")
    check = find_check(db.session(), Purpose.SIGN_IN, token) if token else _asked_here()
    if check is None:
        return _ask_again(
            "not-asked",
            _("This browser hasn’t asked for a code, or asked too long ago. Ask for one here."),
        )
    if is_over(check):
        return _ask_again(
            "over", _("This code has expired or has already been used. Ask for a new one.")
        )
    code = "".join(request.form.get("code", "").split())
    email = None if token else check.email
    if not _CODE.fullmatch(code):
        return _wrong_code(email, token, "no-code", _("Enter the six-digit code from our e-mail."))
    if not _try_is_free(check):
        note(Kind.LIMIT)
        return _ask_again("too-many", _("Too many wrong codes. Ask for a new one."))
    if not is_code(check, code):
        note(Kind.MEMBER_CODE)
        return _wrong_code(
            email,
            token,
            "wrong-code",
            _("That isn’t the code in our latest e-mail. Check the six digits."),
        )
    return _let_in(check, by="code")


@blueprint.get("/account/sign-in/link")
@public
def open_link() -> ResponseReturnValue:
    """Use the link in the browser that asked; in another one, ask for the code too.

    The token is in the fragment, so a script sends it; the browser's cookie says who asked.
    """
    return _page("link.html", asked_here=_asked_here() is not None)


@blueprint.post("/account/sign-in/link")
@cookieless
@limit_by_network()
def use_link() -> ResponseReturnValue:
    """Sign in with the link in the same browser; another browser also needs the code."""
    check_origin()
    token = request.form.get("link", "")
    check = find_check(db.session(), Purpose.SIGN_IN, token)
    if check is None or is_over(check):
        note(Kind.MEMBER_CODE)
        return _ask_again(
            "link",
            _(
                "This link has expired, has already been used or is incomplete. Ask for a "
                "new e-mail."
            ),
        )
    browser = asking_browser()
    if browser is None or digest(browser) != check.browser_hash:
        return _page("code.html", email=None, link_token=token, error=None)
    return _let_in(check, by="link")


@blueprint.post("/account/sign-out")
@for_members
def sign_out() -> ResponseReturnValue:
    """End this session, or all of them."""
    end_session(db.session(), everywhere=request.form.get("where") == "everywhere")
    response = make_response(redirect(url_for(".sign_in"), HTTPStatus.SEE_OTHER))
    forget_member(response)
    return response


@blueprint.post("/account/sessions/<int:session_id>/end")
@for_members
def end_one_session(session_id: int) -> ResponseReturnValue:
    """End one of one's own sessions."""
    is_here = end_one(db.session(), session_id)
    page = ".sign_in" if is_here else "account.overview"
    response = make_response(redirect(url_for(page), HTTPStatus.SEE_OTHER))
    if is_here:
        forget_member(response)
    return response


def _asked_here() -> AddressCheck | None:
    browser = asking_browser()
    return newest_check(db.session(), Purpose.SIGN_IN, browser) if browser else None


def _try_is_free(check: AddressCheck) -> bool:
    """Count the attempt permanently, even though a wrong code rolls everything else back."""
    database = cast("Database", current_app.extensions["database"])
    with database.transaction(beside=True) as own:
        return take_try(own, check.id)


def _let_in(check: AddressCheck, *, by: str) -> ResponseReturnValue:
    session = db.session()
    member_id = find_member_id(session, check.email)
    member = session.get(Member, member_id) if member_id is not None else None
    if member is None or not use(session, check, asking_browser()):
        return _ask_again(
            "used", _("This code or link has already been used. Ask for a new e-mail.")
        )
    response = make_response(redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER))
    begin_session(session, member, response, by=by)
    return response


def _wrong_code(email: str | None, token: str, name: str, error: str) -> ResponseReturnValue:
    link = token or None
    page = _page("code.html", email=email, link_token=link, error=error, error_name=name)
    return page, HTTPStatus.UNPROCESSABLE_ENTITY


def _ask_again(name: str, error: str) -> ResponseReturnValue:
    page = _page("sign_in.html", email="", error=error, error_name=name)
    return page, HTTPStatus.UNPROCESSABLE_ENTITY


def _page(name: str, **values: object) -> str:
    return render_template(f"account/{name}", tries=MOST_TRIES, **values)
