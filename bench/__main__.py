"""Every benchmark, or those that are named, one after the other: make bench.

``settlement`` takes ``--latency 250ms``, for a Stripe as slow as the real one, with its limits.
``dashboard`` and ``rule`` take ``--members 1000000``; ``dashboard`` also ``--plans``, to print how
its queries are answered. ``cards`` takes ``--attempts 120000``, ``forecast`` ``--seed 7``.
"""

from __future__ import annotations

import sys

from bench import (
    cards,
    dashboard,
    emails,
    first_visit,
    forecast,
    freshness,
    page_weight,
    progress,
    rule,
    settlement,
    sources,
    webhooks,
)
from demo.processes import DemoError

BENCHMARKS = {
    "progress": progress.main,
    "webhooks": webhooks.main,
    "settlement": settlement.main,
    "emails": emails.main,
    "page_weight": page_weight.main,
    "first_visit": first_visit.main,
    "freshness": freshness.main,
    "dashboard": dashboard.main,
    "rule": rule.main,
    "cards": cards.main,
    "forecast": forecast.main,
    "sources": sources.main,
}


def main() -> None:
    if {"--help", "-h"} & set(sys.argv):
        sys.exit(f"{__doc__}\nThere are: {', '.join(BENCHMARKS)}.")
    options = {word for word in sys.argv[1:] if word.startswith("--") or word[:1].isdigit()}
    names = [word for word in sys.argv[1:] if word not in options] or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(BENCHMARKS)}.")
    try:
        for name in names:
            BENCHMARKS[name]()
    except DemoError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
