"""The parts of an e-mail, and how figures are written in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from flask_babel import format_decimal, ngettext

from fundraiser.campaigns.models import Campaign, Counts
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.db import memoize, now
from fundraiser.members.prices import per, price_of
from fundraiser.money import Money, format_money
from fundraiser.texts import date, gettext as _, language

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.members.models import Membership


class NotDueError(Exception):
    """The reason for the e-mail is gone; the message is one sentence for staff."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The number and the goal: as text, and ``percent`` (0 to 100) for its picture."""

    figure: str
    of: str
    percent: float
    after: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """The one button."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Wording:
    """What staff can change of an e-mail; in an original, ``{name}`` stands for a value."""

    subject: str
    heading: str
    paragraphs: list[str]


@dataclass(frozen=True, slots=True)
class Body:
    """An e-mail's parts in their order.

    ``rows`` are pairs of label and value. ``advice`` is a heading and its paragraph. ``reason``
    says why the person gets this e-mail. ``manage`` is where the membership can be stopped without
    signing in; ``has_account`` where the reader has pages of a membership. ``values`` are what its
    sentences may name; an e-mail with an ``original`` can be written anew by staff, all but the
    sentences that are ``fixed`` and follow the others. ``to_staff``: of the house, not of money.
    """

    subject: str
    heading: str
    paragraphs: list[str]
    reason: str
    bar: Bar | None = None
    rows: list[tuple[str, str]] | None = None
    advice: tuple[str, str] | None = None
    link: Link | None = None
    manage: str | None = None
    has_account: bool = True
    to_staff: bool = False
    fixed: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict)
    original: Wording | None = None


Say = Callable[[Mapping[str, str]], Wording]


def compose(say: Say, values: dict[str, str], reason: str, *fixed: str) -> Body:
    """An e-mail that says this of these values, and that staff can write anew with them."""
    said = say(values)
    return Body(
        subject=said.subject,
        heading=said.heading,
        paragraphs=[with_one_full_stop(part) for part in (*said.paragraphs, *fixed)],
        reason=reason,
        fixed=fixed,
        values=values,
        original=say({name: f"{{{name}}}" for name in values}),
    )


def with_one_full_stop(sentence: str) -> str:
    """A date in Ukrainian ends in an abbreviation, whose full stop is the sentence's as well."""
    return sentence.replace("..", ".")


def bar_of(session: Session, campaign: Campaign) -> Bar:
    """How far the campaign is; e-mails that are written together say the same."""
    name = ("bar", campaign.slug, language())
    return memoize(session, name, lambda: _bar_of(session, campaign))


def _bar_of(session: Session, campaign: Campaign) -> Bar:
    progress = read_progress(session, campaign)
    goal = format_decimal(progress.goal)
    if campaign.counts is Counts.NEW:
        of = ngettext("of %(goal)s new member", "of %(goal)s new members", progress.goal, goal=goal)
    else:
        of = ngettext("of %(goal)s member", "of %(goal)s members", progress.goal, goal=goal)
    after = None
    if progress.surplus:
        surplus = format_decimal(progress.surplus)
        after = _("%(surplus)s more than the goal", surplus=surplus)
    elif now() < progress.deadline:
        remaining = format_decimal(progress.remaining)
        after = _(
            "%(remaining)s still needed by %(date)s", remaining=remaining, date=last_day(campaign)
        )
    return Bar(format_decimal(progress.members), of, min(progress.percent, 100.0), after)


def last_day(campaign: Campaign) -> str:
    """The deadline may be the midnight that ends the day."""
    return date(campaign.deadline - timedelta(seconds=1))


def campaign_of(session: Session, membership: Membership) -> Campaign | None:
    slug = membership.campaign
    campaign = (
        memoize(session, ("campaign", slug), lambda: session.get(Campaign, slug)) if slug else None
    )
    return campaign or memoize(session, "campaign", lambda: current_campaign(session))


def money(amount: int, currency: str) -> str:
    return format_money(Money(amount, currency), language())


def what_is_paid(membership: Membership) -> str:
    """What a membership is charged, how often, and what after a discount."""
    return price_of(membership)


def each(amount: int, currency: str, interval: str | None, count: int = 1) -> str:
    return per(amount, currency, interval, count)
