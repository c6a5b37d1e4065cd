"""The operator's commands: each calls one verb."""

from __future__ import annotations

import csv
import os
import random
import sys
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TextIO, TypeVar

import alembic.command
import click
from sqlalchemy.exc import OperationalError

from fundraiser.account.personal_data import PERSONAL
from fundraiser.command import open_app as _app
from fundraiser.config import ConfigError, current_settings
from fundraiser.db import now
from fundraiser.doctor import alembic_config, examine
from fundraiser.emails.feedback import read_bounces, take_in
from fundraiser.errors import FundraiserError
from fundraiser.members.counting import apply_rule, verdicts_of_all
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import DriftKind
from fundraiser.members.proof import prove, read_drift, write_drift
from fundraiser.members.rule import RULE
from fundraiser.newsroom.models import Role
from fundraiser.newsroom.staff import add_staff, reset_password
from fundraiser.outbox import withdraw_queued
from fundraiser.payments import adopt
from fundraiser.payments.account_gateway import account_gateway
from fundraiser.payments.balance import look_soon
from fundraiser.payments.catalogue import check_catalogue, publish_catalogue
from fundraiser.payments.gateway import StripeKeyError, StripeUnavailableError, current_gateway
from fundraiser.payments.models import Reconciliation
from fundraiser.payments.reconcile import (
    begin,
    compare_all,
    ignore_products,
    is_being_settled,
    name_unknown,
    recheck_next,
    take_step,
)
from fundraiser.payments.sync import customers_without_facts, settle as settle_customer
from fundraiser.stripe_commands import stripe
from fundraiser.webhooks.inbox import backlog, settle_next

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundraiser.app import FundraiserApp

T = TypeVar("T")

_WHAT_TO_DO = (
    " Adopt it (--adopt PRODUCT=TIER) or say that it is no membership (--not-ours PRODUCT)."
)
_WAITS = (1, 2, 4, 8, 16)  # seconds before each new try
_PAUSE = 0.5  # seconds until another's step has come further
_PATIENCE = 30.0  # seconds for the workers to settle whom they have taken


class Commands(click.Group):
    """Commands whose errors are sentences, not tracebacks."""

    def invoke(self, context: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(context)
        except StripeKeyError as error:
            raise click.ClickException(error.detail) from error
        except (ConfigError, FundraiserError) as error:
            raise click.ClickException(str(error)) from error
        except OperationalError as error:
            raise click.ClickException(
                "The database does not answer, or lacks our tables: check DATABASE_URL, "
                "or run fundraiser migrate."
            ) from error


@click.group(cls=Commands)
def main() -> None:
    """Run a newsroom's membership service. The settings come from the environment."""


@main.command()
def migrate() -> None:
    """Bring the database's tables up to date."""
    alembic.command.upgrade(alembic_config(), "head")
    click.echo("The database is up to date.")


@main.command("create-staff")
@click.argument("email")
@click.option("--name", default="", help="The name to show; the address unless given.")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="manager")
@click.option("--reset", is_flag=True, help="Give somebody who is there already a new password.")
def create_staff(email: str, name: str, role: str, *, reset: bool) -> None:
    """Let a person sign in at /staff. The password is asked for, or read from STAFF_PASSWORD."""
    password = os.environ.get("STAFF_PASSWORD") or click.prompt(
        "Password", hide_input=True, confirmation_prompt=True
    )
    with _app() as app, app.database.transaction() as session:
        if reset:
            staff = reset_password(session, email, password)
            click.echo(f"{staff.email} has a new password and is signed out everywhere.")
        else:
            staff = add_staff(session, email=email, name=name, role=Role(role), password=password)
            click.echo(f"{staff.email} may sign in at {current_settings().public_url}/staff.")


main.add_command(stripe)


@main.command("set-up-stripe")
def bring_catalogue() -> None:
    """Make the products and prices at Stripe: the part of `stripe set-up` that asks nothing."""
    with _app() as app, app.database.transaction() as session:
        check_catalogue(session, current_gateway())
        made = publish_catalogue(session, current_gateway())
    click.echo(f"Made {made} products and prices at Stripe." if made else "All are there already.")


@main.command()
@click.argument("customers", nargs=-1, required=True, metavar="CUSTOMER…")
def settle(customers: tuple[str, ...]) -> None:
    """Make our books match what Stripe says of these customers (cus_…)."""
    with _app() as app:
        for customer in customers:
            click.echo(f"{customer}: {_settle(app, customer)}")


def _settle(app: FundraiserApp, customer: str) -> str:
    with app.database.transaction() as session:
        member = settle_customer(session, current_gateway(), current_settings().grace, customer)
        if member is None:
            return "not one of ours, or not known to Stripe."
        if member.counting:
            return f"settled; the person counts, as member number {member.number}."
        return "settled; the person does not count."


