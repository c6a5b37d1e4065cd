"""Fixtures that move the clock of the service under test."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fundraiser import db
from fundraiser.config import current_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundraiser.app import FundraiserApp

    PassTime = Callable[[timedelta], None]


@pytest.fixture
def pass_time(tmp_path: Path, app: FundraiserApp) -> PassTime:
    """Move the service's clock forward, from where it is."""
    file, passed = tmp_path / "clock", timedelta()
    db.clock.follow(file)

    def move(span: timedelta) -> None:
        nonlocal passed
        assert app
        passed += span
        file.write_text(str(int(passed.total_seconds())))
        os.utime(file, ns=(0, int(passed.total_seconds())))

    return move


@pytest.fixture
def at_noon(pass_time: PassTime) -> PassTime:
    """It is noon in the newsroom; the clock can be moved on from there."""
    here = db.now().astimezone(current_settings().newsroom_timezone)
    noon = here.replace(hour=12, minute=0, second=0, microsecond=0)
    pass_time((noon if noon > here else noon + timedelta(days=1)) - here)
    return pass_time
