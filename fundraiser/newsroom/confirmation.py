"""Acts that ask for the password or a passkey again, unless they were given minutes ago.

The form that is sent is kept: the page that asks carries its fields and sends them on.
"""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING

from flask import render_template, request

from fundraiser.db import clock
from fundraiser.errors import UnavailableError, UnprocessableError
from fundraiser.incidents import Kind, note
from fundraiser.newsroom.sign_in import (
    check_passkey,
    confirm_session,
    current_session,
    limit_by_account,
    passkey_options,
    signed_in_staff,
)
from fundraiser.newsroom.staff import check_password
from fundraiser.security import forget_try, limiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from flask.typing import ResponseReturnValue

FRESH = timedelta(minutes=5)
PASSWORD, PASSKEY = "password_again", "passkey"
# What the page that asks adds to a form; the last is there for the browser's password manager.
FIELDS = {PASSWORD, PASSKEY, "username"}


def confirmed(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Let this view's form be sent only by somebody who has just proved who they are."""

    @wraps(view)
    def asking(**values: object) -> ResponseReturnValue:
        return ask_again() or view(**values)

    return asking


def ask_again() -> ResponseReturnValue | None:
    """The page that asks for the password or a passkey; None if there is no need, or it was given.

    Only a form is asked for it, never a page that is opened.
    """
    if request.method != "POST" or clock.machine() - _confirmed_at() < FRESH:
        return None
    if PASSWORD not in request.form and PASSKEY not in request.form:
        return _page()
    try:
        _check()
    except (UnprocessableError, UnavailableError) as error:
        note(Kind.PASSWORD)
        return _page(error), error.status
    confirm_session()
    return None


@limiter.shared_limit("10 per 15 minutes", scope="password again", key_func=limit_by_account)
def check_ones_password(password: str, *, field: str) -> None:
    """Make sure that whoever sits there is the person; tries are counted before the check.

    Raises:
        UnprocessableError: the password is wrong.
        UnavailableError: too many passwords are checked at this moment.
    """
    check_password(signed_in_staff(), password, field=field)
    forget_try()


def _check() -> None:
    if answer := request.form.get(PASSKEY):
        check_passkey(answer)
    else:
        check_ones_password(request.form.get(PASSWORD, ""), field=PASSWORD)


def _confirmed_at() -> datetime:
    at = current_session().confirmed_at
    assert at  # noqa: S101 - the guard let nobody in without it
    return at


def _page(error: Exception | None = None) -> str:
    return render_template(
        "newsroom/confirm.html",
        staff=signed_in_staff(),
        error=error,
        options=passkey_options(),
        fields=[
            (name, value)
            for name, value in request.form.items(multi=True)
            if name not in FIELDS | {"csrf_token"}
        ],
    )
