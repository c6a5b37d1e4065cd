"""The ``fundraiser`` command line; each command calls one function."""

from __future__ import annotations

import click
from sqlalchemy.exc import OperationalError

from fundraiser.cli.books import reconcile, restore_check, settle
from fundraiser.cli.counting import recount
from fundraiser.cli.maintenance import maintenance
from fundraiser.cli.service import (
    accept_secret_key,
    bounces,
    create_staff,
    doctor,
    list_personal_data,
    migrate,
    notify,
)
from fundraiser.cli.sources import sources
from fundraiser.cli.stripe_account import publish, stripe
from fundraiser.config import ConfigError
from fundraiser.errors import FundraiserError
from fundraiser.payments import StripeKeyError


class Commands(click.Group):
    """A command group that shows known errors as messages, not tracebacks."""

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
    """Run a newsroom's membership service. Settings come from environment variables."""


for command in (
    *(
        maintenance,
        migrate,
        create_staff,
        doctor,
        notify,
        list_personal_data,
        bounces,
        accept_secret_key,
    ),
    *(stripe, publish, settle, reconcile, restore_check, recount, sources),
):
    main.add_command(command)
