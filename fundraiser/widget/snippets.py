"""Code snippets that embed the widget in each kind of site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask_babel import force_locale, format_decimal
from markupsafe import Markup, escape

from fundraiser.members.models import Interval
from fundraiser.texts import by_language, gettext as _, language
from fundraiser.widget.appearance import of_the_goal, words
from fundraiser.widget.picture import SHAPES
from fundraiser.widget.script import current_script

if TYPE_CHECKING:
    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress
    from fundraiser.campaigns.theme import Theme

VARIANTS = ("card", "bar", "compact", "counter")

# Measured in Chromium, in English and Ukrainian: (em, and in a window of less than so many em, em).
_RESERVED = {"card": (27, 36, 32), "bar": (8, 22, 10.4), "compact": (3.8, 32, 6.2)}
_FRAME_HEIGHTS = {"card": 440, "bar": 150, "compact": 90, "counter": 48}  # pixels, 600 wide
_FRAME_WIDTH = 600


@dataclass(frozen=True, slots=True)
class Choice:
    """How a site shows the widget; ``lang`` is empty if the page's language decides."""

    variant: str
    theme: Theme
    accent: str
    tier: str
    interval: Interval
    currency: str
    lang: str

    def attributes(self, campaign: Campaign) -> dict[str, str]:
        """The element's attributes that differ from the campaign's settings."""
        usual = {
            "variant": "card",
            "theme": campaign.theme,
            "accent": campaign.accent,
            "tier": campaign.default_tier,
            "interval": Interval.MONTH,
            "currency": campaign.default_currency,
            "lang": "",
        }
        return {
            name: str(getattr(self, name))
            for name, value in usual.items()
            if getattr(self, name) != value
        }


@dataclass(frozen=True, slots=True)
class Snippet:
    """A snippet; ``says`` explains where to put the code."""

    name: str
    title: str
    says: str
    code: str


def snippets(
    campaign: Campaign, progress: Progress, choice: Choice, public_url: str
) -> list[Snippet]:
    """The snippets for each kind of site, with visible text in the chosen language."""
    page = f"{public_url}/campaigns/{campaign.slug}"
    attributes = choice.attributes(campaign)
    lang = choice.lang or language()
    with force_locale(lang):
        headline = by_language(campaign.headlines)
        alternative = _("How many members we have, and how many we need")
        # Who has no JavaScript is led back to the article by the address that the browser names.
        link = Markup('<a href="{}" referrerpolicy="no-referrer-when-downgrade">{}</a>').format(
            page, words(campaign)["join"]
        )
        number = Markup("<p><strong>{}</strong> {}</p>\n  <p>{}</p>").format(
            format_decimal(progress.members),
            of_the_goal(campaign, format_decimal(progress.goal)),
            link,
        )
    style = reserve(choice.variant)
    script = Markup('<script async src="{}/widget.js"></script>\n').format(public_url)
    element = _element(campaign, attributes, link)
    query = urlencode(attributes | {"lang": lang})
    pinned = current_script()
    picture = SHAPES["card"]
    return [
        Snippet(
            "html",
            _("Any site"),
            _(
                "The first line keeps the place free, so that the article does not move: it may "
                "stand in the site’s style sheet instead. The second is needed once a page."
            ),
            style + script + element,
        ),
        Snippet(
            "ghost",
            "Ghost",
            _(
                "The first part goes into Settings, Code injection, Site header; the second into "
                "an HTML card in a post or a page."
            ),
            style + script + "\n" + element,
        ),
        Snippet(
            "wordpress",
            "WordPress",
            _(
                "Paste the address alone into a paragraph: WordPress shows the card behind it in a "
                "frame. Administrators may put the code for any site into a Custom HTML block."
            ),
            f"{page}?lang={lang}",
        ),
        Snippet(
            "server",
            _("A site that renders on its server"),
            _(
                "Readers see the number before any script has run. The server fills it in from "
                "%(address)s, which it may keep for a second.",
                address=f"{page}/progress",
            ),
            style + script + _element(campaign, attributes, number),
        ),
        Snippet(
            "pinned",
            _("A site that pins what it loads"),
            _(
                "This script never changes, and a browser refuses any other. The site takes "
                "improvements by changing this line."
            ),
            Markup(
                '<script async src="{}/widget-{}.js" integrity="{}" crossorigin="anonymous">'
                "</script>\n"
            ).format(public_url, pinned.hash, pinned.integrity),
        ),
        Snippet(
            "iframe",
            _("A site that allows no scripts of others"),
            _("A frame, shut off from the page around it. Its height is fixed."),
            Markup(
                '<iframe src="{}" width="100%" height="{}" title="{}" frameborder="0" '
                'loading="lazy"\n  sandbox="allow-scripts '
                'allow-top-navigation-by-user-activation"></iframe>\n'
            ).format(
                f"{page}/embed?{query}",
                _FRAME_HEIGHTS[choice.variant],
                headline,
            ),
        ),
        Snippet(
            "newsletter",
            _("A newsletter"),
            _(
                "A picture that is drawn when the letter is opened. Many mail programs keep the "
                "one that they loaded first, so the text says no number."
            ),
            Markup('<a href="{}"><img src="{}" width="{}" height="{}"\n  alt="{}"></a>\n').format(
                page,
                f"{page}/progress.png?lang={lang}",
                _FRAME_WIDTH,
                _FRAME_WIDTH * picture.height // picture.width,
                alternative,
            ),
        ),
    ]


def _element(campaign: Campaign, attributes: dict[str, str], child: Markup) -> Markup:
    told = Markup("").join(Markup(' {}="{}"').format(*each) for each in attributes.items())
    return Markup('<membership-progress campaign="{}"{}>\n  {}\n</membership-progress>\n').format(
        campaign.slug, told, child
    )


def reserve(variant: str) -> Markup:
    """The CSS that reserves the widget's space; none for the counter."""
    if variant not in _RESERVED:
        return escape("")
    height, window, height_there = _RESERVED[variant]
    return Markup(
        "<style>membership-progress {{ display: block; min-height: {}em }} "
        "@media (max-width: {}em) {{ membership-progress {{ min-height: {}em }} }}</style>\n"
    ).format(height, window, height_there)
