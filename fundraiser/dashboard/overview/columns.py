"""The columns of customers whose sync failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request, url_for
from flask_babel import format_decimal
from markupsafe import Markup

from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import Column, macro
from fundraiser.texts import N_, date, time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.payments.models import SyncRequest


def _name(sync: SyncRequest) -> str:
    return sync.customer_id or sync.charge_id or ""


def _error(sync: SyncRequest) -> Markup:
    return Markup(
        '<span class="wrong">{}</span><span class="detail note narrow-only">{}</span>'
    ).format(labels.error(sync), _name(sync))


def _customer(sync: SyncRequest) -> Markup:
    address = url_for("dashboard.members", q=_name(sync))
    return Markup('<a href="{}">{}</a>').format(address, _name(sync))


_COLUMNS = (
    Column(title=N_("What went wrong"), shown=_error),
    Column(title=N_("Stripe customer"), shown=_customer, style="secondary name-at-stripe"),
    Column(
        title=N_("Attempts"),
        shown=lambda sync: format_decimal(sync.attempts),
        style="number secondary",
    ),
)
_SINCE = Column(
    title=N_("Since"),
    shown=lambda sync: f"{date(sync.created_at, 'd MMM')}, {time(sync.created_at)}",
    style="number secondary",
)
_RETRY = Column(
    title=N_("Action"),
    title_unseen=True,
    shown=lambda sync: macro("settle_again", _name(sync), request.full_path),
    style="number",
)


def failed_sync_columns(*, may_retry: bool, since: bool = True) -> Sequence[Column]:
    """The columns, the last with a button for staff who may retry; ``since`` when is optional."""
    return (*_COLUMNS, *([_SINCE] if since else []), *([_RETRY] if may_retry else []))
