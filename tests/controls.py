"""Negative controls: `python -m tests.controls [NAME…]` switches each behaviour off in turn.

The test that `simulator/README.md` names for it has to fail then; one that passes would not notice
if the simulator forgot the behaviour.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from simulator.core.behaviours import BEHAVIOURS

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "simulator" / "README.md"
_FAILED = 1  # pytest's own: tests ran, and some failed


@dataclass(frozen=True)
class Row:
    """A row of the README's tables; `tests` are pytest's names."""

    name: str
    tests: tuple[str, ...]


def read_rows(text: str) -> list[Row]:
    """The rows of all tables: the name is the first cell's code, the tests the last cell's."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = re.fullmatch("`([a-z0-9_]+)`", cells[0])
        if line.startswith("|") and name:
            found.append(Row(name[1], tuple(re.findall("`(tests/[^`]+)`", cells[-1]))))
    return found


def main() -> None:
    """Run the controls; the exit status is 0 only if each test failed without its behaviour."""
    chosen = set(sys.argv[1:]) or set(BEHAVIOURS)
    unnoticed = []
    for row in read_rows(README.read_text()):
        if row.name not in chosen:
            continue
        for test in row.tests:
            command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--no-header", test]
            environ = os.environ | {"SIMULATOR_WITHOUT": row.name}
            status = subprocess.run(
                command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, check=False
            ).returncode
            sys.stdout.write(
                f"{'noticed' if status == _FAILED else 'UNSEEN '}  {row.name}  {test}\n"
            )
            if status != _FAILED:
                unnoticed.append(row.name)
    sys.exit(bool(unnoticed))


if __name__ == "__main__":
    main()
