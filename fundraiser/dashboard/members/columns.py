"""The columns of the list of members, on its page and in its file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask_babel import format_decimal
from markupsafe import Markup
from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from fundraiser.dashboard import labels
from fundraiser.dashboard.columns import Cells, Column, macro, person
from fundraiser.dashboard.members.filters import Sort
from fundraiser.members.member_labels import Label, MemberLabel
from fundraiser.members.models import Member, Membership
from fundraiser.members.overdue import paid_until
from fundraiser.texts import N_, breakable, date, last_day

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from fundraiser.dashboard.members.listing import Listed


def with_ticks(columns: Sequence[Column]) -> list[Column]:
    """The page's columns, with a tick before each name for the form of changes of many."""
    first, *rest = columns
    return [replace(first, shown=lambda row: macro("person_to_tick", row.member)), *rest]


# A person's labels by name, for the file.
LABELS = (
    select(func.string_agg(Label.name, aggregate_order_by(literal(", "), func.lower(Label.name))))
    .join(MemberLabel, MemberLabel.label_id == Label.id)
    .where(MemberLabel.member_id == Member.id)
    .scalar_subquery()
)


def _number(row: Listed) -> str:
    return format_decimal(row.member.number) if row.member.number else "–"


def _price(row: Listed) -> str:
    return labels.price(row.membership) if row.membership else "–"


def _status(row: Listed) -> str:
    status = labels.note(row.member, row.membership) or labels.status_label(row.member)
    return status if row.member.counting else Markup('<span class="quiet">{}</span>').format(status)


def _since(row: Listed) -> str:
    return date(row.member.first_counted_at or row.member.created_at, "d MMM y")


def _of_membership(say: Callable[[Membership], str]) -> Callable[[Listed], str]:
    """Format a value of the latest membership, if there is one."""
    return lambda row: say(row.membership) if row.membership else "–"


def _day_of(
    read: Callable[[Membership], datetime | None], form: Callable[[datetime, str], str] = date
) -> Callable[[Listed], str]:
    """Format a day of the latest membership, if there is one."""

    def say(row: Listed) -> str:
        at = read(row.membership) if row.membership else None
        return form(at, "d MMM y") if at else "–"

    return say


def _paid_until(
    cells: Cells,
    paid_until: datetime | None,
    counts_until: datetime | None,
    ended_at: datetime | None,
) -> str:
    """The paid period's end, as on the person's page; not Stripe's own period."""
    return "" if ended_at else cells.last_day(paid_until or counts_until)


COLUMNS = (
    Column(
        title=N_("Name"),
        name="name",
        shown=lambda row: person(row.member),
        of=[Member.name],
        sorts=[Sort.NAME],
    ),
    Column(
        title=N_("Number"),
        name="number",
        shown=_number,
        style="number secondary",
        of=[Member.number],
    ),
    Column(
        title=N_("E-mail address"),
        name="email",
        shown=lambda row: breakable(row.member.email or ""),
        style="secondary came-from",
        of=[Member.email],
    ),
    Column(
        title=N_("Country"),
        name="country",
        shown=lambda row: labels.country(row.member.country) or "–",
        is_usual=False,
        of=[Member.country],
    ),
    Column(
        title=N_("Language"),
        name="language",
        shown=lambda row: labels.language_name(row.member.language),
        is_usual=False,
        of=[Member.language],
    ),
    Column(
        title=N_("Labels"),
        name="labels",
        shown=lambda row: ", ".join(row.labels) or "–",
        is_usual=False,
        of=[LABELS],
    ),
    Column(title=N_("Pays"), name="pays", shown=_price, means=("amount", "currency", "interval")),
    Column(title=N_("Status"), name="status", shown=_status, means=("counted", "payment-status")),
    Column(
        title=N_("Since"),
        name="since",
        shown=_since,
        style="number",
        sorts=[Sort.NEWEST, Sort.OLDEST],
        means=("first-counted",),
    ),
    Column(title=N_("Counted"), name="counted", of=[Member.counting], cell=Cells.flag),
    Column(
        title=N_("First counted"),
        name="first-counted",
        of=[Member.first_counted_at],
        cell=Cells.day,
    ),
    Column(
        title=N_("Source"),
        name="source",
        shown=_of_membership(labels.source),
        is_usual=False,
        of=[Membership.source],
    ),
    Column(
        title=N_("Tier"),
        name="tier",
        shown=_of_membership(lambda found: found.tier or "–"),
        is_usual=False,
        of=[Membership.tier],
    ),
    Column(
        title=N_("Amount"),
        name="amount",
        of=[Membership.amount, Membership.currency],
        cell=Cells.amount,
    ),
    Column(title=N_("Currency"), name="currency", of=[Membership.currency]),
    Column(title=N_("Billing interval"), name="interval", of=[Membership.interval]),
    Column(title=N_("Status"), name="payment-status", of=[Membership.status]),
    Column(
        title=N_("Started"),
        name="started",
        shown=_day_of(lambda found: found.started_at),
        style="number",
        is_usual=False,
        of=[Membership.started_at],
        cell=Cells.day,
    ),
    Column(
        title=N_("Paid until"),
        name="paid-until",
        shown=_day_of(lambda found: None if found.ended_at else paid_until(found), last_day),
        style="number",
        is_usual=False,
        of=[Membership.paid_until, Membership.counts_until, Membership.ended_at],
        cell=_paid_until,
    ),
    Column(
        title=N_("Ends on"),
        name="ends",
        shown=_day_of(lambda found: found.cancel_at, last_day),
        style="number",
        is_usual=False,
        of=[Membership.cancel_at],
        cell=Cells.last_day,
    ),
    Column(
        title=N_("Ended"),
        name="ended",
        shown=_day_of(lambda found: found.ended_at),
        style="number",
        is_usual=False,
        of=[Membership.ended_at],
        cell=Cells.day,
    ),
    Column(
        title=N_("Campaign"),
        name="campaign",
        shown=_of_membership(lambda found: found.campaign or "–"),
        is_usual=False,
        of=[Membership.campaign],
    ),
    Column(
        title=N_("Origin"),
        name="origin",
        shown=_of_membership(labels.came_from),
        style="came-from",
        is_usual=False,
        means=("ref", "utm"),
    ),
    Column(title=N_("Origin"), name="ref", of=[Membership.ref]),
    Column(title=N_("UTM tags"), name="utm", of=[Membership.utm]),
    Column(
        title=N_("Stripe customer"),
        name="customer",
        shown=_of_membership(lambda found: found.customer_id or "–"),
        style="name-at-stripe",
        is_usual=False,
        of=[Membership.customer_id],
    ),
    Column(
        title=N_("Stripe subscription"),
        name="subscription",
        shown=_of_membership(lambda found: found.reference),
        style="name-at-stripe",
        is_usual=False,
        of=[Membership.reference],
    ),
)
