"""Staff pages of members who pay elsewhere: files, dry run, decisions, undo."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.sources.forms import currency_choices
from fundraiser.dashboard.sources.reading import (
    DELIMITERS,
    ENCODINGS,
    page_of_options,
    read_options,
)
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.confirmation import confirmed
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.paging import read_key
from fundraiser.sources import applying, batches, labels, overview
from fundraiser.sources.formats import formats
from fundraiser.sources.live import status
from fundraiser.sources.models import (
    AT_WORK,
    BatchState,
    Decision,
    ImportBatch,
    ImportFile,
    ImportRow,
    Live,
    Outcome,
)
from fundraiser.sources.readings import FileRefusedError, Options
from fundraiser.sources.refusals import stream_refused
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask.typing import ResponseReturnValue

    from fundraiser.newsroom.models import Staff

blueprint = Blueprint("source_pages", __name__)

_PAGE = 50
_LONGEST = 100  # characters of what is chosen for a file
_SHOWN = (Outcome.HELD, Outcome.REFUSED, Outcome.ABSENT, Outcome.NEW, Outcome.JOINED)


@blueprint.get("/staff/sources")
def index() -> ResponseReturnValue:
    """The sources, their files, and the upload form."""
    return _index_page()


def _index_page(error: str | None = None) -> str:
    session, staff = db.session(), signed_in_staff()
    return render_template(
        "dashboard/sources.html",
        staff=staff,
        labels=labels,
        sources=overview.list_sources(session),
        running_out=overview.running_out(session, current_settings().grace),
        live_sources=status.list_live(session, current_settings()),
        trouble_sentence=status.trouble_sentence,
        batches=session.scalars(
            select(ImportBatch)
            .where(
                ImportBatch.state != BatchState.DISCARDED,
                # What a webhook brings is a file every minute: of these, those that wait for staff.
                ImportBatch.live.is_distinct_from(Live.CHANGES)
                | ImportBatch.counts.has_key(Outcome.HELD.value),
            )
            .order_by(ImportBatch.id.desc())
            .limit(_PAGE)
        ).all(),
        formats=formats().values(),
        may_import=may(staff, Permission.IMPORT),
        may_add=may(staff, Permission.CHANGE_MEMBER),
        typed=request.form,
        error=error,
    )


@blueprint.post("/staff/sources/files")
def upload() -> ResponseReturnValue:
    """Store a file, and show how we read it."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.IMPORT)
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        return _index_page(_("Choose a file to upload.")), HTTPStatus.UNPROCESSABLE_ENTITY
    content = io.BytesIO(sent.read())
    handed = batches.Upload(
        content,
        sent.filename,
        format=request.form.get("format") or None,
        source=request.form.get("source", "").strip()[:_LONGEST] or None,
    )
    options = Options(
        encoding=request.form.get("encoding", "")[:_LONGEST] or None,
        as_of=request.form.get("as_of", "")[:_LONGEST] or None,
    )
    try:
        batch = batches.begin(session, handed, options, staff_id=staff.id)
    except FileRefusedError as error:
        session.rollback()
        return _index_page(str(error)), HTTPStatus.UNPROCESSABLE_ENTITY
    batches.keep_file(session, batch, content)
    record(session, Action.UPLOADED_LIST, f"import {batch.id}", staff=staff)
    return _to(batch)


@blueprint.get("/staff/sources/imports/<int:batch_id>")
def show(batch_id: int) -> ResponseReturnValue:
    """A file's state, and the possible actions."""
    return _batch_page(batches.find_batch(db.session(), batch_id))


def _batch_page(batch: ImportBatch, error: str | None = None) -> str:
    session, staff = db.session(), signed_in_staff()
    may_import = may(staff, Permission.IMPORT)
    can_be_read = may_import and batch.state in {
        BatchState.UPLOADED,
        BatchState.PLANNED,
        BatchState.REFUSED,
    }
    is_kept = can_be_read and session.scalar(
        select(exists().where(ImportFile.batch_id == batch.id))
    )
    return render_template(
        "dashboard/import.html",
        staff=staff,
        batch=batch,
        labels=labels,
        reading=page_of_options(batch, lambda: _content(batch)) if is_kept else None,
        is_at_work=batch.state in AT_WORK,
        lists=[(one, labels.outcome(one), _rows(batch, one)) for one in _SHOWN],
        waiting=applying.waiting(session, batch.id),
        may_import=may_import,
        may_decide=may(staff, Permission.CHANGE_MEMBER),
        encodings=ENCODINGS,
        delimiters=list(DELIMITERS),
        currencies=currency_choices(),
        zip_same=_same,
        error=error,
    )


def _content(batch: ImportBatch) -> bytes:
    return db.session().get_one(ImportFile, batch.id).content


