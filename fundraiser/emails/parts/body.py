"""What an e-mail says, apart from how it travels: its parts, and who may write them anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fundraiser.config import current_settings
from fundraiser.money import Money, format_money
from fundraiser.texts import language


class NotDueError(Exception):
    """An e-mail is not to be sent any more; the message tells staff why, in one sentence."""


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
    """The part of an e-mail that staff may write anew; ``{name}`` stands for a value."""

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


def money(amount: int, currency: str) -> str:
    return format_money(Money(amount, currency), language())


def example_link() -> str:
    """An address for examples, where a real e-mail has one that opens something."""
    return f"{current_settings().public_url}/letters/example"
