"""`fundraiser migrate`, `doctor`, `create-staff` and other commands for operation."""

from __future__ import annotations

import csv
import json
import os
import sys
from typing import TextIO

import alembic.command
import click

from fundraiser.account.personal_data import PERSONAL
from fundraiser.cli.app import open_app
from fundraiser.config import current_settings
from fundraiser.doctor.service import alembic_config, examine
from fundraiser.emails.feedback import read_bounces, take_in
from fundraiser.newsroom import secret_key
from fundraiser.newsroom.models import Role
from fundraiser.newsroom.staff import add_staff, reset_password
from fundraiser.payments import account_gateway
from fundraiser.watch.notices import tell


@click.command()
def migrate() -> None:
    """Run the database migrations."""
    alembic.command.upgrade(alembic_config(), "head")
    click.echo("The database is up to date.")


@click.command("create-staff")
@click.argument("email")
@click.option("--name", default="", help="The name to show; the address unless given.")
@click.option("--role", type=click.Choice([role.value for role in Role]), default="manager")
@click.option("--reset", is_flag=True, help="Give somebody who is there already a new password.")
def create_staff(email: str, name: str, role: str, *, reset: bool) -> None:
    """Add a member of staff. Asks for the password, or reads it from STAFF_PASSWORD."""
    password = os.environ.get("STAFF_PASSWORD") or click.prompt(
        "Password", hide_input=True, confirmation_prompt=True
    )
    with open_app() as app, app.database.transaction() as session:
        if reset:
            staff = reset_password(session, email, password)
            click.echo(f"{staff.email} has a new password and is signed out everywhere.")
        else:
            staff = add_staff(session, email=email, name=name, role=Role(role), password=password)
            click.echo(f"{staff.email} may sign in at {current_settings().public_url}/staff.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
def doctor(*, as_json: bool) -> None:
    """Check everything that the service needs."""
    is_well = True
    with open_app() as app:
        for finding in examine(current_settings(), app.database, account_gateway()):
            if as_json:
                click.echo(json.dumps({"well": finding.is_well, "finding": finding.sentence}))
            else:
                click.echo(f"{'well ' if finding.is_well else 'WRONG'}  {finding.sentence}")
            is_well = is_well and finding.is_well
    sys.exit(not is_well)


@click.command()
def notify() -> None:
    """Send the operator a test notice by each configured way."""
    with open_app():
        settings = current_settings()
        if not settings.operator_email and not settings.operator_webhook:
            raise click.ClickException("Set OPERATOR_EMAIL or OPERATOR_WEBHOOK first.")
        if not tell(settings, ["A test: this is how we tell you when something fails."]):
            raise click.ClickException("No way works: see the log above, and fundraiser doctor.")
    click.echo("The test notice was sent.")


@click.command("accept-secret-key")
def accept_secret_key() -> None:
    """Accept today's SECRET_KEY after the previous one was lost."""
    with open_app() as app:
        secret_key.accept(current_settings(), app.database)
    click.echo("SECRET_KEY is accepted. Staff set up their authenticators again.")


@click.command("personal-data")
def list_personal_data() -> None:
    """Print the personal data we keep, why and how long, as CSV for data protection records."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(("table", "columns", "why", "kept", "in the download", "when erased"))
    for found in PERSONAL:
        exported = "yes" if found.exported else "no"
        columns = " ".join(found.columns)
        rows.writerow((found.table, columns, found.why, found.kept, exported, found.erasure))


@click.group()
def bounces() -> None:
    """Bounces and complaints from a mail provider."""


@bounces.command("import")
@click.argument("file", type=click.File(encoding="utf-8-sig"))
def import_bounces(file: TextIO) -> None:
    """Suppress the addresses of a CSV file: address, reason (bounce, complaint), detail."""
    with open_app() as app, app.database.transaction() as session:
        count = 0
        for report in read_bounces(file):
            take_in(session, report)
            count += 1
    click.echo(f"{count} addresses get no e-mails any more.")
