"""Labels on members: add, remove, rename and delete them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.dashboard.members.profile import read_person
from fundraiser.errors import UnprocessableError
from fundraiser.members import member_labels as labels
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("label_pages", __name__)


@blueprint.post("/staff/members/<int:member_id>/labels")
def add(member_id: int) -> ResponseReturnValue:
    """Label a member; a new name becomes a label."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    member = read_person(session, member_id).member
    label = labels.find_or_add_label(session, request.form.get("label", ""))
    if labels.add_label(session, label, [member.id]):
        record(
            session,
            Action.LABELLED,
            f"member {member.id}",
            staff=staff,
            details={"label": label.id},
        )
    return _to_member(member_id)


@blueprint.post("/staff/members/<int:member_id>/labels/<int:label_id>/removal")
def remove(member_id: int, label_id: int) -> ResponseReturnValue:
    """Take a label off a member."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    label = labels.get_label(session, label_id)
    if labels.remove_label(session, label, [member_id]):
        record(
            session,
            Action.UNLABELLED,
            f"member {member_id}",
            staff=staff,
            details={"label": label.id},
        )
    return _to_member(member_id)


@blueprint.get("/staff/labels")
def index() -> ResponseReturnValue:
    """All labels, with how many people have each."""
    return _index_page()


@blueprint.post("/staff/labels/<int:label_id>/name")
def rename(label_id: int) -> ResponseReturnValue:
    """Rename a label."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    label = labels.get_label(session, label_id)
    try:
        labels.rename_label(session, label, request.form.get("label", ""))
    except UnprocessableError as error:
        return _index_page(label_id, error), error.status
    record(session, Action.RENAMED_LABEL, f"label {label.id}", staff=staff)
    flash(_("The label is renamed. Everybody keeps it."), "label-renamed")
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/labels/<int:label_id>/removal")
def delete(label_id: int) -> ResponseReturnValue:
    """Delete a label, and take it off everybody."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    labels.delete_label(session, labels.get_label(session, label_id))
    record(session, Action.DELETED_LABEL, f"label {label_id}", staff=staff)
    flash(_("The label is deleted. No members were changed otherwise."), "label-deleted")
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


def _to_member(member_id: int) -> ResponseReturnValue:
    return redirect(
        url_for("dashboard.member", member_id=member_id, _anchor="labels"), HTTPStatus.SEE_OTHER
    )


def _index_page(label_id: int | None = None, error: UnprocessableError | None = None) -> str:
    staff = signed_in_staff()
    return render_template(
        "dashboard/labels.html",
        staff=staff,
        labels=labels.count_labels(db.session()),
        longest=labels.LONGEST,
        may_change=may(staff, Permission.CHANGE_MEMBER),
        refused=label_id,
        typed=request.form.get("label", ""),
        error=error,
    )
