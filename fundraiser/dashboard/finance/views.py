"""Finance pages: months, payouts, and exports of both."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from flask import Blueprint, Response, current_app, render_template, request
from sqlalchemy import ColumnElement, select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import on_page
from fundraiser.dashboard.export import stream_movements
from fundraiser.dashboard.finance import money
from fundraiser.dashboard.finance.columns import MOVEMENT_COLUMNS, PAYOUT_COLUMNS, sum_columns
from fundraiser.dashboard.finance.labels import payout_failure
from fundraiser.dashboard.finance.money import Month, PayoutState, Sums
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.confirmation import confirmed
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments.balance import bounds
from fundraiser.payments.models import BalanceTransaction, Tier
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.db import Database

blueprint = Blueprint("money_pages", __name__)

_YEAR = 12  # months whose tiers are shown together


@blueprint.get("/staff/money")
def months() -> ResponseReturnValue:
    """All months in one currency, and what was paid for in the last twelve."""
    found = money.read_months(db.session())
    wanted = request.args.get("currency", "").upper()
    currency = wanted if wanted in found else next(iter(found), "")
    here = found.get(currency, [])
    years: dict[int, list[Month]] = {}
    for one in here:
        years.setdefault(one.month.year, []).append(one)
    recent = here[:_YEAR]
    first, last = (recent[-1].month, recent[0].month) if recent else (date.min, date.min)
    return _page(
        "dashboard/money.html",
        currencies=list(found),
        currency=currency,
        years=[(year, list_, money.add_up(list_)) for year, list_ in years.items()],
        purposes=money.read_purposes(db.session(), first, last).get(currency, []),
        purposes_from=first,
        purposes_total=money.add_up(recent),
        has_other=any(one.sums.other for one in here),
    )


@blueprint.get("/staff/money/<month>")
def month(month: str) -> ResponseReturnValue:
    """A month in each currency, with figures that visibly add up."""
    day = money.read_month(month)
    found = {
        currency: next((one for one in list_ if one.month == day), _quiet(day, list_))
        for currency, list_ in money.read_months(db.session()).items()
    }
    return _page(
        "dashboard/month.html",
        month=day,
        months=found,
        purposes=money.read_purposes(db.session(), day, day),
    )


@blueprint.post("/staff/money/<month>/export")
@confirmed
def export_month(month: str) -> ResponseReturnValue:
    """A month's balance transactions as CSV; logged in the audit log."""
    staff = signed_in_staff()
    require(staff, Permission.EXPORT)
    day = money.read_month(month)
    first, following = bounds(day, current_settings().newsroom_timezone)
    record(db.session(), Action.EXPORTED_MONEY, f"month {day:%Y-%m}", staff=staff)
    return _file(
        (BalanceTransaction.created_at >= first) & (BalanceTransaction.created_at < following),
        f"money-{day:%Y-%m}.csv",
    )


@blueprint.get("/staff/payouts")
def payouts() -> ResponseReturnValue:
    """Payouts to the newsroom's bank, latest first."""
    session, before = db.session(), request.args.get("before")
    state, currency = request.args.get("state", ""), request.args.get("currency", "")
    rows, older = money.list_payouts(session, before, state=state, currency=currency)
    return _page(
        "dashboard/payouts.html",
        columns=PAYOUT_COLUMNS,
        rows=rows,
        before=before,
        older=older,
        filters={
            name: value for name, value in (("state", state), ("currency", currency)) if value
        },
        states=[
            (PayoutState.ARRIVED, _("Arrived")),
            (PayoutState.UNDER_WAY, _("Being transferred")),
            (PayoutState.RETURNED, _("Failed or cancelled")),
        ],
        currencies=money.payout_currencies(session),
    )


@blueprint.get("/staff/payouts/<payout_id>")
def payout(payout_id: str) -> ResponseReturnValue:
    """A payout and its contents."""
    return _page(
        "dashboard/payout.html",
        found=money.read_payout(db.session(), payout_id),
        columns=on_page(MOVEMENT_COLUMNS),
        payout_failure=payout_failure,
    )


@blueprint.post("/staff/payouts/<payout_id>/export")
@confirmed
def export_payout(payout_id: str) -> ResponseReturnValue:
    """A payout's contents as CSV; logged in the audit log."""
    staff = signed_in_staff()
    require(staff, Permission.EXPORT)
    found = money.read_payout(db.session(), payout_id).payout
    record(db.session(), Action.EXPORTED_MONEY, f"payout {found.id}", staff=staff)
    return _file(BalanceTransaction.payout_id == found.id, f"payout-{found.id}.csv")


def _quiet(day: date, months: list[Month]) -> Month:
    """An empty month."""
    before = next((one for one in months if one.month < day), None)
    return Month(day, Sums(), before.closing if before else 0)


def _file(which: ColumnElement[bool], name: str) -> Response:
    database: Database = current_app.extensions["database"]
    return Response(
        stream_movements(database.engine, which, current_settings().newsroom_timezone),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _page(template: str, **values: object) -> str:
    staff, session = signed_in_staff(), db.session()
    tiers = {
        slug: by_language(names) for slug, names in session.execute(select(Tier.slug, Tier.names))
    }
    return render_template(
        template,
        staff=staff,
        sum_columns=sum_columns,
        purpose=lambda one: labels.purpose(one.kind, one.tier, tiers),
        agreement=money.read_agreement(session),
        may_export=may(staff, Permission.EXPORT),
        **values,
    )
