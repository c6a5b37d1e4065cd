"""The simulated clock: real time plus a growing offset."""

import time
from pathlib import Path

from simulator.core.store import Store


class Clock:
    """The time, which can be moved forward; the offset is stored, and shown in a file."""

    def __init__(self, store: Store, file: Path | None = None) -> None:
        self.store = store
        self.file = file
        self.offset = int(store.setting("clock_offset", "0"))
        self._write()

    def now(self) -> int:
        return int(time.time()) + self.offset

    def advance(self, seconds: int) -> None:
        """Move forward by this many seconds; updates the file first."""
        self.offset += seconds
        self.store.set_setting("clock_offset", str(self.offset))
        self._write()

    def _write(self) -> None:
        if self.file is None:
            return
        beside = self.file.with_name(f"{self.file.name}.new")
        beside.write_text(f"{self.offset}\n", encoding="utf-8")
        beside.replace(self.file)
