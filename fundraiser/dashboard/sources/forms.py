"""The forms for reading a file and for adding a person by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fundraiser.config import current_settings
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Field, read_email
from fundraiser.money import CARD_FEES
from fundraiser.texts import N_, gettext as _


def _read_optional_day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UnprocessableError(
            _("Enter the date as year, month and day, like 2026-03-03.")
        ) from error


def currency_choices() -> list[tuple[str, str]]:
    """The currencies that staff can choose, the newsroom's own first."""
    own = current_settings().newsroom_currency
    return [(code, code) for code in dict.fromkeys((own, *CARD_FEES, "UAH", "PLN"))]


def _kinds() -> list[tuple[str, str]]:
    return [
        (
            "paid",
            _(
                "Paid by bank transfer, in cash or by a partner: counted as a member until "
                "the date below"
            ),
        ),
        ("complimentary", _("Complimentary: nobody pays, and the membership isn’t counted")),
    ]


def _rhythms() -> list[tuple[str, str]]:
    return [("month", _("Monthly")), ("year", _("Yearly")), ("", _("Once, for this period"))]


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person who pays elsewhere or gets a complimentary membership."""

    kind: Annotated[
        str, Field(label=N_("Kind of membership"), kind="radios", options=_kinds, part="person")
    ]
    email: Annotated[
        str,
        Field(
            label=N_("E-mail address"),
            type="email",
            required=N_("Enter the person’s e-mail address."),
            read=read_email,
            limit=254,
            part="person",
        ),
    ]
    name: Annotated[
        str, Field(label=N_("Name"), hint=N_("If you know it"), limit=200, part="person")
    ]
    until: Annotated[
        date | None,
        Field(
            label=N_("Paid until"),
            hint=N_("The last day that’s paid for. Optional for a complimentary membership."),
            type="date",
            read=_read_optional_day,
            part="person",
        ),
    ]
    amount: Annotated[
        str, Field(label=N_("Amount"), hint=N_("What was paid"), mode="decimal", part="person")
    ]
    currency: Annotated[
        str, Field(label=N_("Currency"), kind="select", options=currency_choices, part="person")
    ]
    interval: Annotated[
        str, Field(label=N_("How often"), kind="select", options=_rhythms, part="person")
    ]
    why: Annotated[
        str,
        Field(
            label=N_("Who it’s from, and why"),
            hint=N_("Such as “bank transfer of 3 November” or “school group from Lviv”"),
            kind="area",
            limit=1000,
            required=N_(
                "Say where this membership comes from, so that colleagues understand it later."
            ),
            part="person",
        ),
    ]
    key: Annotated[str, Field(label=N_("Form"), kind="hidden", limit=64)] = ""
