"""`fundraiser reconcile`, `settle` and `restore-check`: compare and sync with Stripe."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from fundraiser.cli.app import open_app
from fundraiser.cli.progress import counter, patiently
from fundraiser.config import current_settings
from fundraiser.members.consistency import check_consistency, read_drift, write_drift
from fundraiser.members.models import DriftKind
from fundraiser.newsroom.maintenance import Stopped, is_stopped, resume
from fundraiser.outbox import withdraw_due, withdraw_queued
from fundraiser.payments import current_gateway, stripe_import
from fundraiser.payments.balance import scan_soon
from fundraiser.payments.models import Reconciliation
from fundraiser.payments.queue import backlog
from fundraiser.payments.reconcile import (
    begin,
    compare_all,
    ignore_products,
    is_being_settled,
    name_unknown,
    recheck_next,
    take_step,
)
from fundraiser.payments.settlement import settle as settle_customer, settle_next
from fundraiser.sources.comparison import compare_sources

if TYPE_CHECKING:
    from fundraiser.app import FundraiserApp


_SENT_BEFORE = "It was sent before the backup was restored."
_WHAT_TO_DO = (
    " Adopt it (--adopt PRODUCT=TIER) or say that it is no membership (--not-ours PRODUCT)."
)
_PAUSE = 0.5  # seconds until another's step has come further
_PATIENCE = 30.0  # seconds for the workers to settle whom they have taken


@click.command()
@click.argument("customers", nargs=-1, required=True, metavar="CUSTOMER…")
def settle(customers: tuple[str, ...]) -> None:
    """Sync these customers (cus_…) with Stripe."""
    with open_app() as app:
        for customer in customers:
            click.echo(f"{customer}: {_settle(app, customer)}")


def _settle(app: FundraiserApp, customer: str) -> str:
    member = settle_customer(app.database, current_gateway(), current_settings().grace, customer)
    if member is None:
        return "not one of ours, or not known to Stripe."
    if member.counting:
        return f"settled; the person counts, as member number {member.number}."
    return "settled; the person does not count."


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Print what differs; change nothing.")
@click.option(
    "--adopt",
    "imported",
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
def reconcile(*, only_check: bool, imported: tuple[str, ...], ignored: tuple[str, ...]) -> None:
    """Compare our database with everything that Stripe lists, and check the number.

    Syncs customers that differ, and lists live subscriptions of unknown products. The exit status
    is 0 only if everything matches in the end.
    """
    if only_check and (imported or ignored):
        raise click.UsageError("--check changes nothing; --adopt and --not-ours do: choose one.")
    tiers = dict(_product_and_tier(word) for word in imported)
    with open_app() as app:
        with app.database.transaction() as session:
            ignore_products(session, ignored)
        if only_check:
            agrees = _print_check(app) & _print_sources(app) & _print_differences(app)
        else:
            if tiers:
                _import(app, tiers)
            _repair(app)
            agrees = _print_check(app) & _print_sources(app) & _print_drift(app)
    click.echo("All agree." if agrees else "They do not agree: see docs/drift.md.")
    sys.exit(not agrees)


def _product_and_tier(word: str) -> tuple[str, str]:
    product, equals, tier = word.partition("=")
    if not (product and equals and tier):
        raise click.BadParameter(f"{word} is not PRODUCT=TIER, like prod_x=member.")
    return product, tier


def _import(app: FundraiserApp, tiers: dict[str, str]) -> None:
    """Sync the products' subscribers one by one, in the order in which they subscribed."""
    with app.database.transaction() as session:
        stripe_import.import_products(session, current_gateway(), tiers)
    with counter("Looking for subscribers") as seen, app.database.transaction() as session:
        customers = stripe_import.customers_to_import(session, current_gateway(), tiers, seen)
    failed: dict[str, str] = {}
    with click.progressbar(customers, label="Adopting", file=sys.stderr) as bar:
        for customer in bar:
            try:
                patiently(partial(_settle, app, customer))
            except Exception as error:  # noqa: BLE001 - one who can't be settled stops nobody else
                failed[customer] = f"{type(error).__name__}: {error}"
    with app.database.transaction() as session:
        scan_soon(session)  # what they paid may have been somebody else's until now
    click.echo(f"{len(customers) - len(failed)} customers are adopted.")
    for customer, why in failed.items():
        click.echo(f"{customer} could not be settled: {why}")


