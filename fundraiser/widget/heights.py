"""How tall the widget is at each width, for pages and frames that give it room beforehand.

Measured in Chromium, in English and Ukrainian, with three tiers and wide type;
tests/browser/test_widget_look.py measures again. Longer texts or more tiers need more.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from markupsafe import Markup, escape

# On a page: (em, and in windows up to so many em wide, em). Those of the page's own type.
_RESERVED: Final = {"card": (27, 30, 33.2), "bar": (8.1, 30, 10.5), "compact": (3.9, 38, 6.3)}
# In a frame: (from so many pixels wide, pixels), the widest first.
_IN_A_FRAME: Final = {
    "card": ((460, 470), (420, 510), (360, 570), (320, 640), (0, 655)),
    "bar": ((480, 145), (360, 183), (0, 206)),
    "compact": ((620, 80), (360, 117), (0, 146)),
    "counter": ((0, 48),),
}
_MARGINS: Final = 40  # pixels of a phone's window that are not the frame's


def reserve(variant: str) -> Markup:
    """The CSS that reserves the widget's space on a page; none for the counter."""
    if variant not in _RESERVED:
        return escape("")
    height, window, height_there = _RESERVED[variant]
    return Markup(
        "<style>membership-progress {{ display: block; min-height: {}em }} "
        "@media (max-width: {}em) {{ membership-progress {{ min-height: {}em }} }}</style>\n"
    ).format(height, window, height_there)


def frame_height(variant: str, width: int) -> int:
    """Pixels that a frame of this many pixels' width needs."""
    return next(height for least, height in _IN_A_FRAME[variant] if width >= least)


def frame_style(variant: str, width: int = 10_000) -> str:
    """CSS of a frame that is at most this wide, and as wide as its window: its height at each.

    Each narrower step begins below a width of the window: ``min(height, 99 * (width - 100vw))``.
    """
    heights = [f"{frame_height(variant, width)}px"]
    steps = _IN_A_FRAME[variant]
    for (least, _wider), (_narrower, height) in pairwise(steps):
        if least <= width:
            heights.append(f"min({height}px, ({least + _MARGINS}px - 100vw) * 99)")
    return f"height: max({', '.join(heights)})"


def variant_for(width: int, height: int) -> str:
    """The largest variant that fits a frame; the compact one where none does."""
    fits = (variant for variant in ("card", "bar") if frame_height(variant, width) <= height)
    return next(fits, "compact")
