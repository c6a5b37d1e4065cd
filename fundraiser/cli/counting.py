"""`fundraiser recount`: count everybody again by the current rule."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import click

from fundraiser.cli.app import open_app
from fundraiser.cli.progress import patiently
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.errors import FundraiserError
from fundraiser.members.counting import apply_rule, verdicts_of_all
from fundraiser.members.eligibility import RULE
from fundraiser.members.ledger import read_balance
from fundraiser.payments import current_gateway
from fundraiser.payments.settlement import settle as settle_customer
from fundraiser.payments.sync import customers_without_facts

if TYPE_CHECKING:
    from fundraiser.app import FundraiserApp


@click.command()
@click.option("--yes", is_flag=True, help="Don't ask: change the number.")
def recount(*, yes: bool) -> None:
    """Count everybody again, after a change of the rule or of GRACE_DAYS.

    First fetches from Stripe the facts that the rule needs and our database lacks. Then shows what
    the recount will do to the number, asks, and writes it into the ledger with the cause "rule".
    You can interrupt it at any time and start again.
    """
    with open_app() as app:
        _read_missing_facts(app)
        if not _print_recount(app):
            return
        if not yes:
            click.confirm("Change the number?", abort=True)
        after: int | None = 0
        while after is not None:
            with app.database.transaction() as session:
                after = apply_rule(session, current_settings().grace, after)
        with app.database.transaction() as session:
            click.echo(f"The number is {read_balance(session).members} now.")


def _read_missing_facts(app: FundraiserApp) -> None:
    """Sync customers whose rows lack facts for the rule, without counting them."""
    with app.database.transaction() as session:
        stale = customers_without_facts(session)
    if not stale:
        return
    failed = 0
    with click.progressbar(stale, label="Reading from Stripe", file=sys.stderr) as bar:
        for customer in bar:
            try:
                patiently(partial(_sync, app, customer))
            except FundraiserError as error:
                failed += 1
                click.echo(f"{customer}: {error}")
    click.echo(f"Read {len(stale) - failed} customers from Stripe; {failed} could not be read.")


def _sync(app: FundraiserApp, customer: str) -> None:
    grace = current_settings().grace
    settle_customer(app.database, current_gateway(), grace, customer, count=False)


def _print_recount(app: FundraiserApp) -> bool:
    """Print what a recount will do; False if it changes nothing."""
    starts: Counter[str] = Counter()
    stops: Counter[str] = Counter()
    times = 0
    with app.database.transaction() as session:
        members = read_balance(session).members
        for people in verdicts_of_all(session, now(), current_settings().grace):
            for one in people:
                if one.verdict.counts != one.counting:
                    (starts if one.verdict.counts else stops)[one.verdict.reason] += 1
                times += one.verdict.until != one.recount_at
    after = members + starts.total() - stops.total()
    click.echo(f"{members} people are counted now; by the rule {RULE} there will be {after}.")
    for sign, reasons in (("+", starts), ("-", stops)):
        for reason, count in reasons.most_common():
            click.echo(f"  {sign}{count} {reason}")
    if times and not starts and not stops:
        click.echo(f"{times} people will stop being counted at another time than before.")
    return bool(starts or stops or times)