@main.command()
@click.option("--check", "only_check", is_flag=True, help="Print what differs; change nothing.")
@click.option(
    "--adopt",
    "adopted",
    multiple=True,
    metavar="PRODUCT=TIER",
    help="First make the subscribers of a product that was there before us members of this tier.",
)
@click.option(
    "--not-ours",
    "ignored",
    multiple=True,
    metavar="PRODUCT",
    help="First note that a product at Stripe is no membership, so that it isn't named any more.",
)
def reconcile(*, only_check: bool, adopted: tuple[str, ...], ignored: tuple[str, ...]) -> None:
    """Compare our books with all that Stripe lists, and prove the number.

    Customers that differ are synced again, and live subscriptions of products that we don't know
    are named. The exit status is 0 only if everything agrees in the end.
    """
    if only_check and (adopted or ignored):
        raise click.UsageError("--check changes nothing; --adopt and --not-ours do: choose one.")
    tiers = dict(_product_and_tier(word) for word in adopted)
    with _app() as app:
        with app.database.transaction() as session:
            ignore_products(session, ignored)
        if only_check:
            agrees = _print_proof(app) & _print_differences(app)
        else:
            if tiers:
                _adopt(app, tiers)
            _repair(app)
            agrees = _print_proof(app) & _print_drift(app)
    click.echo("All agree." if agrees else "They do not agree: see docs/drift.md.")
    sys.exit(not agrees)


def _product_and_tier(word: str) -> tuple[str, str]:
    product, equals, tier = word.partition("=")
    if not (product and equals and tier):
        raise click.BadParameter(f"{word} is not PRODUCT=TIER, like prod_x=member.")
    return product, tier


def _adopt(app: FundraiserApp, tiers: dict[str, str]) -> None:
    """Settle the products' subscribers one after the other, in the order in which they began."""
    with app.database.transaction() as session:
        adopt.adopt_products(session, current_gateway(), tiers)
    with _counter("Looking for subscribers") as seen, app.database.transaction() as session:
        customers = adopt.customers_to_adopt(session, current_gateway(), tiers, seen)
    failed: dict[str, str] = {}
    with click.progressbar(customers, label="Adopting", file=sys.stderr) as bar:
        for customer in bar:
            try:
                _patiently(partial(_settle, app, customer))
            except Exception as error:  # noqa: BLE001 - one who can't be settled stops nobody else
                failed[customer] = f"{type(error).__name__}: {error}"
    with app.database.transaction() as session:
        look_soon(session)  # what they paid may have been somebody else's until now
    click.echo(f"{len(customers) - len(failed)} customers are adopted.")
    for customer, why in failed.items():
        click.echo(f"{customer} could not be settled: {why}")


def _repair(app: FundraiserApp) -> None:
    """Go through a whole run, and settle whoever differs."""
    with app.database.transaction() as session:
        run = begin(session)
    with _counter("Comparing with Stripe") as seen:
        while run.finished_at is None:
            before = run.looked_at
            run = _patiently(partial(_step, app)) or _again(app, run)
            seen(run.looked_at - before)
    with app.database.transaction() as session:
        waiting = backlog(session)
    with click.progressbar(length=waiting, label="Settling", file=sys.stderr) as bar:
        while settle_next(app.database, current_gateway(), current_settings().grace):
            bar.update(1)
    _wait_for_the_workers(app)
    with app.database.transaction() as session:
        write_drift(session, prove(session, current_settings().grace))
    after: int | None = 0
    while after is not None:
        after = _patiently(partial(_recheck, app, after))
    differing = f"{run.differing} customers differed" if run.differing else "nobody differed"
    click.echo(f"Looked through {run.looked_at} subscriptions, refunds and disputes: {differing}.")
    click.echo(f"By Stripe's listing {run.members_listed} people counted.")


