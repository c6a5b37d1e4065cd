"""Behind the overview: exchange rates to enter, and all the customers that rest."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import ngettext

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard import labels
from fundraiser.dashboard.overview.income import enter_rate, list_rates, read_rate
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.money import CARD_FEES
from fundraiser.newsroom.audit import Act, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _
from fundraiser.webhooks import inbox

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("desk", __name__)

_PAGE = 50
_LARGEST_KEY = 2**63 - 1


@blueprint.get("/staff/rates")
def rates() -> ResponseReturnValue:
    """The exchange rates in force and before, and the form for a new one."""
    return _rates_page()


@blueprint.post("/staff/rates")
def keep_rate() -> ResponseReturnValue:
    """Keep a day's rate; sent twice, it is kept once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.ENTER_RATES)
    own, currency = current_settings().newsroom_currency, request.form.get("currency", "").upper()
    try:
        day = _read_day(request.form.get("day", ""))
        rate = read_rate(request.form.get("rate", ""))
        enter_rate(session, staff, currency=currency, own=own, day=day, rate=rate, today=_today())
    except UnprocessableError as error:
        return _rates_page(error), HTTPStatus.UNPROCESSABLE_ENTITY
    record(session, Act.ENTERED_RATE, f"rate {currency} {own} {day}", staff=staff)
    flash(_("The rate is kept. The overview adds up with it from now on."))
    return redirect(url_for("desk.rates"), HTTPStatus.SEE_OTHER)


@blueprint.get("/staff/resting")
def resting() -> ResponseReturnValue:
    """The customers that could not be settled, page by page."""
    typed = request.args.get("after", "")
    after = min(int(typed), _LARGEST_KEY) if typed.isdecimal() and typed.isascii() else 0
    looks = inbox.resting(db.session(), most=_PAGE + 1, after=after)
    staff = signed_in_staff()
    return render_template(
        "dashboard/resting.html",
        staff=staff,
        words=labels,
        looks=looks[:_PAGE],
        next_after=looks[_PAGE - 1].id if len(looks) > _PAGE else None,
        after=after,
        may_settle=may(staff, Permission.SETTLE),
    )


@blueprint.post("/staff/resting/look")
def look_at_all() -> ResponseReturnValue:
    """Settle all of them again; asked twice, it is done once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.SETTLE)
    count = inbox.settle_all_again(session)
    if count:
        record(session, Act.SETTLED_ALL_AGAIN, f"customers {count}", staff=staff)
    flash(
        ngettext(
            "%(num)s customer is being looked at again. Reload in a moment.",
            "%(num)s customers are being looked at again. Reload in a moment.",
            count,
        )
    )
    return redirect(url_for("desk.resting"), HTTPStatus.SEE_OTHER)


def _rates_page(error: UnprocessableError | None = None) -> str:
    staff, own = signed_in_staff(), current_settings().newsroom_currency
    return render_template(
        "dashboard/rates.html",
        staff=staff,
        words=labels,
        own=own,
        currencies=[currency for currency in CARD_FEES if currency != own],
        typed=request.form,
        today_here=_today(),
        entered=list_rates(db.session(), own, _PAGE),
        may_enter=may(staff, Permission.ENTER_RATES),
        error=error,
    )


def _read_day(typed: str) -> date:
    try:
        return date.fromisoformat(typed.strip())
    except ValueError as error:
        raise UnprocessableError(
            _("Enter the day as year, month and day, like 2026-03-03."), field="day"
        ) from error


def _today() -> date:
    return now().astimezone(current_settings().newsroom_timezone).date()
