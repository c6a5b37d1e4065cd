"""The life of an imported file: upload, read, plan, apply in the background, undo."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import psycopg
import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError

from fundraiser.db import now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.jobs import Job, hint
from fundraiser.sources import applying, planning, staging, undoing
from fundraiser.sources.formats import File, Format, find_format, recognise
from fundraiser.sources.models import (
    AT_WORK,
    BatchState,
    ExternalSource,
    ImportBatch,
    ImportFile,
    ImportRow,
    LiveSource,
)
from fundraiser.sources.readings import FileRefusedError, Options
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from fundraiser.db import Database

log = structlog.get_logger()

_PIECE = 1 << 20  # bytes
_MOST_TRIES = 3  # of reading a file: what kills a worker three times kills a fourth
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file."""

    content: BinaryIO
    name: str
    format: str | None = None
    source: str | None = None


def begin(
    session: Session, upload: Upload, options: Options, *, staff_id: int | None = None
) -> ImportBatch:
    """Store a file under its source, without reading its rows.

    Raises:
        FileRefusedError: its format is unknown, or not the one given.
    """
    form = _find(upload, options)
    source = find_or_add_source(session, upload.source or form.name, form)
    merged = _as_last_time(source, options, form)
    batch = ImportBatch(
        source=source.name,
        format=form.name,
        state=BatchState.UPLOADED,
        file_name=upload.name[:200],
        hash=_hash(upload.content),
        options=merged.to_json(),
        headings=[],
        notes=[],
        counts={},
        sums={},
        peaks={},
        staff_id=staff_id,
        created_at=now(),
    )
    session.add(batch)
    session.flush()
    return batch


def _find(upload: Upload, options: Options) -> Format:
    file = File(upload.content, upload.name, options)
    told = find_format(upload.format) if upload.format else None
    if upload.format and told is None:
        raise FileRefusedError(_("We don’t know the format “%(name)s”.", name=upload.format[:40]))
    found = told if told and (told.is_mapped or told.recognise(file)) else recognise(file)
    if found is None:
        file.table()  # says what is wrong with it
        raise FileRefusedError(
            _(
                "We can’t tell where this file is from, and none of its columns looks "
                "like e-mail addresses. Choose the source and the columns."
            )
        )
    if told is None or told is found:
        return found
    if not told.is_mapped and found.is_mapped:
        raise FileRefusedError(
            _(
                "This isn’t a %(told)s file: its columns are missing. Check that you "
                "exported the list of members, or import it as a list and choose the "
                "columns yourself.",
                told=told.label,
            )
        )
    raise FileRefusedError(
        _(
            "This isn’t a %(told)s file: it looks like one from %(found)s.",
            told=told.label,
            found=found.label,
        )
    )


def find_or_add_source(session: Session, name: str, form: Format) -> ExternalSource:
    """Find or create the source with this name.

    Raises:
        FileRefusedError: the name is invalid, or belongs to another system's source.
    """
    if not _NAME.fullmatch(name):
        raise FileRefusedError(
            _(
                "Use only lower-case a–z, digits and hyphens for the source’s name, at "
                "most 40 characters."
            )
        )
    label = form.label if name == form.name else name
    session.execute(
        insert(ExternalSource)
        .values(name=name, label=label, format=form.name, options={}, created_at=now())
        .on_conflict_do_nothing()
    )
    source = session.get_one(ExternalSource, name)
    if source.format != form.name:
        raise FileRefusedError(
            _(
                "The source “%(name)s” is for files from another system. Give this "
                "one another name.",
                name=name,
            )
        )
    return source


def _as_last_time(source: ExternalSource, options: Options, form: Format) -> Options:
    """The options of the source's last file, for those not set now."""
    last = Options.from_json(source.options)
    if form.is_mapped and not options.columns:
        options.columns = last.columns
    options.date_order = options.date_order or last.date_order
    options.decimal = options.decimal or last.decimal
    options.currency = options.currency or last.currency
    options.prices = options.prices or last.prices
    return options


