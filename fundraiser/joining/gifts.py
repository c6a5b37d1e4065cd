"""Parse and validate the gift page's choices."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date as date_type, datetime, time, timedelta
from typing import TYPE_CHECKING

from fundraiser.addresses import LONGEST as LONGEST_ADDRESS, read_address, to_ascii
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.members.gifts import YEARS, Tell
from fundraiser.members.models import Interval
from fundraiser.members.names import has_link, read_name, refusal_of_name
from fundraiser.payments.checkout import CURRENCIES, GiftChoice, price_of
from fundraiser.texts import DEFAULT_LANGUAGE, LANGUAGES, gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundraiser.campaigns.models import Campaign
    from fundraiser.payments.models import Checkout, Tier

LONGEST_MESSAGE = 500
_MORNING = time(9)  # in the newsroom's zone
_FURTHEST = timedelta(days=366)


@dataclass(slots=True)
class GiftWish:
    """The giver's input, valid or not; texts are as typed.

    ``errors`` are messages by field.
    """

    campaign: str
    tier: str | None
    years: int
    currency: str
    giver_name: str = ""
    recipient_name: str = ""
    recipient_email: str = ""
    message: str = ""
    to_language: str = DEFAULT_LANGUAGE
    tell: Tell = Tell.NOW
    day: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    def as_query(self) -> dict[str, str]:
        """The gift page's URL with the choices but without the texts."""
        return {"campaign": self.campaign, "years": str(self.years), "currency": self.currency}

    def as_choice(self) -> GiftChoice:
        """The checkout's input; notes an error for each invalid field."""
        tell_at = self._tell_at()
        self._check_texts()
        return GiftChoice(
            campaign=self.campaign,
            tier=self.tier or "",
            years=self.years,
            currency=self.currency,
            giver_name=self.giver_name,
            recipient_name=self.recipient_name,
            recipient_email=None if self.tell is Tell.CARD else self.recipient_email,
            message=self.message,
            to_language=self.to_language,
            tell=self.tell,
            tell_at=tell_at,
            language=language(),
        )

    def _check_texts(self) -> None:
        if not self.recipient_name:
            self.errors["recipient_name"] = _("Enter the recipient’s name.")
        elif refusal := refusal_of_name(self.recipient_name):
            self.errors["recipient_name"] = refusal
        if not self.giver_name:
            self.errors["giver_name"] = _("Enter your name as it should appear on the card.")
        elif refusal := refusal_of_name(self.giver_name):
            self.errors["giver_name"] = refusal
        if self.tell is not Tell.CARD:
            if read_address(self.recipient_email) is None:
                self.errors["recipient_email"] = _(
                    "Enter the recipient’s e-mail address, like name@example.org. Or "
                    "choose the card to print."
                )
            elif to_ascii(self.recipient_email) is None:
                self.errors["recipient_email"] = _(
                    "We can’t send e-mail to an address with characters like ü or я before the @. "
                    "Enter another address, or choose the card to print."
                )
        if len(self.message) > LONGEST_MESSAGE:
            self.errors["message"] = _(
                "The message can have up to %(most)s characters. Shorten it.", most=LONGEST_MESSAGE
            )
        elif has_link(self.message):
            self.errors["message"] = _(
                "Write the message without web or e-mail addresses, and with a space after each "
                "full stop."
            )

    def _tell_at(self) -> datetime | None:
        if self.tell is not Tell.DAY:
            return None
        zone = current_settings().newsroom_timezone
        first, last = days_to_choose()
        try:
            day = date_type.fromisoformat(self.day)
        except ValueError:
            day = date_type.min
        if not first <= day <= last:
            self.errors["day"] = _("Choose a day between tomorrow and a year from now.")
            return None
        return datetime.combine(day, _MORNING, zone)


def days_to_choose() -> tuple[date_type, date_type]:
    """The first and last day on which we can e-mail a recipient."""
    today = now().astimezone(current_settings().newsroom_timezone).date()
    return today + timedelta(days=1), today + _FURTHEST


def read_gift(values: Mapping[str, str], campaign: Campaign, tiers: Sequence[Tier]) -> GiftWish:
    """Parse the URL or form; replaces unavailable choices by defaults and notes errors."""
    wish = GiftWish(
        campaign=campaign.slug,
        tier=None,
        years=1,
        currency=campaign.default_currency,
        giver_name=_line(values, "giver_name"),
        recipient_name=_line(values, "recipient_name"),
        recipient_email=values.get("recipient_email", "").strip()[: 2 * LONGEST_ADDRESS],
        message=values.get("message", "").replace("\r\n", "\n").strip()[: 20 * LONGEST_MESSAGE],
        to_language=language(),
        day=values.get("day", "")[:10],
    )
    years, currency, tier, tell = (
        values.get(name, "") for name in ("years", "currency", "tier", "tell")
    )
    if years in {str(one) for one in YEARS}:
        wish.years = int(years)
    elif years:
        wish.errors["years"] = _("Choose one, two or three years.")
    if currency.upper() in CURRENCIES:
        wish.currency = currency.upper()
    elif currency:
        wish.errors["currency"] = _(
            "Choose one of our currencies: %(currencies)s.", currencies=", ".join(CURRENCIES)
        )
    if values.get("to_language") in LANGUAGES:
        wish.to_language = values["to_language"]
    if tell in set(Tell):
        wish.tell = Tell(tell)
    elif tell:
        wish.errors["tell"] = _("Choose how to deliver the gift.")
    offered = [one.slug for one in tiers if price_of(one, Interval.YEAR, wish.currency)]
    default = campaign.default_tier
    wish.tier = tier if tier in offered else default if default in offered else None
    if tier and tier not in offered:
        wish.errors["tier"] = _("Choose one of the memberships on offer.")
    return wish


def gift_wish_of(checkout: Checkout) -> GiftWish:
    """The input of a giver who comes back from the payment page."""
    written = checkout.gift or {}
    return GiftWish(
        campaign=checkout.campaign,
        tier=checkout.tier,
        years=written.get("years", 1),
        currency=checkout.currency,
        giver_name=written.get("giver_name", ""),
        recipient_name=written.get("recipient_name", ""),
        recipient_email=written.get("recipient_email") or "",
        message=written.get("message", ""),
        to_language=written.get("language", DEFAULT_LANGUAGE),
        tell=Tell(written.get("tell", Tell.NOW)),
        day=(written.get("tell_at") or "")[:10],
    )


def _line(values: Mapping[str, str], name: str) -> str:
    return read_name(values.get(name, ""))
