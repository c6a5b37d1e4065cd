"""The content of an e-mail: its parts, and which of them staff may edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fundraiser.config import current_settings
from fundraiser.money import Money, format_money
from fundraiser.texts import language


class NotDueError(Exception):
    """An e-mail should no longer be sent; the message tells staff why."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The number and the goal: as text, and ``percent`` (0 to 100) for the picture."""

    figure: str
    of: str
    percent: float
    after: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """The e-mail's single button."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Wording:
    """The editable part of an e-mail; ``{name}`` stands for a value."""

    subject: str
    heading: str
    paragraphs: list[str]


@dataclass(frozen=True, slots=True)
class Body:
    """An e-mail's parts in order.

    ``rows`` are pairs of label and value. ``advice`` is a heading with a paragraph. ``reason`` says
    why the person gets it. ``manage`` is the URL to cancel the membership without signing in;
    ``has_account`` if the reader has an account page, ``is_member`` if there is a membership in it.
    ``values`` are the names for its sentences; staff can edit an e-mail with an ``original``,
    except for its ``fixed`` sentences, which follow.
    ``to_staff``: for colleagues, not about money.
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
    is_member: bool = True
    to_staff: bool = False
    fixed: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict)
    original: Wording | None = None


Say = Callable[[Mapping[str, str]], Wording]


def compose(say: Say, values: dict[str, str], reason: str, *fixed: str) -> Body:
    """Make an e-mail from these texts and values, editable by staff."""
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
    """Avoid a double full stop after a Ukrainian date, whose abbreviation ends in one."""
    return sentence.replace("..", ".")


def money(amount: int, currency: str) -> str:
    return format_money(Money(amount, currency), language())


def example_link() -> str:
    """A placeholder URL for previews, in place of a link that opens something."""
    return f"{current_settings().public_url}/letters/example"
