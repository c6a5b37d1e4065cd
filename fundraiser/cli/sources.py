"""`fundraiser sources`: import members who pay elsewhere, from a file."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sqlalchemy import select

from fundraiser.cli.app import open_app
from fundraiser.config import current_settings
from fundraiser.sources import applying, batches, labels
from fundraiser.sources.live.status import list_live
from fundraiser.sources.models import AT_WORK, BatchState, ImportBatch, ImportRow, Outcome
from fundraiser.sources.overview import list_sources, refresh
from fundraiser.sources.readings import FileRefusedError, Options
from fundraiser.sources.refusals import stream_refused

if TYPE_CHECKING:
    from typing import BinaryIO

    from sqlalchemy.orm import Session

    from fundraiser.app import FundraiserApp

_WAITS_FOR_A_PERSON = 3  # the exit status
_PAUSE = 0.2  # seconds until a worker that was quicker has come further
_SHOWN = 20  # rows
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def sources() -> None:
    """Members who pay elsewhere: Patreon, Ghost, Substack, a bank, a list."""


@sources.command("import")
@click.argument(
    "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--format", "form", metavar="NAME", help="Which system's file it is; else recognised."
)
@click.option("--dry-run", is_flag=True, help="Say what it would do, and change nothing.")
@click.option("--yes", is_flag=True, help="Bring it in.")
@click.option("--source", metavar="NAME", help="Which source, where you have two of one system.")
@click.option("--as-of", metavar="DAY", help="When the list was made, like 2026-11-29.")
@click.option("--whole-list", is_flag=True, help="End whoever of this source isn't in the file.")
@click.option("--encoding", help="Such as utf-8 or cp1251; else recognised.")
@click.option("--delimiter", help="The sign between two cells; else recognised.")
@click.option("--date-order", type=click.Choice(["dmy", "mdy"]), help="Of 12/09/2026.")
@click.option("--decimal", type=click.Choice([".", ","]), help="The mark in 1,250.")
@click.option("--sheet", help="The workbook's sheet; else the first.")
@click.option("--currency", help="Of amounts without one.")
@click.option(
    "--annual", type=click.Choice(["year", "month"]), default="year", help="Whose amount."
)
@click.option("--paid-until", metavar="DAY", help="Until when, of people without a date.")
@click.option(
    "--price", "prices", multiple=True, metavar="month=5", help="Where a file has no amounts."
)
@click.option("--column", "columns", multiple=True, metavar="FIELD=HEADING", help="Of any list.")
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Where to write the rows that were refused, with the reasons.",
)
def import_file(
    path: Path,
    *,
    form: str | None,
    dry_run: bool,
    yes: bool,
    source: str | None,
    as_of: str | None,
    whole_list: bool,
    encoding: str | None,
    delimiter: str | None,
    date_order: str | None,
    decimal: str | None,
    sheet: str | None,
    currency: str | None,
    annual: str,
    paid_until: str | None,
    prices: tuple[str, ...],
    columns: tuple[str, ...],
    refused: Path | None,
) -> None:
    """Import members from another system's FILE.

    The exit status is 0 if it was applied, 3 if rows need a decision, and 1 if the file was
    refused.
    """
    if dry_run == yes:
        raise click.UsageError("Choose --dry-run to see what it would do, or --yes to bring it in.")
    options = Options(
        encoding=encoding,
        delimiter=delimiter,
        date_order=date_order,
        decimal=decimal,
        sheet=sheet,
        columns=dict(_pair(word, "FIELD=HEADING, like until=Paid until") for word in columns),
        as_of=as_of,
        currency=currency,
        annual=annual,
        paid_until=paid_until,
        prices=dict(_pair(word, "INTERVAL=AMOUNT, like month=5.00") for word in prices),
        whole_list=whole_list,
    )
    with open_app() as app, path.open("rb") as content:
        upload = batches.Upload(content, path.name, form, source)
        try:
            waiting = _run(app, upload, options, content, refused, is_dry=dry_run)
        except FileRefusedError as error:
            raise click.ClickException(str(error)) from error
    if yes and waiting:
        click.echo(f"Rows that wait for a person to decide, at /staff/sources: {waiting}")
        sys.exit(_WAITS_FOR_A_PERSON)


def _run(
    app: FundraiserApp,
    upload: batches.Upload,
    options: Options,
    content: BinaryIO,
    refused: Path | None,
    *,
    is_dry: bool,
) -> int:
    """Plan the file, and apply it unless it is a dry run; returns how many rows need a decision."""
    grace = current_settings().grace
    with app.database.transaction() as session:
        batch = batches.begin(session, upload, options)
        batches.read_and_plan(session, batch, content, grace)
        _print_plan(session, batch)
        if refused and batch.counts.get(Outcome.REFUSED.value):
            with refused.open("w", encoding="utf-8", newline="") as file:
                file.writelines(stream_refused(nullcontext(session), batch))
        if is_dry:
            session.rollback()
            click.echo("This was a dry run: nothing is changed.")
            return 0
        batches.confirm(session, batch, grace)
    click.echo(f"Batch {batch.id} of {batch.source}.")
    _wait(app, batch.id, batch.counts)
    with app.database.transaction() as session:
        batch = batches.find_batch(session, batch.id)
        refresh(session, grace)
        if batch.state is not BatchState.APPLIED:
            raise click.ClickException(f"Batch {batch.id} is {batch.state.value}.")
        click.echo(f"Batch {batch.id} is applied: {batch.done} rows changed something.")
        return applying.waiting(session, batch.id)


def _pair(word: str, shape: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals and value):
        raise click.BadParameter(f"{word} is not {shape}.")
    return name, value


def _wait(app: FundraiserApp, batch_id: int, counts: dict[str, int]) -> None:
    """Process the file until it is done, along with the workers if there are any."""
    grace = current_settings().grace
    length = sum(counts.get(name.value, 0) for name in Outcome)
    with click.progressbar(length=length, label=f"Batch {batch_id}", file=sys.stderr) as bar:
        done = 0
        while True:
            did_some = batches.step(app.database, batch_id, grace)
            with app.database.transaction() as session:
                batch = batches.find_batch(session, batch_id)
                if batch.state not in AT_WORK:
                    return
            bar.update(batch.done - done)
            done = batch.done
            if not did_some:
                time.sleep(_PAUSE)


def _print_plan(session: Session, batch: ImportBatch) -> None:
    day = f"{batch.list_at:%Y-%m-%d %H:%M} UTC" if batch.list_at else "not known, taken as today"
    click.echo(f"Format: {batch.format}. Source: {batch.source}. List made: {day}.")
    told = {
        name: batch.options[name]
        for name in ("encoding", "delimiter", "sheet")
        if batch.options.get(name)
    }
    if told:
        click.echo("Read as: " + ", ".join(f"{name} {value!r}" for name, value in told.items()))
    for note in batch.notes:
        click.echo(f"Note: {note}")
    for _code, label, count in labels.results(batch):
        click.echo(f"{label}: {count}")
    for name in (Outcome.HELD, Outcome.REFUSED, Outcome.ABSENT):
        _print_rows(session, batch, name)
    for rhythm, amount, count in labels.sums(batch):
        click.echo(f"Pay {rhythm}: {amount} by {count} memberships")
    click.echo(f"Members before: {batch.members_before}")
    click.echo(f"Members after: {batch.members_after}")


def _print_rows(session: Session, batch: ImportBatch, name: Outcome) -> None:
    rows = session.execute(
        select(ImportRow.number, ImportRow.why)
        .where(ImportRow.batch_id == batch.id, ImportRow.outcome == name)
        .order_by(ImportRow.number)
        .limit(_SHOWN)
    )
    for number, why in rows:
        click.echo(f"  row {number}: {labels.why(why)}")


@sources.command("undo")
@click.argument("batch_id", metavar="BATCH", type=int)
@click.option("--yes", is_flag=True, help="Undo it.")
def undo_batch(batch_id: int, *, yes: bool) -> None:
    """Undo a whole BATCH: remove people that it added, and restore older values."""
    if not yes:
        raise click.UsageError("Say --yes to undo it.")
    with open_app() as app:
        with app.database.transaction() as session:
            batch = batches.find_batch(session, batch_id)
            batches.undo(session, batch)
        _wait(app, batch_id, batch.counts)
        with app.database.transaction() as session:
            refresh(session, current_settings().grace)
    click.echo(f"Batch {batch_id} is undone.")


@sources.command("list")
def list_all() -> None:
    """List the sources with their people, the age of their lists, and their batches."""
    with open_app() as app, app.database.transaction() as session:
        refresh(session, current_settings().grace)
        for source in list_sources(session):
            day = f"{source.list_at:%Y-%m-%d}" if source.list_at else "none"
            click.echo(f"{source.name}: {source.members} people, list of {day}")
            found = session.scalars(
                select(ImportBatch)
                .where(ImportBatch.source == source.name)
                .order_by(ImportBatch.id.desc())
                .limit(_SHOWN)
            )
            for batch in found:
                click.echo(
                    f"  batch {batch.id}: {batch.state.value}, {batch.rows} rows, "
                    f"{batch.created_at:%Y-%m-%d %H:%M}"
                )
        for one in list_live(session, current_settings()):
            trouble = one.trouble.value if one.trouble else "paused" if one.paused_at else "well"
            listed = f"{one.listed_at:%Y-%m-%d %H:%M} UTC" if one.listed_at else "not yet"
            click.echo(f"{one.name} is asked each night: listed {listed}, {trouble}")
