"""What a page offers readers: tiers with prices, and the interval and currency switches."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from babel.lists import format_list
from babel.numbers import get_currency_name, get_currency_symbol

from fundraiser.members.models import SOLD, Interval
from fundraiser.money import Money, fee_to_cover, format_money, write_amount
from fundraiser.payments.checkout import CURRENCIES, MOST, price_of
from fundraiser.texts import by_language, gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fundraiser.payments.models import Tier

ONCE = "once"
_SHORT_WORD = re.compile(r"(?<=\s)(\w) ")


@dataclass(frozen=True, slots=True)
class Offer:
    """A tier as readers see it; ``amount`` in the currency's smallest unit.

    ``saving`` says what paying by the year saves, if it does.
    """

    slug: str
    name: str
    description: str
    perks: list[str]
    amount: int
    money: str
    chosen: bool
    saving: str | None = None


@dataclass(frozen=True, slots=True)
class Switch:
    """An option of a switch; ``name`` is its label if the text is a symbol.

    ``target`` is a link's URL, or what the form's button sends (``interval=year``).
    """

    text: str
    target: str
    current: bool
    name: str = ""


def keep_short_words(text: str) -> str:
    """Keep dashes and one-letter words from the wrong end of a headline's line."""
    return _SHORT_WORD.sub("\\1\xa0", text.replace(" — ", "\xa0— "))


def money(amount: int, currency: str) -> str:
    """Format an amount in the page's language."""
    return format_money(Money(amount, currency), language())


def symbol(currency: str) -> str:
    """The currency's sign, the same in every language."""
    return str(get_currency_symbol(currency, locale="en"))


def offers(
    tiers: Iterable[Tier], interval: Interval, currency: str, chosen: str | None
) -> list[Offer]:
    """The tiers with a price for this interval and currency, in order."""
    return [
        replace(offer, saving=_saving(tier, interval, currency))
        for tier, offer in _offers(tiers, interval, currency, chosen, times=1)
    ]


def gift_offers(
    tiers: Iterable[Tier], years: int, currency: str, chosen: str | None
) -> list[Offer]:
    """The tiers sold by the year, with their price for so many years."""
    offered = _offers(tiers, Interval.YEAR, currency, chosen, times=years)
    return [offer for _tier, offer in offered]


def _offers(
    tiers: Iterable[Tier], interval: Interval, currency: str, chosen: str | None, *, times: int
) -> list[tuple[Tier, Offer]]:
    return [
        (
            tier,
            Offer(
                slug=tier.slug,
                name=by_language(tier.names),
                description=by_language(tier.descriptions),
                perks=by_language(tier.perks).splitlines(),
                amount=price.amount * times,
                money=money(price.amount * times, currency),
                chosen=tier.slug == chosen,
            ),
        )
        for tier in tiers
        if (price := price_of(tier, interval, currency))
    ]


def _saving(tier: Tier, interval: Interval, currency: str) -> str | None:
    monthly, yearly = (price_of(tier, each, currency) for each in (Interval.MONTH, Interval.YEAR))
    saved = 12 * monthly.amount - yearly.amount if monthly and yearly else 0
    if yearly is None or saved <= 0:
        return None
    if interval is Interval.YEAR:
        return _("Saves %(saved)s compared with paying monthly.", saved=money(saved, currency))
    return _(
        "Or %(amount)s a year, which saves %(saved)s.",
        amount=money(yearly.amount, currency),
        saved=money(saved, currency),
    )


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An amount to choose instead of typing it: ``typed`` is what the field then holds."""

    money: str
    typed: str


def suggestions(
    tiers: Iterable[Tier], interval: Interval | None, currency: str
) -> list[Suggestion]:
    """Amounts that go with the tiers: for a single payment theirs too, otherwise above them."""
    basis = interval or Interval.MONTH
    known = sorted({price.amount for tier in tiers if (price := price_of(tier, basis, currency))})
    above = [known[-1] * times for times in (2, 4)] if known else []
    amounts = above if interval else [*known, *above]
    return [
        Suggestion(money(amount, currency), write_amount(Money(amount, currency)))
        for amount in amounts
        if amount <= MOST
    ]


def intervals_sold(tiers: Iterable[Tier]) -> list[Interval]:
    """The intervals in which these tiers are sold, in any currency."""
    sold = {price.interval for tier in tiers for price in tier.prices}
    return [interval for interval in SOLD if interval in sold]


def currencies_sold(tiers: Iterable[Tier]) -> list[str]:
    """The currencies in which these tiers are sold, at any interval."""
    sold = {price.currency for tier in tiers for price in tier.prices}
    return [currency for currency in CURRENCIES if currency in sold]


def interval_switches(
    chosen: Interval | None,
    target: Callable[[str], str],
    tiers: Iterable[Tier],
    *,
    with_once: bool,
) -> list[Switch]:
    """Options for monthly, yearly and, on the join page, one-time."""
    texts = {Interval.MONTH: _("Monthly"), Interval.YEAR: _("Yearly")}
    switches = [
        Switch(texts[interval], target(interval), chosen is interval)
        for interval in intervals_sold(tiers)
    ]
    if with_once:
        switches.append(Switch(_("Once"), target(ONCE), chosen is None))
    return switches


def currency_switches(
    chosen: str, target: Callable[[str], str], currencies: Iterable[str]
) -> list[Switch]:
    """Options for these currencies, by their signs."""
    return [
        Switch(
            symbol(currency),
            target(currency),
            currency == chosen,
            get_currency_name(currency, locale=language()),
        )
        for currency in currencies
    ]


def fee_examples(amounts: Iterable[int], currency: str) -> str:
    """A sentence with what covering the card's fee adds to each amount."""
    examples = [
        _(
            "%(fee)s to %(amount)s",
            fee=money(fee_to_cover(Money(amount, currency)), currency),
            amount=money(amount, currency),
        )
        for amount in amounts
    ]
    return _("This adds %(examples)s.", examples=format_list(examples, locale=language()))
