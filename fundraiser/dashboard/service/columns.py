"""The columns of Stripe's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import url_for
from markupsafe import Markup

from fundraiser.dashboard.columns import Column
from fundraiser.texts import N_, breakable, date, gettext as _, time

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.payments.models import Event


def _event(event: Event) -> Markup:
    address = url_for("service_pages.event", event_id=event.id)
    return Markup('<a href="{}">{}</a>').format(address, breakable(event.type))


def _customer(event: Event) -> Markup | str:
    if not event.customer_id:
        return "–"
    address = url_for("dashboard.members", q=event.customer_id)
    return Markup('<a href="{}">{}</a>').format(address, event.customer_id)


def _when(at: datetime) -> str:
    return f"{date(at, 'd MMM')}, {time(at)}"


EVENT_COLUMNS = (
    Column(title=N_("Event"), shown=_event),
    Column(title=N_("Stripe customer"), shown=_customer, style="secondary name-at-stripe"),
    Column(title=N_("Received"), shown=lambda event: _when(event.received_at), style="number"),
    Column(
        title=N_("Synced"),
        shown=lambda event: _when(event.settled_at) if event.settled_at else _("not yet"),
        style="number secondary",
    ),
)
