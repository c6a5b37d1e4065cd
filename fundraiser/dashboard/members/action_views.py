"""Pages for actions on a member: preview the effects, then act once.

The form's nonce makes the key of its audit log row and of its intent, which are written together
before Stripe is called, so a repeated form acts once. A form is refused if the member has changed
since it was opened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import and_, or_, select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.members.preview import of_note
from fundraiser.dashboard.members.profile import read_person
from fundraiser.db import lock
from fundraiser.errors import BadRequestError, UnprocessableError
from fundraiser.members.models import Cause, Member, Membership, Note
from fundraiser.newsroom import confirmation
from fundraiser.newsroom.audit import Action, record_once
from fundraiser.newsroom.models import AuditEntry
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments import (
    StripeKeyError,
    StripeRefusedError,
    StripeUnavailableError,
    changes,
    member_gateway,
)
from fundraiser.payments.carry_out import finish_open
from fundraiser.payments.intents import Intent, find_intent
from fundraiser.payments.models import Payment
from fundraiser.payments.queue import SyncBusyError
from fundraiser.security import new_nonce
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.members.preview import Effects
    from fundraiser.dashboard.members.profile import Person
    from fundraiser.newsroom.models import Staff
    from fundraiser.payments.changes import Change

_LONGEST_NOTE = 2000
_NONCE_LENGTHS = range(16, 129)


class ChangedMeanwhileError(UnprocessableError):
    """The member has changed since the form was opened."""

    status = HTTPStatus.CONFLICT


@dataclass(frozen=True, slots=True)
class Plan:
    """A parsed and valid form.

    ``fields`` and ``details`` go into the audit log; ``remark`` and the text by staff become a
    note. ``at_stripe``: the action happens at Stripe, where our errors undo nothing.
    """

    do: Callable[[Change], None]
    done: str
    fields: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    remark: str = ""
    at_stripe: bool = False


@dataclass(frozen=True, slots=True)
class ActionPage:
    """An action on one person: its page and its form's parser.

    ``address`` is where the form goes, if not to its own page.
    """

    person: Person
    action: Action
    heading: str
    button: str
    effects: list[Effects]
    read: Callable[[Mapping[str, str]], Plan]
    asks: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    needs_note: bool = False
    address: str = ""


def note_page(person: Person) -> ActionPage:
    """The page for an action that only writes a note."""
    return ActionPage(
        person=person,
        action=Action.WROTE_NOTE,
        heading=_("Write a note"),
        button=_("Save note"),
        effects=of_note(person),
        read=lambda _typed: Plan(do=lambda _change: None, done=_("Note saved.")),
        needs_note=True,
        address=url_for("member_actions.note", member_id=person.member.id),
    )


def serve(
    member_id: int, permission: Permission, build: Callable[[Person], ActionPage]
) -> ResponseReturnValue:
    """Show the action's page, or act; shows errors on the page with everything as typed."""
    session, staff = db.session(), signed_in_staff()
    require(staff, permission)
    if request.method == "GET":
        return _show_or_leave(member_id, build)
    key = _key(staff)
    status, error = HTTPStatus.UNPROCESSABLE_ENTITY, None
    try:
        if find_intent(session, key):
            finish_open(session, member_gateway(), grace(), member_id)
        page = build(read_person(session, member_id))
        plan = page.read(request.form)
        done = _carry_out(session, staff, page, plan, text=_read_note(page), key=key)
        return _done(member_id, done)
    except UnprocessableError as found:
        status, error = found.status, found
    except SyncBusyError as busy:
        status, error = busy.status, UnprocessableError(str(busy))
    except StripeUnavailableError as away:
        status, error = away.status, UnprocessableError(_not_done_yet(session, away, key))
    session.rollback()
    # Last, since the same form sent at the same time may have been done while this one was read.
    if _was_done(session, key):
        return _done(member_id, _done_before())
    return _show_or_leave(member_id, build, error, status)


def _not_done_yet(session: Session, away: StripeUnavailableError, key: str) -> str:
    """A sentence for the form while Stripe doesn't answer, or refuses our key."""
    session.rollback()
    if find_intent(session, key) is None:
        return Named(
            "not-noted", _("Stripe isn’t answering, so nothing was done. Try again later.")
        )
    if isinstance(away, StripeKeyError):
        return Named(
            "key-refused", _("%(reason)s We’ll do this as soon as that’s fixed.", reason=away)
        )
    return Named(
        "not-known",
        _(
            "Stripe isn’t answering, so we don’t know yet whether this was done. We’ll keep "
            "trying, and the member’s page shows the outcome. Sending the form again can’t do it "
            "twice."
        ),
    )


def _was_done(session: Session, key: str) -> bool:
    """Whether this form has been done; its intent may be open or refused instead."""
    is_done = or_(
        Intent.id.is_(None), and_(Intent.closed_at.is_not(None), Intent.refusal.is_(None))
    )
    done = select(AuditEntry.id).outerjoin(Intent, Intent.key == AuditEntry.key)
    return bool(session.scalar(done.where(AuditEntry.key == key, is_done)))