def _wait_for_the_workers(app: FundraiserApp) -> None:
    """Whom a worker was quicker to take is not settled yet."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with app.database.transaction() as session:
            if not is_being_settled(session):
                return
        time.sleep(_PAUSE)


def _step(app: FundraiserApp) -> Reconciliation | None:
    with app.database.transaction() as session:
        return take_step(session, current_gateway(), current_settings().grace)


def _again(app: FundraiserApp, run: Reconciliation) -> Reconciliation:
    """What has become of a run whose step somebody else was taking."""
    time.sleep(_PAUSE)
    with app.database.transaction() as session:
        return session.get_one(Reconciliation, run.id)


def _recheck(app: FundraiserApp, after: int) -> int | None:
    with app.database.transaction() as session:
        return recheck_next(session, current_gateway(), after)


def _print_proof(app: FundraiserApp) -> bool:
    with app.database.transaction() as session:
        proof = prove(session, current_settings().grace)
    click.echo(f"The balance is {proof.balance}.")
    click.echo(f"The ledger's rows add up to {proof.ledger_sum}.")
    click.echo(f"By the rule {proof.counting} people count now.")
    if proof.due:
        click.echo(f"{proof.due} more are due to be counted again by the clock's sweep.")
    for found in proof.findings:
        click.echo(f"{_person(found.member_id)}{found.detail}")
    return proof.holds


def _print_differences(app: FundraiserApp) -> bool:
    with _counter("Comparing with Stripe") as seen, app.database.transaction() as session:
        run, differences = compare_all(session, current_gateway(), current_settings().grace, seen)
    click.echo(f"By Stripe's listing {run.members_listed} people count now.")
    unknown = name_unknown(current_gateway(), run)
    for sentence in unknown:
        click.echo(f"{sentence}{_WHAT_TO_DO}")
    for customer, details in differences.items():
        click.echo(f"{customer}: {' '.join(details)}")
    return not differences and not unknown


def _print_drift(app: FundraiserApp) -> bool:
    """What is noted as differing from Stripe; the rest is in the proof."""
    with app.database.transaction() as session:
        differing = [drift for drift, _ in read_drift(session) if drift.kind is DriftKind.STRIPE]
    for drift in differing:
        if drift.customer_id is None:
            click.echo(f"{drift.detail}{_WHAT_TO_DO}")
        else:
            click.echo(f"{_person(drift.member_id)}{drift.customer_id}: {drift.detail}")
    return not differing


def _person(member_id: int | None) -> str:
    return "" if member_id is None else f"/staff/members/{member_id}: "


@contextmanager
def _counter(label: str) -> Iterator[Callable[[int], None]]:
    """Shows how much was looked at, where nobody knows how much there is."""
    with click.progressbar(
        iterable=iter(int, 1), label=label, show_pos=True, file=sys.stderr
    ) as bar:
        yield bar.update


def _patiently(work: Callable[[], T]) -> T:
    """Try again, some seconds later, what Stripe had no time for."""
    for wait in _WAITS:
        try:
            return work()
        except StripeKeyError:
            raise
        except StripeUnavailableError:
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - guards nothing
    return work()


@main.command()
@click.option("--yes", is_flag=True, help="Don't ask: change the number.")
def recount(*, yes: bool) -> None:
    """Count everybody again, after the rule or GRACE_DAYS has changed.

    First reads from Stripe what the rule needs and our books lack; then says what the recount will
    do to the number, asks, and writes it into the ledger with the cause "rule". It can be
    interrupted at any time and started again.
    """
    with _app() as app:
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
    """Sync the customers whose rows lack what the rule reads; nobody is counted by it."""
    with app.database.transaction() as session:
        stale = customers_without_facts(session)
    if not stale:
        return
    failed = 0
    with click.progressbar(stale, label="Reading from Stripe", file=sys.stderr) as bar:
        for customer in bar:
            try:
                _patiently(partial(_sync, app, customer))
            except FundraiserError as error:
                failed += 1
                click.echo(f"{customer}: {error}")
    click.echo(f"Read {len(stale) - failed} customers from Stripe; {failed} could not be read.")


def _sync(app: FundraiserApp, customer: str) -> None:
    with app.database.transaction() as session:
        settle_customer(session, current_gateway(), current_settings().grace, customer, count=False)


def _print_recount(app: FundraiserApp) -> bool:
    """Say what a recount will do; False if it will do nothing."""
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


@main.command("restore-check")
def restore_check() -> None:
    """After restoring a backup: bring back who joined since it was made, then compare everything.

    Run it before the workers start. People are counted in the order in which they joined, so that
    they keep their member's numbers, and nobody is sent a welcome again.
    """
    with _app() as app:
        label = "Looking for members who joined since"
        with _counter(label) as seen, app.database.transaction() as session:
            customers = adopt.customers_to_bring_back(session, current_gateway(), seen)
        with click.progressbar(customers, label="Bringing back", file=sys.stderr) as bar:
            for customer in bar:
                _patiently(partial(_bring_back, app, customer))
        click.echo(f"Brought back {len(customers)} customers.")
        _repair(app)
        agrees = _print_proof(app) & _print_drift(app)
    click.echo("All agree." if agrees else "They do not agree: see docs/drift.md.")
    sys.exit(not agrees)


def _bring_back(app: FundraiserApp, customer: str) -> None:
    with app.database.transaction() as session:
        member = settle_customer(session, current_gateway(), current_settings().grace, customer)
        if member is not None:
            withdraw_queued(session, member.id, "It was sent before the backup was restored.")


@main.group()
def bounces() -> None:
    """What a mail provider says did not arrive."""


@bounces.command("import")
@click.argument("file", type=click.File(encoding="utf-8-sig"))
def import_bounces(file: TextIO) -> None:
    """Write no more to the addresses of a CSV file: address, ground (bounce, complaint), detail."""
    with _app() as app, app.database.transaction() as session:
        count = 0
        for report in read_bounces(file):
            take_in(session, report)
            count += 1
    click.echo(f"{count} addresses get no letters any more.")


@main.command("personal-data")
def list_personal_data() -> None:
    """Print what is kept about people, why and how long, as CSV: the record for data protection."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(("table", "columns", "why", "kept", "in the download", "when erased"))
    for found in PERSONAL:
        exported = "yes" if found.exported else "no"
        columns = " ".join(found.columns)
        rows.writerow((found.table, columns, found.why, found.kept, exported, found.erasure))


@main.command()
def doctor() -> None:
    """Look whether everything that the service needs is there."""
    is_well = True
    with _app() as app:
        for finding in examine(current_settings(), app.database, account_gateway()):
            click.echo(f"{'well ' if finding.is_well else 'WRONG'}  {finding.sentence}")
            is_well = is_well and finding.is_well
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
