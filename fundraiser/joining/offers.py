"""What a page offers to a reader: tiers with their prices, and the switches above them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from babel.lists import format_list
from babel.numbers import get_currency_name, get_currency_symbol

from fundraiser.members.models import SOLD, Interval
from fundraiser.money import Money, fee_to_cover, format_money
from fundraiser.payments.checkout import CURRENCIES, price_of
from fundraiser.texts import by_language, gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fundraiser.payments.models import Tier

ONCE = "once"
_SHORT_WORD = re.compile(r"(?<=\s)(\w) ")


@dataclass(frozen=True, slots=True)
class Offer:
    """A tier as a reader sees it; ``amount`` in the currency's smallest unit."""

    slug: str
    name: str
    description: str
    perks: list[str]
    amount: int
    money: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Switch:
    """One position of a switch, which is a link; ``name`` is said where the text is a mere sign."""

    text: str
    href: str
    current: bool
    name: str = ""


def keep_short_words(text: str) -> str:
    """A line of a headline begins with no dash, and ends with no word of one e-mail."""
    return _SHORT_WORD.sub("\\1\xa0", text.replace(" — ", "\xa0— "))


def money(amount: int, currency: str) -> str:
    """An amount as the page's language writes it."""
    return format_money(Money(amount, currency), language())


def symbol(currency: str) -> str:
    """The currency's sign, which is the same in every language."""
    return str(get_currency_symbol(currency, locale="en"))


def offers(
    tiers: Iterable[Tier], interval: Interval, currency: str, chosen: str | None
) -> list[Offer]:
    """The tiers that are sold so, in their order."""
    return _offers(tiers, interval, currency, chosen, times=1)


def gift_offers(
    tiers: Iterable[Tier], years: int, currency: str, chosen: str | None
) -> list[Offer]:
    """The tiers that are sold by the year, each with what so many years of it cost."""
    return _offers(tiers, Interval.YEAR, currency, chosen, times=years)


def _offers(
    tiers: Iterable[Tier], interval: Interval, currency: str, chosen: str | None, *, times: int
) -> list[Offer]:
    return [
        Offer(
            slug=tier.slug,
            name=by_language(tier.names),
            description=by_language(tier.descriptions),
            perks=by_language(tier.perks).splitlines(),
            amount=price.amount * times,
            money=money(price.amount * times, currency),
            chosen=tier.slug == chosen,
        )
        for tier in tiers
        if (price := price_of(tier, interval, currency))
    ]


def intervals_sold(tiers: Iterable[Tier]) -> list[Interval]:
    """How often these tiers can be paid, in whatever currency."""
    sold = {price.interval for tier in tiers for price in tier.prices}
    return [interval for interval in SOLD if interval in sold]


def currencies_sold(tiers: Iterable[Tier]) -> list[str]:
    """In which currencies these tiers can be paid, however often."""
    sold = {price.currency for tier in tiers for price in tier.prices}
    return [currency for currency in CURRENCIES if currency in sold]


def interval_switches(
    chosen: Interval | None,
    address: Callable[[str], str],
    tiers: Iterable[Tier],
    *,
    with_once: bool,
) -> list[Switch]:
    """Every month, once a year, and, on the join page, one time."""
    texts = {Interval.MONTH: _("Every month"), Interval.YEAR: _("Once a year")}
    switches = [
        Switch(texts[interval], address(interval), chosen is interval)
        for interval in intervals_sold(tiers)
    ]
    if with_once:
        switches.append(Switch(_("One time"), address(ONCE), chosen is None))
    return switches


def currency_switches(
    chosen: str, address: Callable[[str], str], currencies: Iterable[str]
) -> list[Switch]:
    """These currencies by their signs."""
    return [
        Switch(
            symbol(currency),
            address(currency),
            currency == chosen,
            get_currency_name(currency, locale=language()),
        )
        for currency in currencies
    ]


def fee_examples(amounts: Iterable[int], currency: str) -> str:
    """What covering the card's fee adds to each of these amounts, as one sentence."""
    examples = [
        _(
            "%(fee)s to %(amount)s",
            fee=money(fee_to_cover(Money(amount, currency)), currency),
            amount=money(amount, currency),
        )
        for amount in amounts
    ]
    return _("It adds %(examples)s.", examples=format_list(examples, locale=language()))
