"""Staff pages for e-mails: what was sent, and each kind's preview, text and switch."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import force_locale
from sqlalchemy import func, select

from fundraiser import db
from fundraiser.dashboard import labels
from fundraiser.dashboard.emails.columns import CAN_BE_SENT_AGAIN, COLUMNS, KIND_COLUMNS
from fundraiser.emails.feedback import allow_again
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.models import EmailWording, Suppression
from fundraiser.emails.parts.body import Wording, example_link
from fundraiser.emails.sweep import kinds_switched_off
from fundraiser.emails.wording import (
    as_staff_want_it,
    check_wording,
    fill_in,
    forget_wording,
    keep_wording,
    split_paragraphs,
    switch,
)
from fundraiser.emails.writing import render
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.joining.reminders import Reminder
from fundraiser.members.gifts import Gift
from fundraiser.members.models import Member
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.models import Staff
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.outbox import Email, EmailState, enqueue, enqueue_again
from fundraiser.paging import PAGE, key_from_url, read_key, split_page
from fundraiser.security import new_nonce
from fundraiser.texts import LANGUAGES, gettext as _, known_language

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask.typing import ResponseReturnValue
    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from fundraiser.emails.kind import Kind
    from fundraiser.emails.parts.body import Body

blueprint = Blueprint("email_pages", __name__)

_NONCE = 128  # characters

_SHOWN = (
    EmailState.FAILED,
    EmailState.BOUNCED,
    EmailState.UNKNOWN,
    EmailState.QUEUED,
    EmailState.SENT,
    EmailState.WITHDRAWN,
)


@blueprint.get("/staff/emails")
def index() -> ResponseReturnValue:
    """List the e-mails by state, and the kinds."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.READ_EMAILS)
    state, member = _state(request.args.get("state")), key_from_url("member")
    rows, older = split_page(
        _list_emails(session, state, key_from_url("before"), member), lambda row: row.Email.id
    )
    off = kinds_switched_off(session)
    changed = set(session.scalars(select(EmailWording.kind)))
    return render_template(
        "dashboard/emails.html",
        staff=staff,
        rows=rows,
        older=older,
        state=state,
        member=session.get(Member, member) if member is not None else None,
        states=[(one, labels.email_state(one)) for one in _SHOWN],
        counts=_count_open(session),
        kinds=[
            (kind.name, kind.label(), kind.name not in off, kind.name in changed)
            for kind in KINDS.values()
            if kind.example
        ],
        columns=COLUMNS,
        kind_columns=KIND_COLUMNS,
        suppressed=session.scalar(select(func.count()).select_from(Suppression)),
        may_change=may(staff, Permission.CHANGE_CAMPAIGN),
    )


@blueprint.post("/staff/emails/<int:email_id>/again")
def send_again(email_id: int) -> ResponseReturnValue:
    """Resend an e-mail that failed or is unknown; the same form twice sends it once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.READ_EMAILS)
    email = session.get(Email, email_id, with_for_update=True)
    if email is None:
        raise NotFoundError(_("No e-mail found."))
    if email.state in CAN_BE_SENT_AGAIN:
        enqueue_again(session, email)
        record(session, Action.SENT_EMAIL_AGAIN, f"email {email.id}", staff=staff)
        flash(_("We’ll send this e-mail again, unless it’s no longer needed."))
    else:
        flash(_("This e-mail can’t be sent again."))
    return redirect(url_for(".index", state=request.form.get("state")), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/emails/addresses")
def write_again() -> ResponseReturnValue:
    """Remove an address from the suppression list."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    if allow_again(session, request.form.get("address", "")):
        record(session, Action.ALLOWED_ADDRESS, "suppression list", staff=staff)
        flash(_("We’ll e-mail this address again."))
    else:
        flash(_("This address isn’t on the list: we already e-mail it."))
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.get("/staff/emails/kinds/<kind>")
def show(kind: str) -> ResponseReturnValue:
    """Show one kind: its switch, its text in each language, and a preview for a member."""
    require(signed_in_staff(), Permission.READ_EMAILS)
    return _page(_kind(kind))


@blueprint.post("/staff/emails/kinds/<kind>")
def show_typed(kind: str) -> ResponseReturnValue:
    """The same page for another member, with the text as it is typed."""
    require(signed_in_staff(), Permission.READ_EMAILS)
    return _page(_kind(kind), keeps_typed=True)


