"""Kaplan-Meier: the share of people who stay, from how long each is known to have stayed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LAST_STEP = 37  # periods of 30 days: three years and the month of the third yearly renewal
FEWEST = 50  # people; a share of fewer says little, so it isn't shown


@dataclass(frozen=True, slots=True)
class Stay:
    """People with the same time as members, in whole periods of 30 days.

    They are known since period ``entry``, stayed through ``steps`` periods and, if ``ended``, left
    in the next one; otherwise no more is known of them.
    """

    entry: int
    steps: int
    ended: bool
    people: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Shares (0 to 1) of people who stay at least so many periods, from the first period on.

    ``joined`` counts all people. Ends before the first period with too few people to say.
    """

    joined: int
    shares: tuple[float, ...]

    def at(self, steps: int) -> float | None:
        """The share after that many periods; None if it isn't known yet."""
        return self.shares[steps - 1] if steps <= len(self.shares) else None


def estimate(stays: Iterable[Stay], fewest: int = FEWEST) -> Curve:
    """Estimate the curve (Kaplan & Meier 1958), with people who were known late entering late."""
    joined = 0
    change = [0] * (LAST_STEP + 2)  # of the people of whom a period is known
    left = [0] * (LAST_STEP + 1)
    for stay in stays:
        joined += stay.people
        until = min(stay.steps + stay.ended, LAST_STEP)
        if stay.entry >= until:
            continue
        change[stay.entry] += stay.people
        change[until] -= stay.people
        if stay.ended and stay.steps < LAST_STEP:
            left[stay.steps] += stay.people
    shares: list[float] = []
    share = 1.0
    for known, gone in zip(accumulate(change), left[:LAST_STEP], strict=False):
        if known < fewest:
            break
        share *= 1 - gone / known
        shares.append(share)
    return Curve(joined, tuple(shares))


def share_of_cohort(stays: Iterable[Stay], steps: int) -> float | None:
    """The plain share who stayed so long; only for people all known from the start until then.

    Leaves out people who were merged, erased or imported: nobody knows whether they would have
    stayed.
    """
    stayed = known = 0
    for stay in stays:
        if stay.entry == 0 and (stay.ended or stay.steps >= steps):
            known += stay.people
            stayed += stay.people if stay.steps >= steps else 0
    return stayed / known if known else None
