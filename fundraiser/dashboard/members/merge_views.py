"""Staff pages to merge two records of one person, with preview and undo."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.members.filters import Filters
from fundraiser.dashboard.members.listing import list_members
from fundraiser.errors import BadRequestError, NotFoundError, UnprocessableError
from fundraiser.members import merging
from fundraiser.members.counting import verdict_of
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Member, Membership
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.paging import LARGEST_KEY, key_from_url
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("merge_pages", __name__)

_MOST = 50
_LONGEST_SEARCH = 200  # characters
_LONGEST_ID = 18  # digits


@blueprint.get("/staff/members/alike")
def index() -> ResponseReturnValue:
    """Suggested and finished merges."""
    session, staff = db.session(), signed_in_staff()
    merges = merging.list_merges(session, _MOST)
    kept = {
        member.id: member
        for member in session.scalars(
            select(Member).where(Member.id.in_([one.kept_id for one in merges]))
        )
    }
    return render_template(
        "dashboard/alike.html",
        staff=staff,
        found=merging.find_alike(session, _MOST, key_from_url("before")),
        merges=[(one, kept[one.kept_id]) for one in merges if one.kept_id in kept],
        may_change=may(staff, Permission.CHANGE_MEMBER),
    )


@blueprint.post("/staff/members/alike/difference")
def say_different() -> ResponseReturnValue:
    """Mark two people as different, so that we stop suggesting a merge."""
    staff = signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    one, two = _read_id("first"), _read_id("second")
    merging.say_different(db.session(), one, two, staff_id=staff.id)
    flash(_("Noted: they’re two people. We won’t suggest them again."))
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.get("/staff/members/<int:member_id>/merge/other")
def choose(member_id: int) -> ResponseReturnValue:
    """Find the other record of a person."""
    require(signed_in_staff(), Permission.CHANGE_MEMBER)
    session, typed = db.session(), request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    kept = session.get(Member, min(member_id, LARGEST_KEY))
    if kept is None:
        raise NotFoundError(_("We can’t find this member."))
    zone = current_settings().newsroom_timezone
    query = typed or kept.name or ""
    found = list_members(session, Filters(q=query), zone).rows if query else []
    return render_template(
        "dashboard/merge_other.html",
        staff=signed_in_staff(),
        kept=kept,
        typed=query,
        found=[row for row in found if row.member.id != kept.id],
    )


@blueprint.get("/staff/members/<int:member_id>/merge")
def preview(member_id: int) -> ResponseReturnValue:
    """Preview a merge."""
    require(signed_in_staff(), Permission.CHANGE_MEMBER)
    return _preview(member_id, _read_id("other"))


@blueprint.post("/staff/members/<int:member_id>/merge")
def merge(member_id: int) -> ResponseReturnValue:
    """Merge another person into this one."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    other_id = _read_id("other")
    try:
        merging.merge(session, member_id, other_id, current_settings().grace, staff_id=staff.id)
    except UnprocessableError as error:
        session.rollback()
        return _preview(member_id, other_id, str(error)), HTTPStatus.UNPROCESSABLE_ENTITY
    record(session, Action.MERGED_MEMBERS, f"member {member_id}", staff=staff)
    flash(_("Merged. You can separate them again under “Possible duplicates”."))
    return redirect(url_for("dashboard.member", member_id=member_id), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/merges/<int:merge_id>/separation")
def separate(merge_id: int) -> ResponseReturnValue:
    """Undo a merge."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    found = session.get(merging.MemberMerge, merge_id)
    if found is None:
        raise NotFoundError(_("We can’t find this merge."))
    if merging.separate(session, merge_id, current_settings().grace):
        record(session, Action.SEPARATED_MEMBERS, f"member {found.kept_id}", staff=staff)
    flash(_("They’re two people again."))
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


def _preview(member_id: int, other_id: int, error: str | None = None) -> str:
    session, grace = db.session(), current_settings().grace
    kept, other = session.get(Member, member_id), session.get(Member, other_id)
    if kept is None or other is None:
        raise NotFoundError(_("We can’t find this member."))
    people = []
    for member in (kept, other):
        memberships = session.scalars(
            select(Membership)
            .where(Membership.member_id == member.id)
            .order_by(Membership.started_at)
        ).all()
        people.append(
            (member, [(one, verdict_of(session, one, grace).counts) for one in memberships])
        )
    balance = read_balance(session).members
    return render_template(
        "dashboard/merge.html",
        staff=signed_in_staff(),
        kept=kept,
        other=other,
        people=people,
        before=balance,
        after=balance - int(kept.counting and other.counting),
        can_merge=merging.can_merge(session, kept, other),
        error=error,
    )


def _read_id(name: str) -> int:
    sent = request.form if request.method == "POST" else request.args
    typed = sent.get(name, "")
    if not (typed.isascii() and typed.isdecimal() and len(typed) <= _LONGEST_ID):
        raise BadRequestError(_("Choose two members first."))
    return int(typed)
