"""Progress as a picture: a strip for e-mails and pages without JavaScript, or a card."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import resvg_py
from flask import render_template
from flask_babel import force_locale, format_decimal

from fundraiser.campaigns.models import CampaignStatus
from fundraiser.joining.states import message_after, state_of
from fundraiser.texts import by_language
from fundraiser.widget.appearance import of_the_goal, words

if TYPE_CHECKING:
    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress

_FONTS = [str(font) for font in sorted(Path(__file__).parent.joinpath("fonts").glob("*.ttf"))]
_OVER = 0.96  # of the axis is filled, where the number is beyond the goal
_HEADLINE_LENGTH = 30  # characters a line
_GREY = "#555b58"
_LETTER = 0.53  # of the font size, on average


@dataclass(frozen=True, slots=True)
class Shape:
    """A picture's layout in pixels."""

    name: str
    width: int
    height: int
    left: int
    axis: int
    figures_at: int
    figure_size: int
    text_size: int
    bar_at: int
    bar_height: int
    message_length: int  # characters


SHAPES = {
    "strip": Shape("strip", 640, 160, 0, 640, 58, 64, 24, 88, 14, 90),
    "card": Shape("card", 1200, 630, 80, 1040, 452, 128, 36, 500, 26, 110),
}


def draw(campaign: Campaign, progress: Progress, *, language: str, shape: Shape) -> str:
    """Render the figures as SVG, in one of our languages."""
    with force_locale(language):
        said = words(campaign)
        headline = by_language(campaign.headlines).replace(" — ", "\xa0— ")
        members = format_decimal(progress.members)
        if progress.surplus:
            of_goal = said["beyond"].replace("#", format_decimal(progress.surplus))
        else:
            of_goal = of_the_goal(campaign, format_decimal(progress.goal))
        state = state_of(campaign, progress)
        message = message_after(campaign, progress) or by_language(campaign.messages)
        if state and state.name == "last-day" and shape.name == "strip":
            message = f"{state}. {message}"
        message = textwrap.shorten(message, shape.message_length, placeholder="…")
        over = progress.status in {CampaignStatus.ENDED, CampaignStatus.ARCHIVED}
        scale = shape.axis / max(progress.goal, progress.members / _OVER)
        goal_at = round(progress.goal * scale)
        filled = round(progress.members * scale, 1)
        return render_template(
            "widget/picture.svg",
            shape=shape.name,
            width=shape.width,
            height=shape.height,
            left=shape.left,
            axis=shape.axis,
            figures_at=shape.figures_at,
            figure_size=shape.figure_size,
            text_size=shape.text_size,
            bar_at=shape.bar_at,
            bar_height=shape.bar_height,
            members=members,
            of_goal=of_goal,
            of_goal_size=_fitting(
                of_goal, shape.text_size, shape.axis - (len(members) + 1) * shape.figure_size / 2
            ),
            label=f"{members} {of_goal}",
            headline=textwrap.wrap(headline, _HEADLINE_LENGTH)[:3],
            message=message,
            message_size=_fitting(message, shape.text_size * 0.8, shape.axis),
            state=state,
            accent=_GREY if over else campaign.accent,
            goal_at=goal_at,
            filled=min(filled, goal_at),
            hatched=max(filled - goal_at, 0),
        )


def _fitting(text: str, size: float, width: float) -> float:
    """The font size at which a text takes at most this width, by the width of most letters."""
    return round(min(size, width / (_LETTER * len(text))), 1)


@lru_cache(maxsize=64)
def paint(svg: str) -> bytes:
    """Render the figures as PNG, with the fonts in this folder."""
    return resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, font_files=_FONTS)
