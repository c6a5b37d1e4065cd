"""Parse and validate the join page's choices."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlunsplit

from fundraiser.addresses import read_url
from fundraiser.errors import UnprocessableError
from fundraiser.forms import read_email
from fundraiser.joining.offers import ONCE
from fundraiser.members.models import SOLD, Interval
from fundraiser.money import Money, write_amount
from fundraiser.payments.amounts import LONGEST_AMOUNT, read_amount
from fundraiser.payments.checkout import CURRENCIES, Choice, price_of, tier_for
from fundraiser.texts import gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from fundraiser.campaigns.models import Campaign
    from fundraiser.payments.models import Checkout, Tier

_LONGEST_ADDRESS = 2000
_LONGEST_REF = 200
SWITCHES = frozenset({"interval", "currency", "years", "amount"})
_UTM = ("utm_source", "utm_medium", "utm_campaign")


@dataclass(slots=True)
class Wish:
    """The reader's input, valid or not.

    ``interval`` is None for a one-time contribution. ``amount`` is as typed. ``errors`` are
    messages by field. ``email`` is where to send one reminder if the join isn't finished, if the
    reader ticked that. ``is_astray``: the reader came from a site that isn't on the campaign's
    list, so we can't lead them back.
    """

    campaign: str
    interval: Interval | None
    currency: str
    tier: str | None
    amount: str = ""
    cover_fee: bool = False
    ref: str | None = None
    utm: str | None = None
    return_url: str | None = None
    email: str = ""
    write_to_me: bool = False
    invite: str | None = None
    errors: dict[str, str] = field(default_factory=dict)
    is_astray: bool = False

    def as_query(self) -> dict[str, str]:
        """The join page's URL with these choices, without a typed amount."""
        named = {
            "campaign": self.campaign,
            "tier": self.tier,
            "interval": self.interval or ONCE,
            "currency": self.currency,
            "ref": self.ref,
            "utm": self.utm,
            "return": self.return_url,
            "invite": self.invite,
        }
        return {name: value for name, value in named.items() if value}

    def as_choice(self, tiers: Sequence[Tier]) -> Choice:
        """The checkout's input; notes an error if the amount or the address is invalid.

        Own amounts below the chosen tier's price buy the dearest of ``tiers`` that they cover.
        """
        typed = self.amount.strip()
        amount = None
        try:
            amount = read_amount(typed, self.currency) if typed else None
        except UnprocessableError as error:
            self.errors["amount"] = error.sentence
        wants_reminder = self.write_to_me and self.interval is not None
        if wants_reminder:
            try:
                self.email = read_email(self.email)
            except UnprocessableError as error:
                self.errors["email"] = error.sentence
        return Choice(
            campaign=self.campaign,
            tier=tier_for(tiers, self.tier, self.interval, self.currency, amount)
            if self.interval
            else None,
            interval=self.interval,
            currency=self.currency,
            amount=amount,
            cover_fee=self.cover_fee,
            language=language(),
            ref=self.ref,
            utm=self.utm,
            return_url=self.return_url,
            invite=self.invite,
            email=self.email if wants_reminder else None,
        )


def read_wish(values: Mapping[str, str], campaign: Campaign, tiers: Sequence[Tier]) -> Wish:
    """Parse the URL or form; replaces unavailable choices by defaults and notes errors."""
    back = values.get("return", "")
    is_allowed = _leads_to_one_of(campaign.sites, back)
    wish = Wish(
        campaign=campaign.slug,
        interval=Interval.MONTH,
        currency=campaign.default_currency,
        tier=campaign.default_tier,
        amount=values.get("amount", "").strip()[: 2 * LONGEST_AMOUNT],
        cover_fee=values.get("cover_fee") == "yes",
        ref=values.get("ref", "")[:_LONGEST_REF] or None,
        utm=read_utm(values),
        return_url=back if is_allowed else None,
        is_astray=bool(back) and not is_allowed,
        email=values.get("email", ""),
        write_to_me=values.get("write_to_me") == "yes",
        invite=values.get("invite", "")[:_LONGEST_REF] or None,
    )
    interval, currency, tier = (values.get(name, "") for name in ("interval", "currency", "tier"))
    if interval == ONCE:
        wish.interval = None
    elif interval in SOLD:
        wish.interval = Interval(interval)
    elif interval:
        wish.errors["interval"] = _("Choose how often you pay: monthly, yearly or once.")
    if currency.upper() in CURRENCIES:
        wish.currency = currency.upper()
    elif currency:
        wish.errors["currency"] = _(
            "Choose one of our currencies: %(currencies)s.", currencies=", ".join(CURRENCIES)
        )
    # Who looks at giving once keeps the tier for the way back.
    offered = [found.slug for found in tiers if wish.interval is None or _price(found, wish)]
    if tier in offered:
        wish.tier = tier
    elif wish.interval and tier:
        wish.errors["tier"] = _("Choose one of the memberships on offer.")
    return wish