def _hash(content: BinaryIO) -> str:
    digest = hashlib.sha256()
    content.seek(0)
    while piece := content.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def keep_file(session: Session, batch: ImportBatch, content: BinaryIO) -> None:
    """Store the bytes until a worker reads them."""
    content.seek(0)
    session.add(ImportFile(batch_id=batch.id, content=content.read(), created_at=now()))


def start_reading(session: Session, batch: ImportBatch, options: Options) -> None:
    """Have a file read and planned in the background; asking twice for the same reads it once.

    Raises:
        UnprocessableError: it is already being processed.
    """
    session.refresh(batch, with_for_update=True)
    if batch.state is BatchState.READING and batch.options == options.to_json():
        return
    if batch.state not in {BatchState.UPLOADED, BatchState.PLANNED, BatchState.REFUSED}:
        raise UnprocessableError(
            _("This file can’t be read again at this stage. Check its status.")
        )
    batch.options, batch.state = options.to_json(), BatchState.READING
    batch.problem, batch.attempts = None, 0
    hint(session, Job.IMPORT)


def read_and_plan(
    session: Session, batch: ImportBatch, content: BinaryIO, grace: timedelta
) -> None:
    """Read a file into rows, and plan what each would do.

    Raises:
        FileRefusedError: it can't be read, or is older than our list.
    """
    options = Options.from_json(batch.options)
    form = staging.named(batch.format)
    file = File(content, batch.file_name, options)
    try:
        staging.stage(session, batch, file, form)
    except (DataError, psycopg.DataError):  # the latter by COPY, which SQLAlchemy doesn't see
        raise FileRefusedError(
            _(
                "A number or date in this file is too large to store. Correct it and "
                "upload the file again."
            )
        ) from None
    _refuse_older(session, batch)
    planning.plan(session, batch, grace, whole_list=options.whole_list)


def _refuse_older(session: Session, batch: ImportBatch) -> None:
    source = session.get_one(ExternalSource, batch.source)
    if batch.list_at and source.list_at and batch.list_at < source.list_at:
        raise FileRefusedError(
            _(
                "This list is from %(day)s, but we already have a newer one, from "
                "%(newest)s. Export it again and upload that.",
                day=f"{batch.list_at:%Y-%m-%d %H:%M}",
                newest=f"{source.list_at:%Y-%m-%d %H:%M}",
            )
        )


def confirm(
    session: Session, batch: ImportBatch, grace: timedelta, *, seen: str | None = None
) -> None:
    """Have a planned file applied in the background; does nothing if it already is.

    ``seen`` is the time of the plan that was looked at, as ISO 8601; None if that is the latest.

    Raises:
        StalePlanError: another file of the source came between, or the plan isn't the one seen.
        UnprocessableError: it isn't planned, or another file of the source is being applied.
    """
    session.refresh(batch, with_for_update=True)
    if batch.state in {BatchState.APPLYING, BatchState.APPLIED}:
        return
    if batch.state is not BatchState.PLANNED:
        raise UnprocessableError(_("See what this file would change before you import it."))
    if seen and batch.planned_at and batch.planned_at.isoformat() != seen:
        raise StalePlanError(
            _(
                "Somebody has read this file again. See what it would change now, and "
                "confirm it again."
            )
        )
    source = session.get_one(ExternalSource, batch.source, with_for_update=True)
    newer = session.scalar(
        select(ImportBatch.id).where(
            ImportBatch.source == source.name,
            func.coalesce(ImportBatch.undone_at, ImportBatch.applied_at) > batch.planned_at,
        )
    )
    if newer is not None:
        planning.plan(session, batch, grace, whole_list=Options.from_json(batch.options).whole_list)
        raise StalePlanError(
            _(
                "Meanwhile another file from this source was imported or undone. See "
                "what this one would change now, and confirm it again."
            )
        )
    session.execute(delete(ImportFile).where(ImportFile.batch_id == batch.id))
    batch.state, batch.progress, batch.done = BatchState.APPLYING, 0, 0
    try:
        session.flush()
    except IntegrityError:
        raise UnprocessableError(
            _("Another file from this source is being imported. Try again when it’s done.")
        ) from None
    hint(session, Job.IMPORT)


