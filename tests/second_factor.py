"""The second factor of staff in tests: turned on, with its codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyotp

from fundraiser.db import now
from fundraiser.newsroom import second_factor
from tests.staff import post, staff_of

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database


def code_of(database: Database, email: str) -> str:
    return pyotp.TOTP(second_factor.secret_of(staff_of(database, email))).at(now())


def turn_on(client: FlaskClient, database: Database, email: str) -> TestResponse:
    post(client, "/staff/account/second-factor", "/staff/account")
    return post(
        client, "/staff/account/second-factor/on", "/staff/account", code=code_of(database, email)
    )