@blueprint.get("/staff/emails/kinds/<kind>/preview")
def preview(kind: str) -> ResponseReturnValue:
    """The e-mail alone, as a member would get it, for our page's frame."""
    require(signed_in_staff(), Permission.READ_EMAILS)
    found, code = _kind(kind), _language()
    member = _member_to_show(db.session(), found, request.args.get("member"))
    email = _example(db.session(), found, code, member)
    if email is None:
        raise NotFoundError(_("This e-mail is about a campaign, and there isn’t one yet."))
    with force_locale(code):
        email = as_staff_want_it(db.session(), found, email)
    return _rendered(found, code, email, plain=bool(request.args.get("plain")))


@blueprint.post("/staff/emails/kinds/<kind>/preview")
def preview_typed(kind: str) -> ResponseReturnValue:
    """The e-mail with the text as it is typed, before it is saved."""
    require(signed_in_staff(), Permission.CHANGE_CAMPAIGN)
    found, code = _kind(kind), _language()
    try:
        body = _fill_in_typed(found, code)
    except UnprocessableError as error:
        return _page(found, error), HTTPStatus.UNPROCESSABLE_ENTITY
    return _rendered(found, code, body, plain=False)


@blueprint.post("/staff/emails/kinds/<kind>/test")
def send_test(kind: str) -> ResponseReturnValue:
    """E-mail the text as it is typed to oneself, before it is saved."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    found, code = _kind(kind), _language()
    try:
        body = _fill_in_typed(found, code)
    except UnprocessableError as error:
        return _page(found, error), HTTPStatus.UNPROCESSABLE_ENTITY
    member = _shown_member(session, found)
    context = {
        "kind": found.name,
        "language": code,
        "member": member.id if member else None,
        "subject": body.subject,
        "heading": body.heading,
        "paragraphs": body.paragraphs,
    }
    # A double click sends it once: the page that follows has another nonce.
    enqueue(
        session, "test", to=staff.id, key=request.form.get("nonce", "")[:_NONCE], context=context
    )
    return _page(found, keeps_typed=True, sent_to=staff.email)


def _fill_in_typed(kind: Kind, code: str) -> Body:
    """The e-mail about the shown member with the typed text.

    Raises:
        UnprocessableError: the text can't be used.
    """
    example = _example(db.session(), kind, code, _shown_member(db.session(), kind))
    if example is None:
        raise NotFoundError(_("This e-mail is about a campaign, and there isn’t one yet."))
    check_wording(kind, _typed(), set(example.values))
    with force_locale(code):
        return fill_in(example, _typed())


def _shown_member(session: Session, kind: Kind) -> Member | None:
    return _member_to_show(session, kind, _sent().get("member"))


def _typed() -> Wording:
    return Wording(
        request.form.get("subject", ""),
        request.form.get("heading", ""),
        split_paragraphs(request.form.get("text", "")),
    )


def _rendered(kind: Kind, code: str, email: Body, *, plain: bool) -> ResponseReturnValue:
    with force_locale(code):
        text, html = render(email, example_link() if kind.can_be_refused else None)
    if plain:
        return text, {"Content-Type": "text/plain; charset=utf-8"}
    # An e-mail's styles are written into it, as mailboxes want it; nothing else may load or run.
    return html, {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@blueprint.post("/staff/emails/kinds/<kind>/switch")
def change_switch(kind: str) -> ResponseReturnValue:
    """Switch a kind on or off."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    found, is_on = _kind(kind), request.form.get("on") == "yes"
    if found.always_on:
        raise UnprocessableError(_("We always send this e-mail, so it can’t be switched off."))
    before = found.name not in kinds_switched_off(session)
    switch(session, found.name, is_on=is_on)
    record(
        session,
        Action.CHANGED_EMAIL_KIND,
        f"email {found.name}",
        staff=staff,
        changes={"switch": ("on" if before else "off", "on" if is_on else "off")},
    )
    flash(
        _("This e-mail is switched on.") if is_on else _("This e-mail is switched off."),
        f"switched-{'on' if is_on else 'off'}",
    )
    return redirect(url_for(".show", kind=found.name), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/emails/kinds/<kind>/words")
def change_words(kind: str) -> ResponseReturnValue:
    """Save a kind's text in one language, or restore the original."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    found, code = _kind(kind), _language()
    before = _texts_of(session, found, code)
    if request.form.get("original"):
        forget_wording(session, found, code)
        flash(_("The original text is back."))
    else:
        example = _example(session, found, code, None)
        try:
            names = set(example.values) if example else set[str]()
            keep_wording(session, found, code, _typed(), names=names, staff=staff)
        except UnprocessableError as error:
            return _page(found, error), HTTPStatus.UNPROCESSABLE_ENTITY
        flash(_("Saved. We’ll use this text from now on."))
    session.flush()
    session.expire_all()
    after = _texts_of(session, found, code)
    record(
        session,
        Action.CHANGED_EMAIL_KIND,
        f"email {found.name} {code}",
        staff=staff,
        changes={
            name: (before[name], text) for name, text in after.items() if before[name] != text
        },
    )
    return redirect(url_for(".show", kind=found.name, language=code), HTTPStatus.SEE_OTHER)


def _texts_of(session: Session, kind: Kind, code: str) -> dict[str, str]:
    """The texts in force that staff may edit, in one language."""
    if wording := session.get(EmailWording, (kind.name, code)):
        return {"subject": wording.subject, "heading": wording.heading, "text": wording.text}
    example = _example(session, kind, code, None)
    first = example.original if example else None
    if first is None:
        return dict.fromkeys(("subject", "heading", "text"), "")
    text = "\n\n".join(first.paragraphs)
    return {"subject": first.subject, "heading": first.heading, "text": text}


def _page(
    kind: Kind,
    error: UnprocessableError | None = None,
    *,
    keeps_typed: bool = False,
    sent_to: str = "",
) -> str:
    session, staff, code = db.session(), signed_in_staff(), _language()
    wording = session.get(EmailWording, (kind.name, code))
    member = _shown_member(session, kind)
    example = _example(session, kind, code, member)
    if error or keeps_typed:
        said = {name: request.form.get(name, "") for name in ("subject", "heading", "text")}
    else:
        said = _texts_of(session, kind, code) if wording or example else {}
    return render_template(
        "dashboard/email.html",
        staff=staff,
        kind=kind,
        name=kind.label(),
        is_on=kind.name not in kinds_switched_off(session),
        language_shown=code,
        languages=LANGUAGES,
        said=said,
        names=sorted(example.values.items()) if example else [],
        fixed=example.fixed if example else (),
        is_changed=wording is not None,
        can_be_switched=not kind.always_on,
        member=member,
        error=error,
        sent_to=sent_to,
        nonce=new_nonce(),
        may_change=may(staff, Permission.CHANGE_CAMPAIGN),
    )


def _example(session: Session, kind: Kind, code: str, member: Member | None) -> Body | None:
    with force_locale(code):
        return kind.example(session, member) if kind.example else None


def _member_to_show(session: Session, kind: Kind, wish: str | None) -> Member | None:
    """The member with the given number, or the latest recipient of this kind, or the latest member.

    Raises:
        NotFoundError: no member has this number.
    """
    if wish:
        found = session.scalars(select(Member).where(Member.number == read_key(wish))).first()
        if found is None:
            raise NotFoundError(_("No member has this number. Check it and try again."))
        return found
    people = select(Member).where(Member.number.is_not(None)).limit(1)
    last = session.scalars(
        people.join(Email, Email.member_id == Member.id)
        .where(Email.kind == kind.name)
        .order_by(Email.id.desc())
    ).first()
    return last or session.scalars(people.order_by(Member.number.desc())).first()


def _list_emails(
    session: Session, state: EmailState | None, before: int | None, member: int | None
) -> Sequence[Row[Email, Member, Staff, Reminder, Gift]]:
    """A page of e-mails plus one, latest first, to everybody or to one member."""
    found = (
        select(Email, Member, Staff, Reminder, Gift)
        .outerjoin(Member, Member.id == Email.member_id)
        .outerjoin(Staff, Staff.id == Email.staff_id)
        .outerjoin(Reminder, Reminder.id == Email.reminder_id)
        .outerjoin(Gift, Gift.id == Email.gift_id)
        .order_by(Email.id.desc())
        .limit(PAGE + 1)
    )
    if state:
        found = found.where(Email.state == state)
    if member is not None:
        found = found.where(Email.member_id == member)
    if before:
        found = found.where(Email.id < before)
    return session.execute(found).all()


def _count_open(session: Session) -> dict[EmailState, int]:
    """Count the e-mails in each unfinished state, with a partial index."""
    rows = session.execute(
        select(Email.state, func.count())
        .where(Email.state.not_in((EmailState.SENT, EmailState.WITHDRAWN)))
        .group_by(Email.state)
    )
    return dict(rows.all())


def _kind(name: str) -> Kind:
    kind = KINDS.get(name)
    if kind is None or kind.example is None:
        raise NotFoundError(_("There’s no e-mail of this type."))
    return kind


def _state(name: str | None) -> EmailState | None:
    return EmailState(name) if name in set(EmailState) else None


def _language() -> str:
    return known_language(_sent().get("language", ""))


def _sent() -> Mapping[str, str]:
    return request.form if request.method == "POST" else request.args