def switched(form: Mapping[str, str]) -> dict[str, str]:
    """The form's values after a press on one of its switches, such as ``interval=year``."""
    name, _equals, value = form["switch"].partition("=")
    return {**form, name: value} if name in SWITCHES else dict(form)


def led_back(
    values: Mapping[str, str], campaign: Campaign, came_from: str | None
) -> dict[str, str]:
    """The URL's values, with a return address for readers who followed a plain link.

    ``came_from`` is the browser's referrer: a page, or only its origin, depending on that site's
    policy. It is used if it is on the campaign's list.
    """
    if not values.get("return") and came_from and _leads_to_one_of(campaign.sites, came_from):
        return {**values, "return": came_from}
    return dict(values)


def read_utm(values: Mapping[str, str]) -> str | None:
    """The UTM tags of the link that led here or to the article: source / medium / campaign."""
    if said := values.get("utm"):
        return said[:_LONGEST_REF]
    article = dict(parse_qsl(read_url(values.get("return", "")).query))
    for query in (values, article):
        said = " / ".join(tag for name in _UTM if (tag := query.get(name, "").strip()))
        if said:
            return said[:_LONGEST_REF]
    return None


def wish_of(checkout: Checkout, tiers: Sequence[Tier]) -> Wish:
    """The input of a reader who comes back from the payment page."""
    wish = Wish(
        campaign=checkout.campaign,
        interval=checkout.interval,
        currency=checkout.currency,
        tier=checkout.tier,
        cover_fee=checkout.fee > 0,
        ref=checkout.ref,
        utm=checkout.utm,
        return_url=checkout.return_url,
        invite=checkout.invite,
    )
    amount = checkout.amount - checkout.fee
    if amount not in {_price(tier, wish) for tier in tiers if tier.slug == wish.tier}:
        wish.amount = write_amount(Money(amount, checkout.currency))
    return wish


def return_address(checkout: Checkout, *, joined: bool) -> str | None:
    """The URL of the article to return to; its fragment tells the widget to say thanks."""
    if checkout.return_url is None:
        return None
    parts = read_url(checkout.return_url)
    fragment = f"joined={checkout.campaign}" if joined else parts.fragment
    return urlunsplit(parts._replace(fragment=fragment))


def site_alone(checkout: Checkout) -> str | None:
    """The site's name if the return address is its front page and not an article."""
    parts = read_url(checkout.return_url or "")
    return parts.netloc if parts.path in {"", "/"} and not parts.query else None


def one_later(day: datetime, interval: Interval) -> datetime:
    """The same day of the next month or year, or the month's last day."""
    months = day.month + (1 if interval is Interval.MONTH else 12)
    year, month = day.year + (months - 1) // 12, (months - 1) % 12 + 1
    return day.replace(year=year, month=month, day=min(day.day, monthrange(year, month)[1]))


def _price(tier: Tier, wish: Wish) -> int | None:
    price = price_of(tier, wish.interval, wish.currency) if wish.interval else None
    return price.amount if price else None


def _leads_to_one_of(sites: Sequence[str], address: str) -> bool:
    parts = read_url(address)
    # Browsers read a backslash as a slash, and Python does not.
    is_plain = "\\" not in address and len(address) <= _LONGEST_ADDRESS
    return is_plain and f"{parts.scheme}://{parts.netloc}" in sites
