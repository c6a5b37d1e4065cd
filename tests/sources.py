"""Files from elsewhere for tests: the examples, what is expected of them, and bringing them in."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fundraiser.sources import batches
from fundraiser.sources.formats import File, recognise
from fundraiser.sources.readings import Context, FileRefusedError, Options

if TYPE_CHECKING:
    from fundraiser.db import Database
    from fundraiser.sources.readings import Reading

EXAMPLES = Path(__file__).parent / "imports"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
GRACE = timedelta(days=14)
OTHER_NAMES = {"ghost.csv with ghost_admin_api_members.json": "ghost_admin_api_members.json"}


@dataclass
class Expected:
    """A table of EXPECTED.md: what is said of each row, and how many people count."""

    file: str
    expected: dict[int, str] = field(default_factory=dict)
    people: int = 0


def expected_tables() -> list[Expected]:
    """All tables of EXPECTED.md whose rows are numbers of rows."""
    tables: list[Expected] = []
    for part in (EXAMPLES / "EXPECTED.md").read_text().split("\n## ")[1:]:
        heading = part.splitlines()[0]
        count = re.search(r"Lines of this table that count: (\d+)", part)
        if not count or "bom_then" in heading:
            continue
        for name in _files(heading):
            table = Expected(name)
            if "camt053" not in name and "sep_line" not in name:
                for row, _who, counts, _why in re.findall(
                    r"^\| ([\d-]+) \| (.+?) \| (.+?) \| ?(.*) \|$", part, re.MULTILINE
                ):
                    table.expected[int(row.split("-")[0])] = _word(counts)
            tables.append(table)
            table.people = int(count[1]) + (2 if "sep_line" in name else 0)
    return tables


def _files(heading: str) -> list[str]:
    heading = OTHER_NAMES.get(heading, heading)
    return re.findall(r"[a-z0-9_]+\.(?:csv|xml|json|xlsx)", heading)


def _word(counts: str) -> str:
    if "same as" in counts:
        return "same"
    if counts.startswith("yes"):
        return "yes"
    return {"row refused": "refused", "file asks": "staff"}.get(
        counts, counts.split(" ", maxsplit=1)[0]
    )


def read(content: bytes, options: Options | None = None, name: str = "a.csv") -> list[Reading]:
    """All that is read of a file, by the format that knows it."""
    file = File(io.BytesIO(content), name, options or Options())
    form = recognise(file)
    if form is None:
        file.table()
        raise FileRefusedError("It is nobody's.")
    context = Context(ZoneInfo("Europe/Kyiv"), "UAH", NOON, NOON, file.options)
    return list(form.read(file, context))


def upload(content: bytes, name: str, **values: str | None) -> batches.Upload:
    return batches.Upload(io.BytesIO(content), name, **values)


def plan(
    database: Database,
    content: bytes,
    name: str,
    options: Options | None = None,
    **values: str | None,
) -> int:
    """Read and plan a file; returns its batch's number."""
    with database.transaction() as session:
        handed = upload(content, name, **values)
        batch = batches.begin(session, handed, options or Options())
        batches.read_and_plan(session, batch, handed.content, GRACE)
        return batch.id


def apply(database: Database, batch_id: int) -> None:
    with database.transaction() as session:
        batches.confirm(session, batches.find_batch(session, batch_id), GRACE)
    while batches.step(database, batch_id, GRACE):
        pass


def undo(database: Database, batch_id: int) -> None:
    with database.transaction() as session:
        batches.undo(session, batches.find_batch(session, batch_id))
    while batches.step(database, batch_id, GRACE):
        pass


def bring_in(
    database: Database, name: str, options: Options | None = None, **values: str | None
) -> int:
    """Bring an example in, whole; returns its batch's number."""
    batch_id = plan(database, (EXAMPLES / name).read_bytes(), name, options, **values)
    apply(database, batch_id)
    return batch_id
