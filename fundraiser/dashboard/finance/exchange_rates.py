"""Exchange rates that staff enter, so that other currencies can be added up in the newsroom's."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard import labels
from fundraiser.dashboard.overview.income import enter_rate, list_rates, read_rate
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.money import CARD_FEES
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("exchange_rates", __name__)

_PAGE = 50


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
    record(session, Action.ENTERED_RATE, f"rate {currency} {own} {day}", staff=staff)
    flash(_("The rate is kept. The overview adds up with it from now on."))
    return redirect(url_for("exchange_rates.rates"), HTTPStatus.SEE_OTHER)


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
