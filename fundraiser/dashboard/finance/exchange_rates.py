"""Staff page of exchange rates, for totals in the newsroom's currency."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard.finance.forms import NewRate
from fundraiser.dashboard.overview.income import enter_rate, list_rates
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Form, values_of
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from flask.typing import ResponseReturnValue

    from fundraiser.dashboard.models import ExchangeRate

blueprint = Blueprint("exchange_rates", __name__)

_PAGE = 50


@blueprint.get("/staff/rates")
def rates() -> ResponseReturnValue:
    """Current and past exchange rates, and the form for a new one."""
    return _rates_page()


@blueprint.post("/staff/rates")
def keep_rate() -> ResponseReturnValue:
    """Save a day's rate; safe to repeat."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.ENTER_RATES)
    own, form = current_settings().newsroom_currency, Form.sent(request.form, NewRate)
    new = form.read(NewRate)
    if new is None:
        return _rates_page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    try:
        before = enter_rate(session, staff, **values_of(new, NewRate), own=own, today=_today())
    except UnprocessableError as error:
        form.refuse(error, "rate")
        return _rates_page(form), HTTPStatus.UNPROCESSABLE_ENTITY
    record(
        session,
        Action.ENTERED_RATE,
        f"rate {new.currency} {own} {new.day}",
        staff=staff,
        changes={"rate": (f"{before.normalize():f}" if before else "", f"{new.rate:f}")},
    )
    flash(_("Saved. The overview uses this rate from now on."))
    return redirect(url_for("exchange_rates.rates"), HTTPStatus.SEE_OTHER)


def _rates_page(form: Form | None = None) -> str:
    staff, own = signed_in_staff(), current_settings().newsroom_currency
    entered = list_rates(db.session(), own, _PAGE)
    return render_template(
        "dashboard/rates.html",
        staff=staff,
        own=own,
        form=form or Form.blank(NewRate, **_to_correct([rate for rate, _by in entered])),
        entered=entered,
        may_enter=may(staff, Permission.ENTER_RATES),
    )


def _to_correct(entered: Sequence[ExchangeRate]) -> dict[str, object]:
    """The rate that the address names, as the form's values; otherwise a new one of today."""
    wanted = request.args.get("currency"), request.args.get("day")
    for rate in entered:
        if (rate.currency, rate.day.isoformat()) == wanted:
            return {
                "currency": rate.currency,
                "day": rate.day,
                "rate": f"{rate.rate.normalize():f}",
            }
    return {"day": _today()}


def _today() -> date:
    return now().astimezone(current_settings().newsroom_timezone).date()
