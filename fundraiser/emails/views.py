"""E-mail preferences, the form for reminders, and the mail provider's webhook."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.campaigns.progress import find_campaign
from fundraiser.config import current_settings
from fundraiser.emails import amazon, feedback
from fundraiser.emails.links import read_token
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.incidents import Kind, note
from fundraiser.joining.reminders import (
    Reminder,
    ReminderKind,
    ask_for_reminder,
    confirm_reminder,
    months_to_choose,
    stop_reminder,
)
from fundraiser.members.forwarding import TooOftenError
from fundraiser.outbox import Topic, choose_emails, wants
from fundraiser.security import check_origin, cookieless, limiter, network_hash, public
from fundraiser.texts import gettext as _, language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.emails.links import Reference

blueprint = Blueprint("emails", __name__)


@blueprint.post("/webhooks/email")
@cookieless
def webhook() -> tuple[str, int]:
    """Receive bounces and complaints. Another provider needs another parser of its signed body."""
    try:
        reports = amazon.read(current_settings(), request.get_data(cache=False))
    except amazon.ForgedReportError:
        note(Kind.EMAIL_WEBHOOK)
        raise
    for report in reports:
        feedback.take_in(db.session(), report)
    return "", 204


@blueprint.get("/letters/<token>")
@public
def emails(token: str) -> ResponseReturnValue:
    """Show e-mail preferences. GET changes nothing: mailboxes follow links by themselves."""
    return _page(read_token(token), request.args.get("done"))


@blueprint.post("/letters/<token>")
@cookieless
def change_choices(token: str) -> ResponseReturnValue:
    """Save e-mail preferences: from the form, or by a mailbox's one click (RFC 8058)."""
    reference, session = read_token(token), db.session()
    is_one_click = request.form.get("List-Unsubscribe") == "One-Click"
    if reference.reminder_id is not None:
        reminder = _reminder(session, reference.reminder_id)
        if request.form.get("answer") == "yes" and not is_one_click:
            confirm_reminder(reminder)
        else:
            stop_reminder(reminder)
    elif reference.member_id is not None:
        for topic, heading, text in _topics():
            if not is_one_click:
                wanted, read = topic.value in request.form, f"{heading}: {text}"
            elif reference.topic in {None, topic}:
                wanted, read = False, "List-Unsubscribe=One-Click"
            else:
                continue
            choose_emails(session, reference.member_id, topic, wanted=wanted, text=read)
    if is_one_click:
        return "", 204
    return redirect(url_for(".emails", token=token, done="yes"), HTTPStatus.SEE_OTHER)


def _page(reference: Reference, done: str | None) -> str:
    session = db.session()
    if reference.reminder_id is not None:
        reminder = _reminder(session, reference.reminder_id)
        return render_template(
            "emails/reminder.html", reminder=reminder, is_later=reminder.kind is ReminderKind.LATER
        )
    member_id = reference.member_id or 0
    return render_template(
        "emails/choices.html",
        topics=[
            (topic.value, heading, text, wants(session, member_id, topic))
            for topic, heading, text in _topics()
        ],
        done=done,
    )


def _reminder(session: Session, reminder_id: int) -> Reminder:
    reminder = session.get(Reminder, reminder_id, with_for_update=True)
    if reminder is None:
        raise NotFoundError(
            _("We no longer have your address, so we won’t e-mail you about this again.")
        )
    return reminder


def _topics() -> list[tuple[Topic, str, str]]:
    return [
        (
            Topic.CAMPAIGN,
            _("Campaign news"),
            _("An e-mail at each quarter of the goal, and one in the last days."),
        ),
        (
            Topic.RETURN,
            _("An invitation to come back"),
            _("One e-mail, two weeks after a membership has ended."),
        ),
    ]


@blueprint.get("/campaigns/<slug>/reminder")
@public
def reminder_form(slug: str) -> ResponseReturnValue:
    """The form to ask for a reminder: an address and a month."""
    return _reminder_form(slug)


@blueprint.post("/campaigns/<slug>/reminder")
@cookieless
@limiter.limit("10 per hour")
def remind(slug: str) -> ResponseReturnValue:
    """Enqueue the e-mail that confirms it; the answer is the same for every address."""
    check_origin()
    campaign = find_campaign(db.session(), slug)
    try:
        ask_for_reminder(
            db.session(),
            campaign,
            email=request.form.get("email", ""),
            month=request.form.get("month", ""),
            language=language(),
            network=network_hash(),
        )
    except (UnprocessableError, TooOftenError) as error:
        return _reminder_form(slug, error), error.status
    lang = request.args.get("lang")
    return redirect(
        url_for(".reminder_form", slug=slug, done="yes", lang=lang), HTTPStatus.SEE_OTHER
    )


def _reminder_form(slug: str, error: UnprocessableError | TooOftenError | None = None) -> str:
    return render_template(
        "emails/reminder_form.html",
        campaign=find_campaign(db.session(), slug),
        months=months_to_choose(),
        chosen=request.form.get("month"),
        email=request.form.get("email", ""),
        error=error,
        done=request.args.get("done"),
    )
