"""Columns, each declared once for a page's list and its exported file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flask import get_template_attribute

from fundraiser.money import Money, decimals, tax_included
from fundraiser.payments.models import CheckoutKind, Part
from fundraiser.spreadsheets import safe_cell
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from markupsafe import Markup


class Cells:
    """Formats values as a file's cells, in the newsroom's time zone and the request's language."""

    def __init__(self, zone: ZoneInfo, vat_rate: Decimal | None = None) -> None:
        self.zone, self.yes, self.no = zone, _("yes"), _("no")
        self.vat_rate = vat_rate

    def text(self, value: object) -> str:
        return "" if value is None else safe_cell(str(value))

    def flag(self, value: bool) -> str:  # noqa: FBT001 - a column's value
        return self.yes if value else self.no

    def day(self, at: datetime | None) -> str:
        return at.astimezone(self.zone).date().isoformat() if at else ""

    def last_day(self, at: datetime | None) -> str:
        """The last day of what ends at this time."""
        return self.day(at - timedelta(microseconds=1)) if at else ""

    def moment(self, at: datetime) -> str:
        return f"{at.astimezone(self.zone):%Y-%m-%d %H:%M:%S}"

    def amount(self, amount: int | None, currency: str | None) -> str:
        """Format an amount in main units with a decimal point, for spreadsheets."""
        if amount is None or currency is None:
            return ""
        return str(Decimal(amount).scaleb(-decimals(currency)))

    def vat(self, gross: int, currency: str, part: Part, kind: str | None) -> str:
        """The VAT that a payment or its return includes, as on its receipt; empty if none."""
        is_taxed = part in {Part.GROSS, Part.REFUNDS, Part.DISPUTES}
        if self.vat_rate is None or not is_taxed or kind == CheckoutKind.CONTRIBUTION:
            return ""
        return self.amount(tax_included(Money(gross, currency), self.vat_rate).amount, currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a list, on its page, in its file, or in both.

    ``title`` is a message for the catalogue, marked with ``N_``. ``shown`` formats a row's value
    for the page, None if only the file has the column; ``style`` are CSS classes; a
    ``title_unseen`` is for screen readers only. ``sorts`` are the orders that its head offers, the
    first one first. ``of`` names the model's attributes that the file reads, and ``cell`` formats
    them.

    Where people choose their columns: ``name`` stands in addresses, ``is_usual`` says that the page
    shows it unless they chose others, and ``means`` are the columns in the file that say the same.
    """

    title: str
    name: str = ""
    is_usual: bool = True
    means: Sequence[str] = ()
    sorts: Sequence[str] = ()
    shown: Callable[[Any], object] | None = None
    style: str = ""
    title_unseen: bool = False
    of: Sequence[Any] = ()
    cell: Callable[..., str] = Cells.text


def macro(name: str, *values: object) -> Markup:
    """Format a value by a macro of ``dashboard/parts.html``."""
    formatted: Markup = get_template_attribute("dashboard/parts.html", name)(*values)
    return formatted


def person(member: object) -> Markup:
    """A member's name or address as a link to the member's page."""
    return macro("person", member)


def on_page(columns: Iterable[Column]) -> list[Column]:
    """The columns that the page shows."""
    return [column for column in columns if column.shown]


def chosen_on_page(columns: Sequence[Column], names: Collection[str]) -> list[Column]:
    """The first column and the chosen ones; the usual ones if none is chosen."""
    if not names:
        return [column for column in columns if column.shown and column.is_usual]
    return [
        # Somebody who chose a column wants it on a phone too.
        replace(column, style=column.style.replace("secondary", "").strip())
        for place, column in enumerate(columns)
        if column.shown and (column.name in names or place == 0)
    ]


def chosen_in_file(columns: Sequence[Column], names: Collection[str]) -> list[Column]:
    """The first column and the chosen ones, as the file has them; all if none is chosen."""
    if not names:
        return in_file(columns)
    wanted = {
        meant
        for column in columns
        if column.name in names
        for meant in (column.means or (column.name,))
    }
    return [
        column
        for place, column in enumerate(columns)
        if column.of and (column.name in wanted or place == 0)
    ]


def in_file(columns: Iterable[Column]) -> list[Column]:
    """The columns that the file has."""
    return [column for column in columns if column.of]
