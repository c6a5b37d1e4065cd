"""Staff who sign in: shared by the tests of their pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

from fundraiser.newsroom.models import Role
from fundraiser.newsroom.staff import add_staff

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.db import Database

PASSWORD = "correct horse battery"
PAGE = {"Accept": "text/html"}


def hire(database: Database, role: Role = Role.MANAGER) -> str:
    """A new person of the staff; returns the address, which no other test uses."""
    email = f"Iryna-{uuid4().hex[:8]}@example.org"
    with database.transaction() as session:
        add_staff(session, email=email, name="Iryna Bondar", role=role, password=PASSWORD)
    return email


def csrf_token(client: FlaskClient, path: str = "/staff/sign-in") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path, headers=PAGE).text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, email: str, password: str = PASSWORD, **form: str) -> TestResponse:
    form |= {"email": email, "password": password, "csrf_token": csrf_token(client)}
    return client.post("/staff/sign-in", data=form, headers=PAGE)
