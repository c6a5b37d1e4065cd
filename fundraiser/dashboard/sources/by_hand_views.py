"""Staff form to add somebody who pays by bank, in cash or through a partner."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import uuid4

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.sources.forms import NewPerson
from fundraiser.db import lock, now
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Form
from fundraiser.members.models import Interval, Membership, Note
from fundraiser.money import parse_amount
from fundraiser.newsroom.audit import Action, record_once
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.sources.by_hand import BY_HAND, Paid, add_complimentary, add_paid
from fundraiser.sources.models import ImportRow
from fundraiser.sources.readings import TOO_FAR
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.newsroom.models import Staff

blueprint = Blueprint("by_hand_pages", __name__)


@blueprint.get("/staff/sources/people")
def new() -> ResponseReturnValue:
    """The form for a new person."""
    require(signed_in_staff(), Permission.CHANGE_MEMBER)
    return _page(Form.blank(NewPerson, kind="paid", key=uuid4().hex))


@blueprint.post("/staff/sources/people")
def add() -> ResponseReturnValue:
    """Add a person; the same form twice adds one."""
    staff = signed_in_staff()
    require(staff, Permission.CHANGE_MEMBER)
    form = Form.sent(request.form, NewPerson)
    person = form.read(NewPerson)
    if person is None:
        return _page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        member_id = _add(person, staff)
    except UnprocessableError as error:
        db.session().rollback()
        form.refuse(error, error.field or "email")
        return _page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    return redirect(url_for("dashboard.member", member_id=member_id), HTTPStatus.SEE_OTHER)


def _add(person: NewPerson, staff: Staff) -> int:
    session, settings = db.session(), current_settings()
    key = person.key or uuid4().hex
    lock(session, "by hand", key)
    known = session.scalar(
        select(Membership.member_id).where(Membership.reference.in_((key, f"{BY_HAND}:{key}")))
    )
    if known is not None:
        return known
    until = None
    if person.until is not None:
        if person.until > (now() + TOO_FAR).date():
            raise UnprocessableError(_("Enter a date within the next ten years."), field="until")
        day = person.until + timedelta(days=1)
        until = datetime.combine(day, time(), settings.newsroom_timezone).astimezone(UTC)
    if person.kind == "complimentary":
        member, _given = add_complimentary(
            session,
            person.email,
            person.name,
            settings.grace,
            currency=person.currency,
            until=until,
            key=key,
        )
        member_id = member.id
        flash(_("Complimentary membership added. It isn’t counted."))
    else:
        member_id = _add_paid(person, until, staff, key)
        flash(_("Added. The person is now counted as a member."))
    entry = record_once(
        session, Action.ADDED_MEMBER, f"member {member_id}", staff=staff, key=f"by-hand {key}"
    )
    if entry is not None:
        # The audit log names nobody: what names somebody stands where it can be erased.
        session.add(Note(member_id=member_id, audit_entry_id=entry, text=person.why))
    return member_id


def _add_paid(person: NewPerson, until: datetime | None, staff: Staff, key: str) -> int:
    session = db.session()
    amount = parse_amount(person.amount, person.currency)
    if amount is None:
        raise UnprocessableError(_("Enter the amount, like 50 or 12.50."), field="amount")
    if until is None:
        raise UnprocessableError(
            _("Enter the last day that’s paid for: without it, nobody is counted."), field="until"
        )
    paid = Paid(
        email=person.email,
        name=person.name,
        amount=amount,
        currency=person.currency,
        interval=Interval(person.interval) if person.interval else None,
        until=until,
    )
    batch = add_paid(session, paid, current_settings().grace, staff_id=staff.id, key=key)
    found = session.scalars(select(ImportRow).where(ImportRow.batch_id == batch.id)).one()
    return found.member_id or 0


def _page(form: Form) -> str:
    return render_template("dashboard/by_hand.html", staff=signed_in_staff(), form=form)
