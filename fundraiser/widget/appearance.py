"""The widget's texts, tiers and colours, in the page's language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babel import Locale, UnknownLocaleError
from flask_babel import force_locale, format_decimal, ngettext

from fundraiser.campaigns.models import Counts
from fundraiser.campaigns.progress import iso
from fundraiser.joining.offers import currencies_sold, intervals_sold
from fundraiser.members.models import Interval
from fundraiser.money import Money, format_money
from fundraiser.texts import (
    DEFAULT_LANGUAGE,
    LANGUAGES,
    date,
    each_time,
    gettext as _,
    known_language,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.campaigns.models import Campaign
    from fundraiser.payments.models import Price, Tier


def spoken(tag: str) -> tuple[str, str]:
    """The text language and number locale for a page's declared language.

    A page in an unsupported language gets texts in the default language, and its own number format.
    """
    try:
        locale = Locale.parse(tag, sep="-" if "-" in tag else "_")
    except (UnknownLocaleError, ValueError, TypeError):
        return DEFAULT_LANGUAGE, "en-GB"
    return known_language(locale.language), "en-GB" if str(locale) == "en" else str(locale).replace(
        "_", "-"
    )


def describe(
    campaign: Campaign, tiers: Sequence[Tier], *, tag: str, public_url: str
) -> dict[str, Any]:
    """The public appearance JSON; texts and prices are in the language that it names."""
    language, locale = spoken(tag)
    with force_locale(language):
        offers = [
            {
                "tier": tier.slug,
                "name": _in_each_language(tier.names),
                "prices": [_price(price, language) for price in tier.prices],
            }
            for tier in tiers
        ]
        said = words(campaign)
    return {
        "campaign": campaign.slug,
        "revision": campaign.revision,
        "starts": iso(campaign.starts_at),
        "headline": _in_each_language(campaign.headlines),
        "message": _in_each_language(campaign.messages),
        "intervals": intervals_sold(tiers),
        "currencies": currencies_sold(tiers),
        "tiers": offers,
        "default": {
            "tier": campaign.default_tier,
            "interval": Interval.MONTH,
            "currency": campaign.default_currency,
        },
        "look": {"theme": campaign.theme, "accent": campaign.accent},
        "links": {
            "join": f"{public_url}/join",
            "campaign": f"{public_url}/campaigns/{campaign.slug}",
        },
        "language": language,
        "locale": locale,
        "words": said,
    }


def words(campaign: Campaign) -> dict[str, str]:
    """The widget's texts; # stands for a number or duration that only the widget knows."""
    ended = _("The campaign ended on %(date)s.", date=date(campaign.deadline))
    goal = format_decimal(campaign.goal)
    if campaign.counts is Counts.NEW:
        beyond = _("new members, %(more)s more than the goal of %(goal)s", more="#", goal=goal)
    else:
        beyond = _("members, %(more)s more than the goal of %(goal)s", more="#", goal=goal)
    return {
        "of": of_the_goal(campaign, "#"),
        "beyond": beyond,
        "beyond_short": _("new members") if campaign.counts is Counts.NEW else _("members"),
        "scheduled": _("The campaign starts on %(date)s.", date=date(campaign.starts_at)),
        "running": _("The campaign ends %(when)s.", when="#"),
        "reached": _(
            "We’ve reached the goal and are still counting. The campaign ends %(when)s.",
            when="#",
        ),
        "ended": ended,
        "archived": ended,
        "as_of": _("This number is from"),
        "join": _("Become a member"),
        "join_short": _("Join"),
        "thanks": _("Thank you. You’re one of our members now."),
        "tier": _("Membership"),
        "interval": _("How often"),
        "currency": _("Currency"),
        Interval.MONTH: _("Monthly"),
        Interval.YEAR: _("Yearly"),
    }


def of_the_goal(campaign: Campaign, goal: str) -> str:
    """The text after the number, below the goal: of 25,000 members."""
    count = campaign.goal
    if campaign.counts is Counts.NEW:
        return str(ngettext("of %(goal)s new member", "of %(goal)s new members", count, goal=goal))
    return str(ngettext("of %(goal)s member", "of %(goal)s members", count, goal=goal))


def _in_each_language(texts: dict[str, str]) -> dict[str, str]:
    # A dash stays with the word before it.
    return {
        code: (texts.get(code) or texts[DEFAULT_LANGUAGE]).replace(" — ", "\xa0— ")
        for code in LANGUAGES
    }


def _price(price: Price, language: str) -> dict[str, Any]:
    amount = format_money(Money(price.amount, price.currency), language)
    return {
        "interval": price.interval,
        "currency": price.currency,
        "amount": price.amount,
        "text": each_time(amount, price.interval),
    }
