"""Code snippets that embed the widget in each kind of site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flask_babel import force_locale, format_decimal
from markupsafe import Markup

from fundraiser.members.models import Interval
from fundraiser.texts import by_language, gettext as _, language
from fundraiser.widget.appearance import of_the_goal, words
from fundraiser.widget.heights import frame_height, frame_style, reserve
from fundraiser.widget.picture import SHAPES
from fundraiser.widget.script import current_script

if TYPE_CHECKING:
    from fundraiser.campaigns.models import Campaign
    from fundraiser.campaigns.progress import Progress
    from fundraiser.campaigns.theme import Theme

VARIANTS = ("card", "bar", "compact", "counter")

_PICTURE_WIDTH = 600


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
        alternative = _("How many members we have and how many we need")
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
                "The first line reserves the space, so the article doesn’t jump; you "
                "can put it in the site’s style sheet instead. You need the second "
                "line once per page."
            ),
            style + script + element,
        ),
        Snippet(
            "ghost",
            "Ghost",
            _(
                "Put the first part into Settings, Code injection, Site header, and "
                "the second into an HTML card in a post or page."
            ),
            style + script + "\n" + element,
        ),
        Snippet(
            "wordpress",
            "WordPress",
            _(
                "Paste just the address into a paragraph: WordPress shows the card in "
                "a frame. Administrators can put the code for any site into a Custom "
                "HTML block."
            ),
            f"{page}?lang={lang}",
        ),
        Snippet(
            "server",
            _("A server-rendered site"),
            _(
                "Readers see the number before any script has run. Your server fills "
                "it in from %(address)s, which it may cache for a second.",
                address=f"{page}/progress",
            ),
            style + script + _element(campaign, attributes, number),
        ),
        Snippet(
            "pinned",
            _("A site that pins its scripts"),
            _(
                "This script never changes, and browsers refuse any other version. To "
                "get improvements, change this line."
            ),
            Markup(
                '<script async src="{}/widget-{}.js" integrity="{}" crossorigin="anonymous">'
                "</script>\n"
            ).format(public_url, pinned.hash, pinned.integrity),
        ),
        Snippet(
            "iframe",
            _("A site that doesn’t allow third-party scripts"),
            _("A frame, isolated from the page around it. Its height follows its width."),
            Markup(
                '<iframe src="{}" width="100%" height="{}" style="{}" title="{}" frameborder="0" '
                'loading="lazy"\n  sandbox="allow-scripts '
                'allow-top-navigation-by-user-activation"></iframe>\n'
            ).format(
                f"{page}/embed?{query}",
                frame_height(choice.variant, 0),
                frame_style(choice.variant),
                headline,
            ),
        ),
        Snippet(
            "newsletter",
            _("A newsletter"),
            _(
                "A picture drawn when the reader opens the e-mail. Many mail apps "
                "keep the first version they loaded, so the alternative text has no "
                "number."
            ),
            Markup('<a href="{}"><img src="{}" width="{}" height="{}"\n  alt="{}"></a>\n').format(
                page,
                f"{page}/progress.png?lang={lang}",
                _PICTURE_WIDTH,
                _PICTURE_WIDTH * picture.height // picture.width,
                alternative,
            ),
        ),
    ]


def _element(campaign: Campaign, attributes: dict[str, str], child: Markup) -> Markup:
    told = Markup("").join(Markup(' {}="{}"').format(*each) for each in attributes.items())
    return Markup('<membership-progress campaign="{}"{}>\n  {}\n</membership-progress>\n').format(
        campaign.slug, told, child
    )
