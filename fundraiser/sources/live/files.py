"""Turn a connected service's answers into an imported file, and follow it to its end."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import LargeBinary, delete, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.jobs import Job, hint
from fundraiser.sources import batches
from fundraiser.sources.live.calls import Trouble, back_off
from fundraiser.sources.models import (
    CHANGES,
    BatchState,
    ExternalSource,
    ImportBatch,
    ImportFile,
    ImportRow,
    Live,
    LivePage,
    LiveSource,
    Outcome,
)
from fundraiser.sources.planning import count_stopping
from fundraiser.sources.readings import FileRefusedError, Options
from fundraiser.sources.staging import named

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from fundraiser.sources.live.clients import Client

log = structlog.get_logger()

# A listing that ends more people than this waits for staff: it may be wrong rather than they.
_FEW, _MOST = 20, 0.1
_AT_NIGHT = time(3, 30)
_SOON = timedelta(seconds=10)


def finish_listing(session: Session, client: Client, source: LiveSource) -> None:
    """Make a file of a complete listing, and have it read."""
    began = source.listing_at or now()
    source.listing_at, source.cursor, source.pages = None, None, 0
    source.due_at = next_night(now(), current_settings().newsroom_timezone)
    _discard_held(session, source)
    if not _count_listed(session, source):
        source.listed_at = began  # nobody there, and nobody whom we count by it
        return
    options = Options(as_of=began.isoformat(), currency=client.currency)
    batch = _add_batch(session, client, source, Live.LISTING, options)
    if batch is not None:
        content = func.string_agg(
            LivePage.content, aggregate_order_by(literal(b"\n", LargeBinary), LivePage.number)
        )
        session.execute(
            insert(ImportFile).from_select(
                ["batch_id", "content", "created_at"],
                select(literal(batch.id), content, literal(now())).where(
                    LivePage.source == source.name
                ),
            )
        )
        batch.hash = (
            session.scalar(
                select(func.encode(func.sha256(ImportFile.content), "hex")).where(
                    ImportFile.batch_id == batch.id
                )
            )
            or ""
        )
    session.execute(delete(LivePage).where(LivePage.source == source.name))


def _count_listed(session: Session, source: LiveSource) -> int:
    lengths = func.sum(func.jsonb_array_length(LivePage.keys))
    return session.scalar(select(lengths).where(LivePage.source == source.name)) or 0


def bring_changes(
    session: Session, client: Client, source: LiveSource, members: list[dict[str, Any]]
) -> None:
    """Make a file of some changed members, and have it read."""
    if not members:
        return
    batch = _add_batch(session, client, source, Live.CHANGES, Options(currency=client.currency))
    if batch is not None:
        content = json.dumps(members, separators=(",", ":")).encode()
        batch.hash = hashlib.sha256(content).hexdigest()
        session.add(ImportFile(batch_id=batch.id, content=content, created_at=now()))


def _add_batch(
    session: Session, client: Client, source: LiveSource, live: Live, options: Options
) -> ImportBatch | None:
    try:
        found = batches.find_or_add_source(session, client.name, named(client.name))
    except FileRefusedError:
        note_refused(source)
        return None
    batch = ImportBatch(
        source=found.name,
        format=found.format,
        state=BatchState.READING,
        file_name="",
        hash="",
        options=options.to_json(),
        headings=[],
        notes=[],
        counts={},
        sums={},
        peaks={},
        live=live,
        created_at=now(),
    )
    session.add(batch)
    session.flush()
    source.batch_id = batch.id
    hint(session, Job.IMPORT)
    return batch


def follow(session: Session, source: LiveSource, grace: timedelta) -> bool:
    """Take the current file's next step; True if it is finished or has progressed."""
    if source.batch_id is None:
        return False
    batch = session.get_one(ImportBatch, source.batch_id, with_for_update=True)
    match batch.state:
        case BatchState.PLANNED:
            return _confirm(session, source, batch, grace)
        case BatchState.APPLIED:
            if batch.live is Live.LISTING:
                source.listed_at = batch.list_at
                _forget_unchanged(session, batch)
        case BatchState.REFUSED:
            note_refused(source)
        case BatchState.DISCARDED | BatchState.UNDONE:
            pass
        case _:
            return False
    source.batch_id = None
    hint(session, Job.LIVE)
    return True


def _confirm(session: Session, source: LiveSource, batch: ImportBatch, grace: timedelta) -> bool:
    """Apply it, unless it would end suspiciously many memberships."""
    if source.retry_at and source.retry_at > now():
        return False
    if not any(batch.counts.get(one.value) for one in (*CHANGES, Outcome.HELD, Outcome.REFUSED)):
        return _finish_unchanged(session, source, batch)
    stopping = count_stopping(session, batch, now(), grace)
    known = session.scalar(select(ExternalSource.members).where(ExternalSource.name == source.name))
    if stopping > max(_FEW, (known or 0) * _MOST):
        source.batch_id, source.trouble = None, Trouble.HELD.value
        source.failing_since = source.failing_since or now()
        log.warning("source_listing_held", source=source.name, batch=batch.id, stopping=stopping)
        return True
    try:
        batches.confirm(session, batch, grace)
    except batches.StalePlanError:
        pass  # planned anew
    except UnprocessableError:
        source.retry_at = now() + _SOON  # another file of the source is being applied
        return False
    return True


def _finish_unchanged(session: Session, source: LiveSource, batch: ImportBatch) -> bool:
    """Nothing has changed: only update the list's date."""
    if batch.live is Live.CHANGES:
        batches.discard(session, batch)
        source.batch_id = None
        return True
    try:
        batches.confirm(session, batch, current_settings().grace)
    except UnprocessableError:
        source.retry_at = now() + _SOON
        return False
    return True


def note_refused(source: LiveSource) -> None:
    """Record that the file was refused, for staff; the listing is repeated later."""
    at = now()
    source.failures += 1
    source.trouble = Trouble.REFUSED.value
    source.failing_since = source.failing_since or at
    source.retry_at = at + back_off(source.failures)


def _discard_held(session: Session, source: LiveSource) -> None:
    """Discard an older listing that still waits for staff, since the newer one replaces it."""
    for batch in session.scalars(
        select(ImportBatch).where(
            ImportBatch.source == source.name,
            ImportBatch.live.is_not(None),
            ImportBatch.state.in_((BatchState.PLANNED, BatchState.REFUSED)),
        )
    ).all():
        batches.discard(session, batch)


def _forget_unchanged(session: Session, batch: ImportBatch) -> None:
    """Of earlier listings, keep only rows that changed somebody, to save space."""
    earlier = select(ImportBatch.id).where(
        ImportBatch.source == batch.source,
        ImportBatch.live.is_not(None),
        ImportBatch.id < batch.id,
        ImportBatch.state == BatchState.APPLIED,
    )
    session.execute(
        delete(ImportRow)
        .where(
            ImportRow.batch_id.in_(earlier),
            ImportRow.outcome.not_in((*CHANGES, Outcome.HELD)),
            ImportRow.decision.is_(None),
        )
        .execution_options(synchronize_session=False)
    )


def next_night(at: datetime, zone: ZoneInfo) -> datetime:
    """Half past three in the coming night, in the newsroom's time zone."""
    local = at.astimezone(zone)
    day = local.date() + timedelta(days=local.time() >= _AT_NIGHT)
    return datetime.combine(day, _AT_NIGHT, zone)
