"""The app for commands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fundraiser.app import create_app
from fundraiser.db import command_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.app import FundraiserApp


@contextmanager
def open_app() -> Iterator[FundraiserApp]:
    """The app with its context, until the command ends."""
    app = create_app(pool=command_pool())
    try:
        with app.app_context():
            yield app
    finally:
        app.database.dispose()
