"""`fundraiser stripe …`: set up the account, and go live."""

from __future__ import annotations

from pathlib import Path

import click

from fundraiser.cli.app import open_app
from fundraiser.cli.go_live import WHAT_GOES, WHAT_STAYS, examine_sandbox, go_live
from fundraiser.cli.stripe_setup import plan_set_up
from fundraiser.config import current_settings
from fundraiser.payments import account_gateway, current_gateway
from fundraiser.payments.products import check_catalogue, publish_catalogue


@click.group()
def stripe() -> None:
    """Set up the Stripe account, and go live."""


@stripe.command("set-up")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option(
    "--write-env",
    "env_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the secret of a new webhook endpoint is written, readable by you alone.",
)
def set_up(*, yes: bool, env_file: Path | None) -> None:
    """Make or repair the webhook endpoint, the portal's configuration, products and prices.

    Shows first what it will do. Running it again changes nothing.
    """
    with open_app() as app, app.database.transaction() as session:
        steps = plan_set_up(session, account_gateway(), current_settings(), env_file)
        if not steps:
            click.echo("All is at Stripe as it should be.")
            return
        click.echo("At Stripe this will:")
        for step in steps:
            click.echo(f"  {step.plan}")
        if not yes:
            click.confirm("Do it?", abort=True)
        for step in steps:
            click.echo(step.do())


@stripe.command("go-live")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def start_clean(*, yes: bool) -> None:
    """Remove test members from a sandbox's database, and assign it to the live account.

    Set the live STRIPE_API_KEY first, and stop the service's processes.
    """
    with open_app() as app, app.database.transaction() as session:
        sandbox = examine_sandbox(session, current_settings())
        click.echo(
            f"This database holds a sandbox's {sandbox.members} people, "
            f"{sandbox.balance} of them counted as members."
        )
        click.echo(f"Deleted for good: {WHAT_GOES}.")
        click.echo(f"Kept: {WHAT_STAYS}.")
        if not yes:
            click.confirm("Go live?", abort=True)
        go_live(session)
    click.echo("The database is live and empty. Next: fundraiser stripe set-up, then doctor.")


@click.command("set-up-stripe")
def publish() -> None:
    """Make the products and prices at Stripe: the part of `stripe set-up` without questions."""
    with open_app() as app, app.database.transaction() as session:
        check_catalogue(session, current_gateway())
        made = publish_catalogue(session, current_gateway())
    click.echo(f"Made {made} products and prices at Stripe." if made else "All are there already.")
