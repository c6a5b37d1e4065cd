"""The table of what is wrong at the moment."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base


class Trouble(StrEnum):
    """Something that the operator has to mend."""

    WORKERS = "workers"
    BEAT = "beat"
    DRIFT = "drift"
    EVENTS = "events"
    SYNCS = "syncs"
    CHANGES = "changes"
    WEBHOOKS = "webhooks"
    KEY = "key"
    RECONCILIATION = "reconciliation"
    EMAILS_WAIT = "emails_wait"
    EMAILS_FAIL = "emails_fail"
    PROXY = "proxy"
    STOPPED = "stopped"


class OpenTrouble(Base):
    """A trouble that goes on: since when, when the operator was told, and since when it is gone."""

    __tablename__ = "open_trouble"

    trouble: Mapped[Trouble] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    told_at: Mapped[datetime | None]
    gone_since: Mapped[datetime | None]
