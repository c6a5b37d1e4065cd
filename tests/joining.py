"""The join form in tests: as it stands, and sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import altcha
from bs4 import BeautifulSoup

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


OURS = {"Origin": "http://127.0.0.1:8000"}


def fill_in(client: FlaskClient, **query: str) -> dict[str, str]:
    """What the join page's form would send as it stands."""
    return form_of(read(client.get("/join", query_string=query)))


def form_of(page: BeautifulSoup) -> dict[str, str]:
    """What a browser would send of the join page's or the gift page's form."""
    fields = page.select("form input[type=hidden], form input[checked], form input[name=amount]")
    return {str(field["name"]): str(field.get("value", "")) for field in fields}


def send(client: FlaskClient, form: dict[str, str], **changed: str) -> TestResponse:
    return client.post("/join", data=form | changed, headers=OURS)


def thanks_of(page: str) -> str:
    return "/join/thanks?" + urlencode({"session_id": page.rsplit("/", 1)[1]})


def read(answer: TestResponse) -> BeautifulSoup:
    return BeautifulSoup(answer.text, "html.parser")


def solve(challenge: str) -> str:
    """What proof.js makes of it."""
    given = altcha.Challenge.from_dict(json.loads(challenge))
    solution = altcha.solve_challenge(given)
    assert solution
    return altcha.Payload(given, solution).to_base64()
