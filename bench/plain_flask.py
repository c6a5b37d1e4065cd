"""The yardstick of the progress layer: the same view as anybody would write it in Flask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, jsonify, request

from fundraiser.campaigns.progress import find_campaign, read_progress
from fundraiser.config import load_settings
from fundraiser.db import Database
from fundraiser.headers import ANYWHERE, FRESH

if TYPE_CHECKING:
    from flask import Response

application = Flask(__name__)
_database = Database(load_settings())


@application.get("/campaigns/<slug>/progress")
def progress(slug: str) -> Response:
    """Read the number, say it."""
    with _database.transaction() as session:
        response = jsonify(read_progress(session, find_campaign(session, slug)).as_json())
    response.headers.update(ANYWHERE)
    response.headers["Cache-Control"] = FRESH
    response.add_etag()
    return response.make_conditional(request)  # type: ignore[return-value]  # a Response of Flask's
