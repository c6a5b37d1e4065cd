"""Columns of months, payouts and balance transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import url_for
from flask_babel import format_decimal
from markupsafe import Markup

from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import Cells, Column
from fundraiser.money import Money, format_exact
from fundraiser.payments.models import BalanceTransaction
from fundraiser.texts import N_, date, language

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.payments.models import Payout

_CURRENCY = BalanceTransaction.currency

MOVEMENT_COLUMNS = (
    Column(title=N_("Stripe transaction"), of=[BalanceTransaction.id]),
    Column(title=N_("When"), of=[BalanceTransaction.created_at], cell=Cells.moment),
    Column(title=N_("Category"), of=[BalanceTransaction.category]),
    Column(title=N_("Purpose"), of=[BalanceTransaction.kind]),
    Column(title=N_("Tier"), of=[BalanceTransaction.tier]),
    Column(title=N_("Currency"), of=[_CURRENCY]),
    Column(title=N_("Gross"), of=[BalanceTransaction.amount, _CURRENCY], cell=Cells.amount),
    Column(title=N_("Fee"), of=[BalanceTransaction.fee, _CURRENCY], cell=Cells.amount),
    Column(title=N_("Net"), of=[BalanceTransaction.net, _CURRENCY], cell=Cells.amount),
    Column(title=N_("Available on"), of=[BalanceTransaction.available_at], cell=Cells.day),
    Column(title=N_("Stripe charge"), of=[BalanceTransaction.charge_id]),
    Column(title=N_("Stripe source"), of=[BalanceTransaction.source_id]),
    Column(title=N_("Stripe payout"), of=[BalanceTransaction.payout_id]),
    Column(title=N_("Description"), of=[BalanceTransaction.description]),
)


def exact(amount: int, currency: str) -> str:
    return format_exact(Money(amount, currency), language())


def _payout_link(payout: Payout) -> Markup:
    return Markup('<a href="{}">{}<span class="unseen"> {}</span></a>').format(
        url_for("money_pages.payout", payout_id=payout.id),
        date(payout.created_at, "d MMM y"),
        exact(payout.amount, payout.currency),
    )


def _payout_state(payout: Payout) -> str:
    state = labels.payout_state(payout)
    went_wrong = payout.status in {"failed", "canceled"}
    return Markup('<span class="wrong">{}</span>').format(state) if went_wrong else state


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
