"""The widget's theme and accent colour, with contrast checks."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from fundraiser.campaigns.models import Campaign
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

# WCAG 2.2: 1.4.3 for words, 1.4.11 for shapes.
LEAST_FOR_WORDS, LEAST_FOR_SHAPES = 4.5, 3.0
_WHITE = 1.0  # luminance
_COLOUR = re.compile(r"#[0-9a-f]{6}")


class Theme(StrEnum):
    """The widget's colours: the page's own, or ours."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


def change_look(session: Session, slug: str, *, theme: Theme, accent: str) -> bool:
    """Save theme and accent, and have all widgets fetch them; False if unchanged.

    Raises:
        NotFoundError: there is no such campaign.
        UnprocessableError: the accent is no colour.
    """
    accent = read_accent(accent)
    campaign = session.get(Campaign, slug, with_for_update=True)
    if campaign is None:
        raise NotFoundError(_("There’s no campaign at this address."))
    if (campaign.theme, campaign.accent) == (theme, accent):
        return False
    campaign.theme, campaign.accent = theme.value, accent
    campaign.revision += 1
    return True


def read_accent(text: str) -> str:
    """Parse a colour as #rrggbb.

    Raises:
        UnprocessableError: it has another format.
    """
    accent = text.strip().lower()
    if not _COLOUR.fullmatch(accent):
        raise UnprocessableError(
            _("Enter the colour as six hexadecimal digits, like #0b5d46."), field="accent"
        )
    return accent


def contrast_of_words(accent: str) -> float:
    """The contrast of the widget's button text: 1 is none, 21 is black on white.

    The widget uses black or white text by the colour's lightness; the same rule is ``light`` in
    membership-progress.js. On no colour is it less than 4.5.
    """
    words = _WHITE if _lightness(accent) < 117 else 0.0  # noqa: PLR2004 - the widget's rule
    return _contrast(_luminance(accent), words)


def contrast_of_bar(accent: str) -> float:
    """The bar's contrast with a white page; on a dark page the widget lightens it."""
    return _contrast(_luminance(accent), _WHITE)


def _contrast(one: float, other: float) -> float:
    lighter, darker = max(one, other), min(one, other)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(accent: str) -> float:
    red, green, blue = _linear(accent)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _lightness(accent: str) -> float:
    """About the square root of the luminance, from 0 to 255, as the widget computes it."""
    red, green, blue = (math.pow(part, 2.2) for part in bytes.fromhex(accent[1:]))
    return math.pow(0.2126 * red + 0.7152 * green + 0.0722 * blue, 0.4545)


def _linear(accent: str) -> tuple[float, float, float]:
    red, green, blue = (part / 255 for part in bytes.fromhex(accent[1:]))
    return _undo_gamma(red), _undo_gamma(green), _undo_gamma(blue)


def _undo_gamma(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else math.pow((part + 0.055) / 1.055, 2.4)  # noqa: PLR2004 - sRGB
