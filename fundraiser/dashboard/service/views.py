"""Staff pages for whoever is on call: the service's state, its switches, Stripe's events."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.dashboard.overview.stripe_troubles import stripe_troubles
from fundraiser.dashboard.service import labels
from fundraiser.dashboard.service.checks import read_checks
from fundraiser.dashboard.service.columns import EVENT_COLUMNS
from fundraiser.dashboard.service.events import (
    EVENT_ID,
    read_latest,
    read_waiting,
    without_personal_data,
)
from fundraiser.errors import NotFoundError
from fundraiser.members.consistency import count_drift, read_drift
from fundraiser.newsroom import maintenance
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.maintenance import Stopped
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments import StripeRefusedError, StripeUnavailableError, current_gateway
from fundraiser.payments.models import Event
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("service_pages", __name__)

SWITCHES = (Stopped.EMAILS, Stopped.SIGN_UPS, Stopped.NUMBER)
LONGEST_NOTICE = 300
_MOST_DRIFT = 50


@blueprint.app_context_processor
def _in_templates() -> dict[str, object]:
    """The banner on staff pages while something is stopped."""
    return {
        "read_stopped": lambda: maintenance.read_maintenance(db.session()),
        "say_stopped": labels.banner,
    }


@blueprint.get("/staff/service")
def index() -> ResponseReturnValue:
    """The state of each part with what to do, and the switches."""
    return _show()


@blueprint.post("/staff/service/stops/<what>")
def stop(what: str) -> ResponseReturnValue:
    """Stop something, or change its notice."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.STOP)
    stopped = _switch(what)
    notice = request.form.get("notice", "").strip()
    if len(notice) > LONGEST_NOTICE:
        error = _("Shorten the notice to %(most)s characters.", most=LONGEST_NOTICE)
        return _show(notice, error), HTTPStatus.UNPROCESSABLE_ENTITY
    maintenance.stop(session, stopped, notice or None)
    record(session, Action.STOPPED, f"stop {stopped.value}", staff=staff)
    flash(labels.banner(stopped), "stopped")
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/service/stops/<what>/end")
def resume(what: str) -> ResponseReturnValue:
    """Resume something; the same form twice does it once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.STOP)
    stopped = _switch(what)
    if maintenance.resume(session, stopped):
        record(session, Action.RESUMED, f"stop {stopped.value}", staff=staff)
    flash(_("It’s on again."), "resumed")
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.get("/staff/service/events")
def events() -> ResponseReturnValue:
    """Stripe's events: those that wait, and the latest; ``id`` leads to one."""
    session = db.session()
    wanted = request.args.get("id", "").strip()
    if EVENT_ID.fullmatch(wanted):
        return redirect(url_for(".event", event_id=wanted), HTTPStatus.SEE_OTHER)
    return render_template(
        "dashboard/events.html",
        staff=signed_in_staff(),
        wanted=wanted,
        columns=EVENT_COLUMNS,
        waiting=read_waiting(session),
        latest=read_latest(session),
    )


@blueprint.get("/staff/service/events/<event_id>")
def event(event_id: str) -> ResponseReturnValue:
    """An event, with its payload from Stripe, without personal data."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.SETTLE)
    if not EVENT_ID.fullmatch(event_id):
        raise NotFoundError(_("Stripe’s events have IDs that start with evt_."))
    found = session.get(Event, event_id)
    db.checkpoint(session)
    payload, fault = _read_payload(event_id)
    status = HTTPStatus.OK if found or payload else HTTPStatus.NOT_FOUND
    page = render_template(
        "dashboard/event.html",
        staff=staff,
        event_id=event_id,
        event=found,
        payload=payload,
        fault=fault,
    )
    return page, status


def _read_payload(event_id: str) -> tuple[str | None, str | None]:
    """The payload as indented JSON, or else a sentence why there is none."""
    try:
        body = current_gateway().read_event_body(event_id)
    except NotFoundError:
        return None, _("Stripe doesn’t have this event: it keeps events for 30 days.")
    except (StripeUnavailableError, StripeRefusedError) as error:
        return None, error.sentence
    shown = without_personal_data(body)
    return json.dumps(shown, indent=2, ensure_ascii=False), None


def _show(notice: str = "", error: str = "") -> str:
    session, staff = db.session(), signed_in_staff()
    return render_template(
        "dashboard/service.html",
        staff=staff,
        says=labels,
        checks=read_checks(session, reads_emails=may(staff, Permission.READ_EMAILS)),
        troubles=stripe_troubles(session),
        drift=read_drift(session, _MOST_DRIFT),
        drift_count=sum(count_drift(session).values()),
        switches=SWITCHES,
        stopped=maintenance.read_maintenance(session),
        may_switch=may(staff, Permission.STOP),
        may_settle=may(staff, Permission.SETTLE),
        notice=notice,
        error=error,
        longest=LONGEST_NOTICE,
    )


def _switch(what: str) -> Stopped:
    """What staff can stop; a restore ends by the operator's command alone."""
    if what not in {one.value for one in SWITCHES}:
        raise NotFoundError(_("Check the address, or start from the membership page."))
    return Stopped(what)
