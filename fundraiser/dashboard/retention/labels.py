"""Labels of the retention page: ways to join, reasons for leaving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_babel import format_percent, ngettext

from fundraiser.dashboard.articles import article
from fundraiser.dashboard.models import Subject
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence


def heading(subject: Subject) -> str:
    """The heading of a table of ways to join."""
    return {
        Subject.INTERVAL: _("By payment interval"),
        Subject.TIER: _("By tier"),
        Subject.SOURCE: _("By kind of membership"),
        Subject.ARTICLE: _("By article or link"),
    }[subject]


def define(subject: Subject) -> str:
    """What a row of such a table means."""
    return {
        Subject.INTERVAL: _(
            "How often the first membership is paid. Each name leads to the people who joined so, "
            "those who left among them."
        ),
        Subject.TIER: _("The tier of the first membership, whatever people chose later."),
        Subject.SOURCE: _(
            "How the first membership came about. Gifts end on a day that’s known from the start."
        ),
        Subject.ARTICLE: _(
            "The article, or the mark in the link, that led to the first membership; the forty "
            "with the most members, the rest together."
        ),
    }[subject]


def key(subject: Subject, value: str, tiers: dict[str, str]) -> str:
    """A way to join, in words."""
    if value == "*":
        return _("All others")
    if subject is Subject.TIER:
        return tiers.get(value, value) or _("Unknown")
    names = {
        Subject.INTERVAL: {
            "": _("Unknown"),
            "month": _("Monthly"),
            "year": _("Yearly"),
            "week": _("Weekly"),
            "day": _("Daily"),
        },
        Subject.SOURCE: {
            "": _("Unknown"),
            "stripe": _("Paid through Stripe"),
            "gift": _("Gift"),
            "import": _("Imported"),
            "complimentary": _("Complimentary"),
        },
        Subject.ARTICLE: {"": _("Unknown")},
    }
    return names[subject].get(value) or article(value)


def reason(feedback: str) -> str:
    """Stripe's feedback of somebody who cancelled, in words."""
    names = {
        "": _("No reason given"),
        "customer_service": _("Customer service"),
        "low_quality": _("Quality"),
        "missing_features": _("Something is missing"),
        "other": _("Another reason"),
        "switched_service": _("Reads something else"),
        "too_complex": _("Too complicated"),
        "too_expensive": _("Too expensive"),
        "unused": _("Doesn’t read us enough"),
    }
    return names.get(feedback) or feedback.replace("_", " ").capitalize()


def stayed(days: int, shares: Sequence[tuple[str, float]]) -> str:
    """What the chart's cursor says: the share that stays, by way of joining."""
    return str(
        ngettext(
            "After %(num)s day: %(shares)s",
            "After %(num)s days: %(shares)s",
            days,
            shares=", ".join(f"{name} {format_percent(share)}" for name, share in shares),
        )
    )