class StalePlanError(UnprocessableError):
    """The plan is out of date and has been made again."""


def discard(session: Session, batch: ImportBatch) -> None:
    """Delete a file that isn't applied, with its rows."""
    session.refresh(batch, with_for_update=True)
    if batch.state in {BatchState.APPLYING, BatchState.APPLIED, BatchState.UNDOING}:
        raise UnprocessableError(_("This file has already been imported. Undo the import instead."))
    if batch.state is BatchState.UNDONE:
        return
    batch.state = BatchState.DISCARDED
    session.execute(delete(ImportRow).where(ImportRow.batch_id == batch.id))
    session.execute(delete(ImportFile).where(ImportFile.batch_id == batch.id))


def undo(session: Session, batch: ImportBatch) -> None:
    """Have an applied file undone in the background.

    A connected service that delivered it is paused until staff resume it: it would deliver it
    again.
    """
    undoing.begin_undo(session, batch)
    if batch.live is not None:
        session.execute(
            update(LiveSource)
            .where(LiveSource.name == batch.source, LiveSource.paused_at.is_(None))
            .values(paused_at=now())
        )
    hint(session, Job.IMPORT)


def find_source(session: Session, batch: ImportBatch) -> ExternalSource:
    """A file's source."""
    return session.get_one(ExternalSource, batch.source)


def find_batch(session: Session, batch_id: int) -> ImportBatch:
    """Find the file with this number.

    Raises:
        NotFoundError: there is none.
    """
    batch = session.get(ImportBatch, batch_id)
    if batch is None:
        raise NotFoundError(_("There’s no import with this number."))
    return batch


def step(database: Database, batch_id: int, grace: timedelta) -> bool:
    """Process the next step of one file; False if there is none, or another process does it."""
    with database.transaction() as session:
        state = session.scalar(select(ImportBatch.state).where(ImportBatch.id == batch_id))
        if state is BatchState.APPLYING:
            return applying.apply_some(session, batch_id, grace)
        if state is BatchState.UNDOING:
            return undoing.undo_some(session, batch_id, grace)
    return state is BatchState.READING and _read_one(database, batch_id, grace)


def step_any(database: Database, grace: timedelta) -> bool:
    """Process the next step of any file; False if there is none."""
    with database.transaction() as session:
        ids = session.scalars(
            select(ImportBatch.id).where(ImportBatch.state.in_(AT_WORK)).order_by(ImportBatch.id)
        ).all()
    return any(step(database, one, grace) for one in ids)


def _read_one(database: Database, batch_id: int, grace: timedelta) -> bool:
    """Read an uploaded file, or refuse it with a reason."""
    with database.transaction() as session:
        batch = session.scalars(
            select(ImportBatch)
            .where(ImportBatch.id == batch_id, ImportBatch.state == BatchState.READING)
            .with_for_update(skip_locked=True)
        ).first()
        if batch is None:
            return False
        batch.attempts += 1
        if batch.attempts > _MOST_TRIES:
            batch.state, batch.problem = BatchState.REFUSED, _("We can’t read this file.")
            return False
    problem = None
    try:
        with database.transaction() as session:
            batch = session.scalars(
                select(ImportBatch)
                .where(ImportBatch.id == batch_id, ImportBatch.state == BatchState.READING)
                .with_for_update(skip_locked=True)
            ).first()
            kept = session.get(ImportFile, batch_id) if batch else None
            if batch is None:
                return False
            if kept is None:
                raise FileRefusedError(_("We no longer have this file. Upload it again."))  # noqa: TRY301 - one place says what is refused
            read_and_plan(session, batch, io.BytesIO(kept.content), grace)
    except FileRefusedError as error:
        problem = str(error)
    if problem is not None:
        with database.transaction() as session:
            batch = session.get_one(ImportBatch, batch_id, with_for_update=True)
            batch.state, batch.problem = BatchState.REFUSED, problem
            log.info("import_refused", batch=batch_id, source=batch.source)
    return False
