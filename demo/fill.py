"""Make the demonstration's data once, in a process of its own: the launcher stays small."""

import gc
import os
import sys
from contextlib import suppress

import psycopg

from demo.settings import CAMPAIGN, STAFF_EMAIL, read_settings

BAR = 40  # characters


def is_filled(database_url: str) -> bool:
    """Whether an earlier start has filled this database: the campaign is written last."""
    with suppress(psycopg.errors.UndefinedTable), psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT 1 FROM campaign WHERE slug = %s", (CAMPAIGN,))
        return found.fetchone() is not None
    return False


def main() -> None:
    """Fill the database and the running simulator's store that the environment names."""
    # Here, so that asking whether there is anything to do doesn't load the whole service.
    from demo.data import fill
    from fundraiser.config import load_settings

    # Hundreds of thousands of objects live until the end: looking for garbage took a quarter of it.
    gc.disable()
    settings = read_settings()
    fill(
        load_settings(os.environ),
        settings.store,
        show_progress,
        members=settings.members,
        staff=(STAFF_EMAIL, settings.secrets["staff_password"]),
    )


def show_progress(done: int, total: int) -> None:
    """Draw a bar on a terminal; nothing elsewhere."""
    if sys.stdout.isatty():
        steps = done * BAR // total
        end = "\n" if done == total else ""
        print(f"\r[{'#' * steps}{'.' * (BAR - steps)}]", end=end, flush=True)


if __name__ == "__main__":
    main()
