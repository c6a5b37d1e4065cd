"""Ask staff for their password or passkey again before sensitive actions.

The page that asks keeps the submitted form's fields and sends them on.
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
    """Decorator: run this view's POST only after a recent confirmation."""

    @wraps(view)
    def asking(**values: object) -> ResponseReturnValue:
        return ask_again() or view(**values)

    return asking


def ask_again() -> ResponseReturnValue | None:
    """The page that asks for the password or passkey; None if not needed, or just given.

    Only POST requests need it, never opening a page.
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
    """Check the current person's password; counts attempts before the check.

    Raises:
        UnprocessableError: the password is wrong.
        UnavailableError: too many passwords are being checked.
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
