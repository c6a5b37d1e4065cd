"""`fundraiser maintenance`: stop something, and resume it."""

from __future__ import annotations

import click

from fundraiser.cli.app import open_app
from fundraiser.newsroom import maintenance as stops
from fundraiser.newsroom.maintenance import Stopped

_WHAT = click.argument("what", type=click.Choice([what.value for what in Stopped]))


@click.group(invoke_without_command=True)
@click.pass_context
def maintenance(context: click.Context) -> None:
    """Stop e-mails or sign-ups, or say that we are checking the number; lists what is stopped."""
    if context.invoked_subcommand:
        return
    with open_app() as app, app.database.transaction() as session:
        stopped = stops.read_maintenance(session)
        for what in Stopped:
            found = stopped.get(what)
            since = f"stopped since {found.since:%Y-%m-%d %H:%M} UTC" if found else "as usual"
            click.echo(f"{what.value:<9} {since}. {what.effect if found else ''}".rstrip())


@maintenance.command("stop")
@_WHAT
@click.option("--notice", help="What readers are told; our own words unless given.")
def stop_it(what: str, notice: str | None) -> None:
    """Stop something in all processes at once."""
    with open_app() as app, app.database.transaction() as session:
        stops.stop(session, Stopped(what), notice)
    click.echo(Stopped(what).effect)


@maintenance.command("resume")
@_WHAT
def resume_it(what: str) -> None:
    """Resume something."""
    with open_app() as app, app.database.transaction() as session:
        found = stops.resume(session, Stopped(what))
    click.echo(f"{what} goes on." if found else f"{what} was not stopped.")
