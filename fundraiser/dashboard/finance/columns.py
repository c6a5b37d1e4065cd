"""Columns of contributions, months, payouts and balance transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import url_for
from flask_babel import format_decimal
from markupsafe import Markup

from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import Cells, Column, person
from fundraiser.members.models import Member
from fundraiser.money import Money, format_exact
from fundraiser.payments.models import BalanceTransaction, Part, PaymentStatus, Payout
from fundraiser.texts import N_, by_language, date, language, time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from fundraiser.dashboard.finance.money import Movement
    from fundraiser.payments.models import Payment

_CURRENCY = BalanceTransaction.currency


def exact(amount: int, currency: str) -> str:
    return format_exact(Money(amount, currency), language())


def _moment(at: datetime) -> str:
    return f"{date(at, 'd MMM y')}, {time(at)}"


def _wrong(text: str) -> Markup:
    return Markup('<span class="wrong">{}</span>').format(text)


def _payment_state(payment: Payment) -> str:
    state = labels.payment_state(payment)
    went_wrong = payment.status is PaymentStatus.FAILED or payment.dispute
    return _wrong(state) if went_wrong else state


CONTRIBUTION_COLUMNS = (
    Column(title=N_("Who"), shown=lambda row: person(row.Member)),
    Column(title=N_("Status"), shown=lambda row: _payment_state(row.Payment)),
    Column(
        title=N_("In Stripe"),
        shown=lambda row: row.Payment.charge_id,
        style="secondary name-at-stripe",
    ),
    Column(
        title=N_("When"), shown=lambda row: date(row.Payment.paid_at, "d MMM y"), style="number"
    ),
    Column(
        title=N_("Amount"),
        shown=lambda row: exact(row.Payment.amount, row.Payment.currency),
        style="number",
    ),
)


def _what(row: Movement) -> str:
    what = labels.movement(row.transaction)
    if not row.member_id:
        return what
    return Markup('<a href="{}">{}<span class="unseen"> {}</span></a>').format(
        url_for("dashboard.member", member_id=row.member_id), what, row.transaction.id
    )


def _purpose(row: Movement) -> str:
    one = row.transaction
    if one.part in {Part.FEES, Part.PAYOUTS}:
        return one.description or ""
    tiers = {one.tier: by_language(row.tier_names)} if one.tier and row.tier_names else {}
    return labels.purpose(one.kind, one.tier, tiers)


MOVEMENT_COLUMNS = (
    Column(title=N_("Stripe transaction"), of=[BalanceTransaction.id]),
    Column(
        title=N_("When"),
        shown=lambda row: _moment(row.transaction.created_at),
        of=[BalanceTransaction.created_at],
        cell=Cells.moment,
    ),
    Column(title=N_("What"), shown=_what),
    Column(title=N_("Category"), of=[BalanceTransaction.category]),
    Column(title=N_("Purpose"), shown=_purpose, style="secondary", of=[BalanceTransaction.kind]),
    Column(title=N_("Tier"), of=[BalanceTransaction.tier]),
    Column(title=N_("Currency"), of=[_CURRENCY]),
    Column(
        title=N_("Gross"),
        shown=lambda row: exact(row.transaction.amount, row.transaction.currency),
        style="number secondary",
        of=[BalanceTransaction.amount, _CURRENCY],
        cell=Cells.amount,
    ),
    Column(
        title=N_("Fee"),
        shown=lambda row: exact(-row.transaction.fee, row.transaction.currency),
        style="number secondary",
        of=[BalanceTransaction.fee, _CURRENCY],
        cell=Cells.amount,
    ),
    Column(
        title=N_("Net"),
        shown=lambda row: exact(row.transaction.net, row.transaction.currency),
        style="number",
        of=[BalanceTransaction.net, _CURRENCY],
        cell=Cells.amount,
    ),
    Column(title=N_("Available on"), of=[BalanceTransaction.available_at], cell=Cells.day),
    Column(title=N_("Stripe charge"), of=[BalanceTransaction.charge_id]),
    Column(title=N_("Stripe source"), of=[BalanceTransaction.source_id]),
    Column(title=N_("Stripe payout"), of=[BalanceTransaction.payout_id]),
    Column(title=N_("Description"), of=[BalanceTransaction.description]),
    Column(title=N_("At the bank"), of=[Payout.arrives_at], cell=Cells.day),
    Column(title=N_("Payer"), of=[Member.name]),
    Column(title=N_("E-mail address"), of=[Member.email]),
    Column(title=N_("Member number"), of=[Member.number]),
    Column(title=N_("Country"), of=[Member.country]),
    Column(
        title=N_("VAT included"),
        of=[
            BalanceTransaction.amount,
            _CURRENCY,
            BalanceTransaction.part,
            BalanceTransaction.kind,
        ],
        cell=Cells.vat,
    ),
)


def _payout_link(payout: Payout) -> Markup:
    return Markup('<a href="{}">{}<span class="unseen"> {}</span></a>').format(
        url_for("money_pages.payout", payout_id=payout.id),
        date(payout.created_at, "d MMM y"),
        exact(payout.amount, payout.currency),
    )


def _payout_state(payout: Payout) -> str:
    state = labels.payout_state(payout)
    went_wrong = payout.status in {"failed", "canceled"}
    return _wrong(state) if went_wrong else state


PAYOUT_COLUMNS = (
    Column(title=N_("Sent"), shown=_payout_link),
    Column(
        title=N_("At the bank"),
        shown=lambda payout: date(payout.arrives_at, "d MMM y"),
        style="secondary",
    ),
    Column(title=N_("Status"), shown=_payout_state),
    Column(title=N_("In Stripe"), shown=lambda payout: payout.id, style="secondary name-at-stripe"),
    Column(
        title=N_("Amount"),
        shown=lambda payout: exact(payout.amount, payout.currency),
        style="number",
    ),
)

# Of the sums of a month, a year or a purpose, each with its currency.
_OTHER = Column(
    title=N_("Other"),
    shown=lambda row: exact(row[0].other, row[1]),
    style="number secondary",
)
_PAID_OUT = Column(
    title=N_("Paid out"),
    shown=lambda row: exact(row[0].payouts, row[1]),
    style="number secondary",
)
_SUM_COLUMNS = (
    Column(
        title=N_("Payments"),
        shown=lambda row: format_decimal(row[0].payments),
        style="number secondary",
    ),
    Column(title=N_("Gross"), shown=lambda row: exact(row[0].gross, row[1]), style="number"),
    Column(
        title=N_("Refunds"),
        shown=lambda row: exact(-row[0].refunds, row[1]),
        style="number secondary",
    ),
    Column(
        title=N_("Disputes"),
        shown=lambda row: exact(-row[0].disputes, row[1]),
        style="number secondary",
    ),
    Column(
        title=N_("Fees"), shown=lambda row: exact(-row[0].fees, row[1]), style="number secondary"
    ),
    _OTHER,
    Column(title=N_("Net"), shown=lambda row: exact(row[0].net, row[1]), style="number"),
    _PAID_OUT,
)


def sum_columns(*, has_other: object, has_payouts: bool) -> Sequence[Column]:
    """The columns of sums; omits "other" if there is none."""
    left_out = [*([] if has_other else [_OTHER]), *([] if has_payouts else [_PAID_OUT])]
    return [column for column in _SUM_COLUMNS if column not in left_out]
