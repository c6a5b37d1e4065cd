"""Whether each connected service works, for staff, the public page and doctor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.jobs import Job, hint
from fundraiser.sources.live.asking import tokens_of
from fundraiser.sources.live.calls import CallError, Trouble
from fundraiser.sources.live.clients import clients
from fundraiser.sources.live.patreon import Patreon
from fundraiser.sources.models import BatchState, ImportBatch, LiveSource
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.db import Database

# A listing comes each night; one night may go wrong.
_OLD = timedelta(hours=30)
_PASSING = {Trouble.SILENT, Trouble.FAILING, Trouble.BUSY, Trouble.MALFORMED, Trouble.INCOMPLETE}
_PATIENCE = timedelta(minutes=15)  # a trouble that may pass by itself


@dataclass(frozen=True, slots=True)
class Liveness:
    """The state of a connected service: latest answer and listing, and what is wrong.

    ``held_id`` is a file that waits for staff. ``stale_since``: since when it has been unreliable;
    null while it is up to date.
    """

    name: str
    label: str
    answered_at: datetime | None
    listed_at: datetime | None
    paused_at: datetime | None
    trouble: Trouble | None
    failing_since: datetime | None
    held_id: int | None
    stale_since: datetime | None


def list_live(session: Session, settings: Settings) -> list[Liveness]:
    """The configured services and their state."""
    return [_state(session, client.name, client.label) for client in clients(settings)]


def _state(session: Session, name: str, label: str) -> Liveness:
    source = session.get(LiveSource, name)
    if source is None:
        return Liveness(name, label, None, None, None, None, None, None, None)
    held = session.scalar(
        select(ImportBatch.id)
        .where(
            ImportBatch.source == name,
            ImportBatch.live.is_not(None),
            ImportBatch.state == BatchState.PLANNED,
            ImportBatch.id.is_distinct_from(source.batch_id),
        )
        .order_by(ImportBatch.id.desc())
        .limit(1)
    )
    trouble = Trouble(source.trouble) if source.trouble else None
    if trouble is Trouble.HELD and held is None:
        trouble = None  # staff have looked at it
    return Liveness(
        name,
        label,
        source.answered_at,
        source.listed_at,
        source.paused_at,
        trouble,
        source.failing_since if trouble else None,
        held if trouble is Trouble.HELD else None,
        _stale_since(source, trouble),
    )


def _stale_since(source: LiveSource, trouble: Trouble | None) -> datetime | None:
    at = now()
    if source.paused_at:
        return source.paused_at
    if trouble and source.failing_since:
        is_passing = trouble in _PASSING and source.failing_since > at - _PATIENCE
        return None if is_passing else source.failing_since
    if source.listed_at and source.listed_at < at - _OLD:
        return source.listed_at
    return None


def trouble_sentence(one: Liveness) -> str:
    """What is wrong, and what to do."""
    if one.paused_at:
        return _("Paused: we won’t update it until you ask for it.")
    return {
        None: _("It hasn’t been updated for a day: check that the workers are running."),
        Trouble.SILENT: _("It doesn’t answer. We’ll keep trying."),
        Trouble.FAILING: _("It reports an error of its own. We’ll keep trying."),
        Trouble.BUSY: _("It says we ask too often. We’ll wait as long as it says."),
        Trouble.UNAUTHORIZED: _(
            "It doesn’t accept our key. Ask the person who runs this service to set a new one."
        ),
        Trouble.NOT_RENEWED: _(
            "We can’t renew its token, which will expire. Ask the person who runs "
            "this service to set new ones."
        ),
        Trouble.UNKNOWN: _(
            "It doesn’t know our campaign or site. Ask the person who runs this "
            "service to check the settings."
        ),
        Trouble.MALFORMED: _("We can’t read its answers, so we changed nobody. We’ll keep trying."),
        Trouble.INCOMPLETE: _(
            "It listed fewer members than it says it has, so we changed nobody. We’ll keep trying."
        ),
        Trouble.HELD: _("Its list would end many memberships. Review it before we apply it."),
        Trouble.REFUSED: _("We couldn’t import its list. See the latest file below."),
    }[one.trouble]


def ask_now(session: Session, settings: Settings, name: str) -> None:
    """Fetch all members as soon as a worker is free, even if the source was paused.

    Raises:
        NotFoundError: no such source is configured.
    """
    _change(session, settings, name, paused_at=None, due_at=now(), retry_at=None)
    hint(session, Job.LIVE)


def pause(session: Session, settings: Settings, name: str) -> None:
    """Stop fetching until staff resume it.

    Raises:
        NotFoundError: no such source is configured.
    """
    _change(session, settings, name, paused_at=now())


def _change(session: Session, settings: Settings, name: str, **values: datetime | None) -> None:
    found = session.execute(
        update(LiveSource).where(LiveSource.name == name).values(values).returning(LiveSource.name)
    )
    is_set_up = name in {client.name for client in clients(settings)}
    if not is_set_up or not found.all():
        raise NotFoundError(_("There’s no such source."))


def examine(database: Database, settings: Settings) -> Iterator[tuple[str, Trouble | None]]:
    """Check each connected service with a small call: its label, and what is wrong."""
    for client in clients(settings):
        with database.transaction() as session:
            source = session.get(LiveSource, client.name) or LiveSource(name=client.name)
            session.expunge_all()
            kept = tokens_of(settings, client, source)
        try:
            client.check(kept)
        except CallError as error:
            yield client.label, error.trouble
        else:
            is_lost = isinstance(client, Patreon) and source.trouble == Trouble.NOT_RENEWED
            yield client.label, Trouble.NOT_RENEWED if is_lost else None
