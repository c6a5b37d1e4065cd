"""Staff pages of changes of many members: choose, preview, progress, results, undo."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.bulk import labels, running
from fundraiser.dashboard.bulk.models import (
    AT_WORK,
    BulkChange,
    BulkKind,
    BulkMember,
    BulkState,
    Result,
)
from fundraiser.dashboard.members.actions import read_end
from fundraiser.dashboard.members.filters import read_filters, read_options
from fundraiser.dashboard.members.listing import matching_ids
from fundraiser.errors import UnprocessableError
from fundraiser.members.member_labels import find_or_add_label, get_label, list_labels
from fundraiser.members.models import Member
from fundraiser.newsroom.models import Staff
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.paging import PAGE, key_from_url, read_key, split_page
from fundraiser.payments.models import Tier
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask.typing import ResponseReturnValue
    from sqlalchemy import Row

blueprint = Blueprint("bulk_pages", __name__)

_LONGEST_NOTE = 2000  # characters


@blueprint.get("/staff/changes")
def index() -> ResponseReturnValue:
    """The latest changes of many members."""
    session, staff = db.session(), signed_in_staff()
    changes = session.execute(
        select(BulkChange, Staff.name)
        .join(Staff, Staff.id == BulkChange.staff_id)
        .order_by(BulkChange.id.desc())
        .limit(PAGE)
    ).all()
    return render_template(
        "dashboard/changes.html",
        staff=staff,
        says=labels,
        changes=changes,
        label_names=_label_names(),
    )


@blueprint.post("/staff/changes")
def freeze() -> ResponseReturnValue:
    """Keep the ticked people, or all who match the filters, for a change."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    if request.form.get("who") == "all":
        filters, errors = read_filters(request.form, read_options(session))
        if errors:
            raise UnprocessableError(_("These filters no longer work. Set them again."))
        ids = matching_ids(session, filters, current_settings().newsroom_timezone)
    else:
        typed = [read_key(text) for text in request.form.getlist("member")]
        ids = running.ticked([key for key in typed if key])
    return _to(running.freeze(session, staff, ids))


@blueprint.get("/staff/changes/<int:change_id>")
def show(change_id: int) -> ResponseReturnValue:
    """A change: what to do, its preview, its progress, or its results."""
    return _page(running.find_change(db.session(), change_id))


@blueprint.post("/staff/changes/<int:change_id>/plan")
def plan(change_id: int) -> ResponseReturnValue:
    """Preview a change."""
    session = db.session()
    change = _locked(change_id)
    try:
        kind, options, note = _read(request.form.get("kind", ""))
        running.plan(session, change, kind, current_settings(), options=options, note=note)
    except UnprocessableError as error:
        session.rollback()
        return _page(running.find_change(session, change_id), error), error.status
    return _to(change)


@blueprint.post("/staff/changes/<int:change_id>/application")
def apply(change_id: int) -> ResponseReturnValue:
    """Make a change in the background."""
    change = _locked(change_id)
    running.confirm(db.session(), change, signed_in_staff())
    return _to(change)


@blueprint.post("/staff/changes/<int:change_id>/undoing")
def undo(change_id: int) -> ResponseReturnValue:
    """Undo a change in the background."""
    change = _locked(change_id)
    running.begin_undo(db.session(), change, signed_in_staff())
    return _to(change)


@blueprint.post("/staff/changes/<int:change_id>/removal")
def discard(change_id: int) -> ResponseReturnValue:
    """Delete a change that hasn't been made."""
    running.discard(db.session(), _locked(change_id))
    flash(_("The change is discarded. No members were changed."), "change-discarded")
    return redirect(url_for("dashboard.members"), HTTPStatus.SEE_OTHER)


def _read(typed: str) -> tuple[BulkKind, dict[str, Any], str | None]:
    """What to do, and with what; raises ``UnprocessableError`` with its field."""
    session, form = db.session(), request.form
    match typed:
        case BulkKind.ADD_LABEL:
            label = find_or_add_label(session, form.get("label", ""))
            return BulkKind.ADD_LABEL, {"label": label.id}, None
        case BulkKind.REMOVE_LABEL:
            found = get_label(session, read_key(form.get("removed", "")) or 0)
            return BulkKind.REMOVE_LABEL, {"label": found.id}, None
        case BulkKind.NOTE:
            note = form.get("note", "").replace("\r\n", "\n").strip()
            if not note:
                raise UnprocessableError(_("Enter a note."), field="note")
            if len(note) > _LONGEST_NOTE:
                raise UnprocessableError(
                    _("Enter %(count)s characters or fewer.", count=_LONGEST_NOTE), field="note"
                )
            return BulkKind.NOTE, {}, note
        case BulkKind.COMPLIMENTARY:
            tier = form.get("tier", "")
            if tier not in {slug for slug, _name in _tiers()}:
                raise UnprocessableError(_("Choose one of the memberships on offer."), field="tier")
            until = read_end(form.get("until", ""))
            return BulkKind.COMPLIMENTARY, {"tier": tier, "until": until.isoformat()}, None
    raise UnprocessableError(_("Choose what to change."))


def _page(change: BulkChange, error: UnprocessableError | None = None) -> str:
    session, asked = db.session(), request.args.get("result", "")
    result = Result(asked) if asked in set(Result) else None
    rows, older = _people(change, result, key_from_url("after"))
    typed = request.form if error else {"kind": change.kind, "note": change.note or ""}
    return render_template(
        "dashboard/change.html",
        staff=signed_in_staff(),
        says=labels,
        change=change,
        what=labels.what(change, _label_names()),
        is_at_work=change.state in AT_WORK,
        is_open=change.state in {BulkState.DRAFT, BulkState.PLANNED},
        counts=running.count_results(session, change),
        result=result,
        rows=rows,
        after=older,
        known_labels=list_labels(session),
        tiers=_tiers(),
        typed=typed,
        error=error,
    )


def _people(
    change: BulkChange, result: Result | None, after: int | None
) -> tuple[Sequence[Row[Member, Result | None]], int | None]:
    statement = (
        select(Member, BulkMember.result)
        .join(BulkMember, BulkMember.member_id == Member.id)
        .where(BulkMember.bulk_id == change.id)
        .order_by(BulkMember.member_id)
        .limit(PAGE + 1)
    )
    if result:
        statement = statement.where(BulkMember.result == result)
    if after is not None:
        statement = statement.where(BulkMember.member_id > after)
    return split_page(db.session().execute(statement).all(), lambda row: row[0].id)


def _tiers() -> list[tuple[str, str]]:
    """The tiers on offer, by slug."""
    tiers = db.session().scalars(
        select(Tier).where(Tier.retired_at.is_(None), Tier.prices.any()).order_by(Tier.position)
    )
    return [(tier.slug, by_language(tier.names)) for tier in tiers]


def _label_names() -> dict[int, str]:
    return {label.id: label.name for label in list_labels(db.session())}


def _locked(change_id: int) -> BulkChange:
    require(signed_in_staff(), Permission.CHANGE_MEMBER)
    return running.find_change(db.session(), change_id, locked=True)


def _to(change: BulkChange) -> ResponseReturnValue:
    return redirect(url_for(".show", change_id=change.id), HTTPStatus.SEE_OTHER)
