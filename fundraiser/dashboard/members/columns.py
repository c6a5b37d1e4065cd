"""The columns of the list of members, on its page and in its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_babel import format_decimal
from markupsafe import Markup

from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import Cells, Column, person
from fundraiser.dashboard.members.filters import Sort
from fundraiser.members.models import Member, Membership
from fundraiser.texts import N_, breakable, date

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.dashboard.members.listing import Listed


def _number(row: Listed) -> str:
    return format_decimal(row.member.number) if row.member.number else "–"


def _price(row: Listed) -> str:
    return labels.price(row.membership) if row.membership else "–"


def _status(row: Listed) -> str:
    status = labels.note(row.member, row.membership) or labels.status_label(row.member)
    return status if row.member.counting else Markup('<span class="quiet">{}</span>').format(status)


def _since(row: Listed) -> str:
    return date(row.member.first_counted_at or row.member.created_at, "d MMM y")


def _paid_until(
    cells: Cells,
    paid_until: datetime | None,
    counts_until: datetime | None,
    ended_at: datetime | None,
) -> str:
    """The paid period's end, as on the person's page; not Stripe's own period."""
    return "" if ended_at else cells.day(paid_until or counts_until)


COLUMNS = (
    Column(
        title=N_("Name"),
        shown=lambda row: person(row.member),
        of=[Member.name],
        sorts=[Sort.NAME],
    ),
    Column(title=N_("Number"), shown=_number, style="number secondary", of=[Member.number]),
    Column(
        title=N_("E-mail address"),
        shown=lambda row: breakable(row.member.email or ""),
        style="secondary came-from",
        of=[Member.email],
    ),
    Column(title=N_("Country"), of=[Member.country]),
    Column(title=N_("Language"), of=[Member.language]),
    Column(title=N_("Pays"), shown=_price),
    Column(title=N_("Status"), shown=_status),
    Column(title=N_("Since"), shown=_since, style="number", sorts=[Sort.NEWEST, Sort.OLDEST]),
    Column(title=N_("Counted"), of=[Member.counting], cell=Cells.flag),
    Column(title=N_("First counted"), of=[Member.first_counted_at], cell=Cells.day),
    Column(title=N_("Source"), of=[Membership.source]),
    Column(title=N_("Tier"), of=[Membership.tier]),
    Column(title=N_("Amount"), of=[Membership.amount, Membership.currency], cell=Cells.amount),
    Column(title=N_("Currency"), of=[Membership.currency]),
    Column(title=N_("Billing interval"), of=[Membership.interval]),
    Column(title=N_("Status"), of=[Membership.status]),
    Column(title=N_("Started"), of=[Membership.started_at], cell=Cells.day),
    Column(
        title=N_("Paid until"),
        of=[Membership.paid_until, Membership.counts_until, Membership.ended_at],
        cell=_paid_until,
    ),
    Column(title=N_("Ends on"), of=[Membership.cancel_at], cell=Cells.day),
    Column(title=N_("Ended"), of=[Membership.ended_at], cell=Cells.day),
    Column(title=N_("Campaign"), of=[Membership.campaign]),
    Column(title=N_("Origin"), of=[Membership.ref]),
    Column(title=N_("UTM tags"), of=[Membership.utm]),
    Column(title=N_("Stripe customer"), of=[Membership.customer_id]),
    Column(title=N_("Stripe subscription"), of=[Membership.reference]),
)