def _repair(app: FundraiserApp) -> None:
    """Run a whole comparison, and sync customers that differ."""
    with app.database.transaction() as session:
        run = begin(session)
    with counter("Comparing with Stripe") as seen:
        while run.finished_at is None:
            before = run.looked_at
            run = patiently(partial(_step, app)) or _again(app, run)
            seen(run.looked_at - before)
    with app.database.transaction() as session:
        waiting = backlog(session)
    with click.progressbar(length=waiting, label="Settling", file=sys.stderr) as bar:
        while settle_next(app.database, current_gateway(), current_settings().grace):
            bar.update(1)
    _wait_for_the_workers(app)
    with app.database.transaction() as session:
        write_drift(session, check_consistency(session, current_settings().grace))
    after: int | None = 0
    while after is not None:
        after = patiently(partial(_recheck, app, after))
    differing = f"{run.differing} customers differed" if run.differing else "nobody differed"
    click.echo(f"Looked through {run.looked_at} subscriptions, refunds and disputes: {differing}.")
    click.echo(f"By Stripe's listing {run.members_listed} people counted.")


def _wait_for_the_workers(app: FundraiserApp) -> None:
    """Wait until the workers have synced the customers that they claimed first."""
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
    """The run's state after another process took its step."""
    time.sleep(_PAUSE)
    with app.database.transaction() as session:
        return session.get_one(Reconciliation, run.id)


def _recheck(app: FundraiserApp, after: int) -> int | None:
    with app.database.transaction() as session:
        return recheck_next(session, current_gateway(), after)


def _print_check(app: FundraiserApp) -> bool:
    with app.database.transaction() as session:
        check = check_consistency(session, current_settings().grace)
    click.echo(f"The balance is {check.balance}.")
    click.echo(f"The ledger's rows add up to {check.ledger_sum}.")
    click.echo(f"By the rule {check.counting} people count now.")
    if check.due:
        click.echo(f"{check.due} more are due to be counted again by the clock's sweep.")
    for found in check.findings:
        click.echo(f"{_person(found.member_id)}{found.detail}")
    return check.holds


def _print_sources(app: FundraiserApp) -> bool:
    """Print each source outside Stripe and its latest list."""
    with app.database.transaction() as session:
        compared = compare_sources(session, current_settings().grace)
    for one in compared:
        day = f"{one.list_at:%Y-%m-%d}" if one.list_at else "an unknown day"
        click.echo(
            f"{one.label}: {one.listed} memberships count by its list of {day}, "
            f"and {one.differing} of them differ here."
        )
        for found in one.named:
            where = f"row {found.row} of batch {found.batch_id}"
            click.echo(f"{_person(found.member_id)}{where} differs.")
    return not any(one.differing for one in compared)


def _print_differences(app: FundraiserApp) -> bool:
    with counter("Comparing with Stripe") as seen, app.database.transaction() as session:
        run, differences = compare_all(session, current_gateway(), current_settings().grace, seen)
    click.echo(f"By Stripe's listing {run.members_listed} people count now.")
    unknown = name_unknown(current_gateway(), run)
    for sentence in unknown:
        click.echo(f"{sentence}{_WHAT_TO_DO}")
    for customer, details in differences.items():
        click.echo(f"{customer}: {' '.join(details)}")
    return not differences and not unknown


def _print_drift(app: FundraiserApp) -> bool:
    """Print open differences from Stripe; the consistency check prints the others."""
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


@click.command("restore-check")
def restore_check() -> None:
    """After restoring a backup: fetch who joined since it was made, then compare everything.

    Run it before the workers start; running workers wait for it if deploy/restore.sh restored the
    backup. It counts people in the order in which they joined, so that they keep their member
    numbers, and nobody gets an e-mail again that was sent since the backup.
    """
    with open_app() as app:
        label = "Looking for members who joined since"
        with counter(label) as seen, app.database.transaction() as session:
            customers = stripe_import.customers_to_bring_back(session, current_gateway(), seen)
        with click.progressbar(customers, label="Bringing back", file=sys.stderr) as bar:
            for customer in bar:
                patiently(partial(_bring_back, app, customer))
        click.echo(f"Brought back {len(customers)} customers.")
        _repair(app)
        agrees = _print_check(app) & _print_drift(app)
        _let_work_go_on(app, agrees=agrees)
    click.echo("All agree." if agrees else "They do not agree: see docs/drift.md.")
    sys.exit(not agrees)


def _let_work_go_on(app: FundraiserApp, *, agrees: bool) -> None:
    """Cancel e-mails already sent since the backup; release the workers if everything matches."""
    with app.database.transaction() as session:
        if not is_stopped(session, Stopped.RESTORE):
            return
        withdrawn = withdraw_due(session, _SENT_BEFORE)
        if agrees:
            resume(session, Stopped.RESTORE)
    click.echo(f"Took back {withdrawn} e-mails, since they may have been sent before.")
    if not agrees:
        click.echo("Workers wait until: fundraiser maintenance resume restore")


def _bring_back(app: FundraiserApp, customer: str) -> None:
    member = settle_customer(app.database, current_gateway(), current_settings().grace, customer)
    if member is not None:
        with app.database.transaction() as session:
            withdraw_queued(session, member.id, _SENT_BEFORE)
