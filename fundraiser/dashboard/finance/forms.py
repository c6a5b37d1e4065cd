"""The form for exchange rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal  # noqa: TC003 - a field's type
from typing import Annotated

from fundraiser.config import current_settings
from fundraiser.dashboard.overview.income import read_rate
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Field
from fundraiser.money import CARD_FEES
from fundraiser.texts import N_, gettext as _


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UnprocessableError(
            _("Enter the date as year, month and day, like 2026-03-03.")
        ) from error


def _foreign_currencies() -> list[tuple[str, str]]:
    own = current_settings().newsroom_currency
    return [(currency, currency) for currency in CARD_FEES if currency != own]


@dataclass(frozen=True, slots=True)
class NewRate:
    """A currency's rate in the newsroom's currency, from a day on."""

    currency: Annotated[
        str,
        Field(
            label=N_("Currency"),
            hint=N_("Currency readers pay in"),
            kind="select",
            options=_foreign_currencies,
            read=str.upper,
            part="rate",
        ),
    ]
    rate: Annotated[
        Decimal,
        Field(
            label=N_("Rate"),
            hint=lambda: _(
                "What 1 unit is worth in %(own)s, like 0.8564",
                own=current_settings().newsroom_currency,
            ),
            mode="decimal",
            read=read_rate,
            part="rate",
        ),
    ]
    day: Annotated[
        date,
        Field(
            label=N_("Day"),
            hint=N_("The first day this rate applies"),
            type="date",
            read=_read_day,
            write=date.isoformat,
            part="rate",
        ),
    ]
