"""The forms for tiers and campaigns, with their parsers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fundraiser.campaigns.models import Counts
from fundraiser.campaigns.outgoing_webhook import read_hook_url
from fundraiser.config import LOOPBACK, current_settings
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Field, Input, Translated
from fundraiser.members.models import SOLD, Interval
from fundraiser.money import Money, format_money, parse_amount, write_amount
from fundraiser.payments.checkout import CURRENCIES, LEAST, MOST
from fundraiser.texts import N_, date_and_time, each_time, gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_MEMBERS, LONGEST_SLUG = 99_999_999, 40  # the public JSON keeps to its 300 bytes
_SLUG = re.compile(rf"(?!-)(?:[a-z0-9]|-(?!-|$)){{1,{LONGEST_SLUG}}}")
_HOST = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,20}")
_HTTPS = 443
_OURS = {"new"}  # an address of the staff's pages
PriceList = dict[tuple[Interval, str], int]  # by interval and currency, in the smallest unit
_COUNTS = (
    (Counts.ALL.value, N_("All members")),
    (Counts.NEW.value, N_("New members: the number now minus the number at the start")),
)


def read_slug(text: str) -> str:
    """Parse a campaign's slug.

    Raises:
        UnprocessableError: it can't be part of a URL.
    """
    slug = text.strip().lower()
    if not _SLUG.fullmatch(slug) or slug in _OURS:
        raise UnprocessableError(
            _(
                "Use lower-case a–z, digits and single hyphens, like spring-2027, and "
                "no more than %(most)s characters.",
                most=LONGEST_SLUG,
            ),
            field="slug",
        )
    return slug


def read_goal(text: str) -> int:
    """Parse a number of members: 25000, 25 000 or 25,000.

    Raises:
        UnprocessableError: it is no number, or not a possible goal.
    """
    digits = re.sub(r"(?<=\d)[ \xa0\u202f,.'’](?=\d{3}(?!\d))", "", text.strip())
    if not (digits.isascii() and digits.isdecimal()) or not 0 < len(digits) <= len(
        str(MOST_MEMBERS)
    ):
        raise UnprocessableError(_("Enter the goal in digits, like 25000."), field="goal")
    if int(digits) == 0:
        raise UnprocessableError(_("The goal must be at least 1 member."), field="goal")
    return int(digits)


def read_site(text: str, *, is_demonstration: bool) -> str:
    """Parse a site's origin: https://news.example.org.

    Raises:
        UnprocessableError: it is no https origin; a demonstration may use http on this machine.
    """
    try:
        parts = urlsplit(text.strip())
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port and parts.port != _HTTPS else ""
    except (ValueError, UnicodeError):
        parts, host, port = urlsplit(""), "", ""
    is_ours = parts.scheme == "http" and host in LOOPBACK and is_demonstration
    has_more = parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username
    if not _HOST.fullmatch(host) or has_more or not (parts.scheme == "https" or is_ours):
        raise UnprocessableError(
            _(
                "“%(site)s” can’t be used. Enter each site as https:// and its name, "
                "like https://news.example.org, with nothing after it.",
                site=text.strip(),
            ),
            field="sites",
        )
    return f"{parts.scheme}://{host}{port}"


def read_sites(text: str) -> list[str]:
    """Parse sites, one a line, without duplicates.

    Raises:
        UnprocessableError: one of them is no site.
    """
    is_demonstration = current_settings().public_url.startswith("http://")
    lines = [line for line in text.split("\n") if line.strip()]
    sites = [read_site(line, is_demonstration=is_demonstration) for line in lines]
    return list(dict.fromkeys(sites))


def read_time(text: str) -> datetime:
    """Parse a browser's date and time in the newsroom's time zone.

    Raises:
        UnprocessableError: it is invalid, or in the hour skipped when clocks go forward.
    """
    zone = current_settings().newsroom_timezone
    try:
        typed = datetime.fromisoformat(text)
        at = typed.replace(tzinfo=zone).astimezone(UTC)
        exists = at.astimezone(zone).replace(tzinfo=None) == typed
    except (ValueError, OverflowError):
        exists = False
    if not exists:
        raise UnprocessableError(_("Enter a valid date and time, like 2027-12-31 23:59."))
    return at


def write_time(at: datetime) -> str:
    """Format a time for ``read_time``, to the second."""
    local = at.astimezone(current_settings().newsroom_timezone).replace(tzinfo=None)
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def _read_counts(text: str) -> Counts:
    if text not in set(Counts):
        raise UnprocessableError(_("Choose who is counted."))
    return Counts(text)


def read_price(text: str, interval: Interval, currency: str) -> int:
    """Parse a price into the currency's smallest unit.

    Raises:
        UnprocessableError: it is no amount, or too small or too large for Stripe.
    """
    amount = parse_amount(text, currency)
    if amount is None:
        raise UnprocessableError(_("Enter the amount in digits, like 12 or 12.50."))
    if not LEAST[interval] <= amount <= MOST:
        raise UnprocessableError(
            _(
                "The price must be between %(least)s and %(most)s.",
                least=format_money(Money(LEAST[interval], currency), language()),
                most=format_money(Money(MOST, currency), language()),
            )
        )
    return amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices(Field):
    """A price for each interval and currency; an empty one isn't on offer."""

    def inputs(self, name: str) -> list[Input]:
        return [
            self.input(f"{name}-{interval}-{currency}", each_time(currency, interval))
            for interval, currency in _on_sale()
        ]

    def texts(self, name: str, value: PriceList) -> dict[str, str]:
        return {
            f"{name}-{interval}-{currency}": write_amount(Money(amount, currency))
            if (amount := value.get((interval, currency)))
            else ""
            for interval, currency in _on_sale()
        }

    def value(self, name: str, typed: Mapping[str, str], errors: dict[str, str]) -> PriceList:
        prices, problems = {}, {}
        for interval, currency in _on_sale():
            text = typed[f"{name}-{interval}-{currency}"]
            try:
                if text:
                    prices[interval, currency] = read_price(text, interval, currency)
            except UnprocessableError as error:
                problems[f"{name}-{interval}-{currency}"] = str(error)
        if not problems and not any(interval is Interval.MONTH for interval, _currency in prices):
            problems[self.inputs(name)[0].name] = _("Enter at least one monthly price.")
        errors |= problems
        return prices