def _same(names: Iterable[str]) -> list[tuple[str, str]]:
    """Options whose labels are their values."""
    return [(name, name) for name in names]


def _rows(batch: ImportBatch, outcome: Outcome) -> list[ImportRow]:
    if not batch.counts.get(outcome.value):
        return []
    return list(
        db.session()
        .scalars(
            select(ImportRow)
            .where(ImportRow.batch_id == batch.id, ImportRow.outcome == outcome)
            .order_by(ImportRow.decision.is_not(None), ImportRow.number)
            .limit(_PAGE)
        )
        .all()
    )


@blueprint.post("/staff/sources/imports/<int:batch_id>/reading")
def read(batch_id: int) -> ResponseReturnValue:
    """Read the file with these options, and plan it in the background."""
    session, _staff, batch = _for(batch_id, Permission.IMPORT)
    options = read_options(Options.from_json(batch.options), request.form)
    batches.start_reading(session, batch, options)
    return _to(batch)


@blueprint.post("/staff/sources/imports/<int:batch_id>/application")
@confirmed
def apply(batch_id: int) -> ResponseReturnValue:
    """Apply a planned file in the background."""
    session, staff, batch = _for(batch_id, Permission.IMPORT)
    try:
        seen = request.form.get("plan", "")[:_LONGEST]
        batches.confirm(session, batch, current_settings().grace, seen=seen)
    except batches.StalePlanError as error:
        flash(str(error))
        return _to(batch)
    record(session, Action.APPLIED_LIST, f"import {batch.id}", staff=staff)
    return _to(batch)


@blueprint.post("/staff/sources/imports/<int:batch_id>/undoing")
@confirmed
def undo(batch_id: int) -> ResponseReturnValue:
    """Undo a whole file in the background."""
    session, staff, batch = _for(batch_id, Permission.IMPORT)
    batches.undo(session, batch)
    record(session, Action.UNDID_LIST, f"import {batch.id}", staff=staff)
    return _to(batch)


@blueprint.post("/staff/sources/imports/<int:batch_id>/removal")
def discard(batch_id: int) -> ResponseReturnValue:
    """Delete a file that isn't applied."""
    session, _staff, batch = _for(batch_id, Permission.IMPORT)
    batches.discard(session, batch)
    flash(_("File removed. No members were changed."))
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/sources/imports/<int:batch_id>/decisions")
def decide(batch_id: int) -> ResponseReturnValue:
    """Resolve one row as staff decide."""
    session, staff, batch = _for(batch_id, Permission.CHANGE_MEMBER)
    row = session.scalars(
        select(ImportRow).where(
            ImportRow.batch_id == batch.id,
            ImportRow.number == read_key(request.form.get("row", "")),
        )
    ).first()
    if row is None:
        raise NotFoundError(_("There’s no such row."))
    wants = Decision.COUNT if request.form.get("decision") == "count" else Decision.IGNORE
    until = _day(request.form.get("until", ""))
    if wants is Decision.COUNT and until is None and row.counts_until is None:
        return (
            _batch_page(batch, _("Enter the day until which row %(row)s is paid.", row=row.number)),
            HTTPStatus.UNPROCESSABLE_ENTITY,
        )
    decided = applying.decide(
        session, row.id, wants, current_settings().grace, staff_id=staff.id, until=until
    )
    if decided:
        record(
            session, Action.DECIDED_ROW, f"import {batch.id}", staff=staff, fields=(wants.value,)
        )
        flash(_("Your decision on row %(row)s is saved.", row=row.number))
    else:
        flash(_("Row %(row)s had already been decided.", row=row.number))
    return _to(batch)


def _day(typed: str) -> datetime | None:
    """The end of a day in the newsroom's time zone."""
    if not typed:
        return None
    try:
        day = date.fromisoformat(typed) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise UnprocessableError(
            _("Enter the date as year, month and day, like 2026-03-03.")
        ) from error
    return datetime.combine(day, time(), current_settings().newsroom_timezone)


@blueprint.post("/staff/sources/imports/<int:batch_id>/refused-rows/export")
@confirmed
def export_refused(batch_id: int) -> ResponseReturnValue:
    """The refused rows as a file, with reasons."""
    session, staff, batch = _for(batch_id, Permission.IMPORT)
    record(session, Action.EXPORTED_MEMBERS, f"refused rows of import {batch.id}", staff=staff)
    return Response(
        stream_refused(Session(db.current_database().engine), batch),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="refused-{batch.id}.csv"'},
    )


def _for(batch_id: int, permission: Permission) -> tuple[Session, Staff, ImportBatch]:
    staff = signed_in_staff()
    require(staff, permission)
    return db.session(), staff, batches.find_batch(db.session(), batch_id)


def _to(batch: ImportBatch) -> ResponseReturnValue:
    return redirect(url_for(".show", batch_id=batch.id), HTTPStatus.SEE_OTHER)