def _show_or_leave(
    member_id: int,
    build: Callable[[Person], ActionPage],
    error: UnprocessableError | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> ResponseReturnValue:
    """Show the page, or redirect to the member with the reason if nothing is left to do.

    Somebody else may already have made the refund. The text by this person can be kept as a note.
    """
    person = read_person(db.session(), member_id)
    try:
        page = build(person)
    except UnprocessableError as found:
        if not request.form.get("note", "").strip():
            return _done(member_id, found.sentence)
        page, status = note_page(person), HTTPStatus.CONFLICT
        error = ChangedMeanwhileError(
            Named(
                "note-left",
                _(
                    "%(reason)s Your text is below: save it as a note, or leave it.",
                    reason=found,
                ),
            )
        )
    return _show(page, error), status


def _carry_out(
    session: Session, staff: Staff, page: ActionPage, plan: Plan, *, text: str, key: str
) -> str:
    """Act, in the one order of locks that can't deadlock; returns the notice."""
    member_id = page.person.member.id
    seen = None if page.action is Action.WROTE_NOTE else request.form.get("seen")

    def check() -> None:
        if seen is not None and seen != _as_seen(session, member_id):
            raise ChangedMeanwhileError(
                Named(
                    "changed-meanwhile",
                    _(
                        "This member’s record has changed since you opened the page, "
                        "so nothing was done. Check it, then send the form again if "
                        "you still want to."
                    ),
                )
            )

    def record() -> bool:
        action = record_once(
            session,
            page.action,
            f"member {member_id}",
            staff=staff,
            key=key,
            fields=plan.fields,
            details=plan.details,
        )
        note_text = " ".join(part for part in (plan.remark, text) if part)
        if action is not None and note_text:
            session.add(Note(member_id=member_id, audit_entry_id=action, text=note_text))
        return action is not None

    by = f"staff {staff.id}"
    change = changes.Change(member_gateway(), grace(), key, Cause.STAFF, by, check, record)
    if plan.at_stripe:
        if _was_done(session, key):
            return _done_before()
        plan.do(change)
        return plan.done
    if not record():
        return _done_before()
    lock(session, "member", str(member_id))
    check()
    plan.do(change)
    return plan.done


def _show(page: ActionPage, error: UnprocessableError | None = None) -> str:
    # What was refused is not asked for again by the same form.
    is_new = request.method == "GET" or isinstance(
        error, (ChangedMeanwhileError, StripeRefusedError)
    )
    return render_template(
        "dashboard/member_action.html",
        staff=signed_in_staff(),
        page=page,
        member=page.person.member,
        error=error,
        typed=request.form,
        nonce=new_nonce() if is_new else request.form.get("nonce", ""),
        seen=_as_seen(db.session(), page.person.member.id),
    )


def _done(member_id: int, sentence: str) -> ResponseReturnValue:
    flash(sentence, getattr(sentence, "name", "done"))
    return redirect(url_for("dashboard.member", member_id=member_id), HTTPStatus.SEE_OTHER)


def _done_before() -> str:
    return Named("done-before", _("This was already done, and hasn’t been done twice."))


def _key(staff: Staff) -> str:
    """The key of this form and its values, the same however often it is sent."""
    nonce = request.form.get("nonce", "")
    if len(nonce) not in _NONCE_LENGTHS:
        raise BadRequestError(_("This form is incomplete. Reload the page and try again."))
    values = sorted(
        (name, value)
        for name, value in request.form.items()
        if name not in {"csrf_token", "seen", *confirmation.FIELDS}
    )
    return hashlib.sha256(repr((staff.id, request.path, values)).encode()).hexdigest()


def _as_seen(session: Session, member_id: int) -> str:
    """A hash of the member's current state."""
    statements = (
        select(
            Member.email,
            Member.name,
            Member.sequence,
            Member.supporter_since,
            Member.supporter_closed_at,
        ).where(Member.id == member_id),
        select(
            Membership.id,
            Membership.status,
            Membership.payment_status,
            Membership.amount,
            Membership.cancel_at,
            Membership.ended_at,
            Membership.refunded_at,
            Membership.disputed_at,
        )
        .where(Membership.member_id == member_id)
        .order_by(Membership.id),
        select(Payment.id, Payment.status, Payment.refunded, Payment.dispute)
        .where(Payment.member_id == member_id)
        .order_by(Payment.id),
    )
    rows = [tuple(row) for statement in statements for row in session.execute(statement)]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:32]


def _read_note(page: ActionPage) -> str:
    typed = request.form.get("note", "").strip()
    if page.needs_note and not typed:
        raise UnprocessableError(_("Enter a note."), field="note")
    if len(typed) > _LONGEST_NOTE:
        raise UnprocessableError(
            _("Enter %(count)s characters or fewer.", count=_LONGEST_NOTE), field="note"
        )
    return typed


def grace() -> timedelta:
    return current_settings().grace