def _on_sale() -> list[tuple[Interval, str]]:
    return [(interval, currency) for interval in SOLD for currency in CURRENCIES]


@dataclass(frozen=True, slots=True)
class TierPlan:
    """A tier's form; all fields except prices are columns of ``Tier``."""

    names: Annotated[
        dict[str, str],
        Translated(label=N_("Tier name"), limit=40, required=N_("Enter the name."), part="words"),
    ]
    descriptions: Annotated[
        dict[str, str],
        Translated(label=N_("Description"), kind="area", rows=2, limit=200, part="words"),
    ]
    perks: Annotated[
        dict[str, str],
        Translated(
            label=N_("What members get"),
            hint=N_("One item per line"),
            kind="area",
            limit=600,
            part="words",
        ),
    ]
    prices: Annotated[PriceList, Prices(label=N_("Prices"), mode="decimal", part="prices")]


@dataclass(frozen=True, slots=True)
class FirstPlan:
    """The fields of a new campaign: its slug and its first goal."""

    slug: Annotated[
        str,
        Field(
            label=N_("Address"),
            hint=lambda: _(
                "The part after %(address)s/campaigns/. You can’t change it later, "
                "because sites have it in their code.",
                address=current_settings().public_url,
            ),
            read=read_slug,
            part="aim",
        ),
    ]
    goal: Annotated[
        int,
        Field(
            label=N_("Goal"),
            hint=N_("You can raise it at any time."),
            mode="numeric",
            read=read_goal,
            part="aim",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign's form; each field is a column of ``Campaign``.

    ``tiers`` are sorted by name; readers see them in the tiers' own order. ``sites`` are origins.
    """

    headlines: Annotated[
        dict[str, str],
        Translated(
            label=N_("Headline"), limit=120, required=N_("Enter the headline."), part="words"
        ),
    ]
    messages: Annotated[
        dict[str, str],
        Translated(
            label=N_("Message"),
            kind="area",
            limit=300,
            required=N_("Enter the message."),
            part="words",
        ),
    ]
    captions: Annotated[
        dict[str, str],
        Translated(
            label=N_("Caption of the picture"),
            hint=N_("Who or what it shows. You add the picture on the campaign’s page."),
            limit=160,
            part="words",
        ),
    ]
    reasons: Annotated[
        dict[str, str],
        Translated(
            label=N_("Reasons to join"),
            hint=N_("One per line; three read best. Our page shows them under the tiers."),
            kind="area",
            limit=600,
            part="words",
        ),
    ]
    starts_at: Annotated[
        datetime,
        Field(
            label=N_("Start"),
            hint=N_("Until then, readers see when it starts."),
            type="datetime-local",
            read=read_time,
            write=write_time,
            say=lambda text: date_and_time(read_time(text)),
            part="aim",
        ),
    ]
    deadline: Annotated[
        datetime,
        Field(
            label=N_("Deadline"),
            hint=N_("The result is final then, even if people join or leave later."),
            type="datetime-local",
            read=read_time,
            write=write_time,
            say=lambda text: date_and_time(read_time(text)),
            part="aim",
        ),
    ]
    counts: Annotated[
        Counts,
        Field(
            label=N_("Who is counted"),
            kind="radios",
            options=lambda: _COUNTS,
            read=_read_counts,
            part="aim",
        ),
    ]
    tiers: Annotated[
        list[str],
        Field(
            label=N_("Tiers on offer"),
            kind="checkboxes",
            read=str.split,
            write=lambda slugs: " ".join(sorted(slugs)),
            part="offer",
        ),
    ]
    default_tier: Annotated[str, Field(label=N_("Preselected tier"), kind="select", part="offer")]
    default_currency: Annotated[
        str,
        Field(
            label=N_("Preselected currency"),
            kind="select",
            options=lambda: [(currency, currency) for currency in CURRENCIES],
            part="offer",
        ),
    ]
    sites: Annotated[
        list[str],
        Field(
            label=N_("Your sites"),
            hint=N_(
                "One per line, like https://news.example.org. After paying, readers "
                "can go back to the article only on these sites."
            ),
            kind="area",
            read=read_sites,
            write="\n".join,
            part="where",
        ),
    ]


@dataclass(frozen=True, slots=True)
class GoalPlan:
    """A new goal; ``before`` is the goal that the page showed, ``lower`` allows a lower one."""

    goal: Annotated[
        int,
        Field(
            label=N_("New goal"),
            hint=N_("Every open page shows it within seconds."),
            mode="numeric",
            read=read_goal,
        ),
    ]
    lower: Annotated[bool, Field(label=N_("Lower the goal"), kind="checkbox", read=bool)]
    before: Annotated[str, Field(label="", kind="hidden")]


@dataclass(frozen=True, slots=True)
class WebhookPlan:
    """The URL for a campaign's milestone webhook; None for none."""

    webhook_url: Annotated[
        str | None,
        Field(
            label=N_("Address on your site"),
            hint=N_("Like https://news.example.org/hooks. Leave it empty to send nothing."),
            mode="url",
            read=lambda text: read_hook_url(text) if text else None,
            write=lambda url: url or "",
        ),
    ]
