"""Helpers for long commands: a progress counter, and retries while Stripe is busy."""

from __future__ import annotations

import random
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from fundraiser.payments import StripeKeyError, StripeUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


T = TypeVar("T")
_WAITS = (1, 2, 4, 8, 16)  # seconds before each new try


@contextmanager
def counter(label: str) -> Iterator[Callable[[int], None]]:
    """Show how much is done, when the total is unknown."""
    with click.progressbar(
        iterable=iter(int, 1), label=label, show_pos=True, file=sys.stderr
    ) as bar:
        yield bar.update


def patiently(work: Callable[[], T]) -> T:
    """Run a step; retry after some seconds while Stripe is busy or down."""
    for wait in _WAITS:
        try:
            return work()
        except StripeKeyError:
            raise
        except StripeUnavailableError:
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - guards nothing
    return work()
