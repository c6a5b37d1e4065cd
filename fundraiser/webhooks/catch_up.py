"""Find events that no webhook delivered, in Stripe's own list of events."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.payments.models import Event
from fundraiser.webhooks import inbox
from fundraiser.webhooks.models import EventWatermark

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.payments import Gateway

log = structlog.get_logger()

_STRIPE_KEEPS = timedelta(days=30)
# Stripe may list two events of one second in either order, or one of them late.
_SETTLES_AFTER = timedelta(seconds=10)


def catch_up(session: Session, gateway: Gateway, *, every: timedelta) -> bool:
    """Receive a page of Stripe's event list like webhooks; True if there are more pages.

    Once ``every`` has passed, it reads from the latest event back to where the last check started,
    or 30 days. Each page is one transaction, so an interrupted check continues.
    """
    session.execute(insert(EventWatermark).values(id=1, found=0).on_conflict_do_nothing())
    mark = session.scalars(select(EventWatermark).with_for_update(skip_locked=True)).first()
    if mark is None:
        return False  # another worker is at it
    at = now()
    if mark.cursor is None and mark.looked_at is not None and at - mark.looked_at < every:
        return False
    try:
        page = gateway.list_events(at - _STRIPE_KEEPS, mark.cursor)
    except NotFoundError:
        # Another account, or a check interrupted for a month: start again, as far back as possible.
        mark.cursor, mark.event_id, mark.looked_at = None, None, None
        return True
    if mark.cursor is None:
        mark.looked_at, mark.newest_id = at, None
    ids = [event.id for event in page.facts]
    known = set(session.scalars(select(Event.id).where(Event.id.in_(ids))))
    unknown = [
        event for event in page.facts if event.id not in known and event.type in inbox.HANDLED
    ]
    inbox.receive(session, unknown)
    old = {event.id for event in page.facts if event.created_at <= at - _SETTLES_AFTER}
    if mark.newest_id is None:
        mark.newest_id = next((name for name in ids if name in old), None)
    for event in unknown:
        if event.id in old:
            mark.found += 1
            log.warning("event_found_late", id=event.id, type=event.type)
    if mark.event_id in ids or page.next is None:
        mark.event_id = mark.newest_id or mark.event_id
        mark.cursor = None
        return False
    mark.cursor = page.next
    return True


def read_found_late(session: Session) -> int:
    """The total number of events that no webhook delivered."""
    return session.scalar(select(EventWatermark.found)) or 0
