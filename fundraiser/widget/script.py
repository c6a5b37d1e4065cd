"""The widget script as served: built from its source, and kept for ever.

``make publish-widget`` builds it with terser, which needs npm, and commits its bytes under their
hash: the service itself builds nothing. Every published version stays available.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
PUBLISHED = FOLDER / "published"
CURRENT = FOLDER / "current-script"  # the hash of the one that /widget.js serves

TERSER = ("npx", "--yes", "--package=terser@5.51.4", "terser")
_OPTIONS = ("--ecma", "2022", "--compress", "passes=3", "--mangle")

# The style sheet is the one text that begins with a new line; terser leaves texts as they are.
_STYLE = re.compile(r"`\n[^`]*`")
_AROUND = re.compile(r"\s*([{}:;,`])\s*")


@dataclass(frozen=True, slots=True)
class Script:
    """A version of the script: its ``hash`` in /widget-<hash>.js, and its SRI ``integrity``."""

    body: bytes
    hash: str
    integrity: str


@cache
def current_script() -> Script:
    """The script that /widget.js serves."""
    name = CURRENT.read_text().strip()
    return _name((PUBLISHED / f"{name}.js").read_bytes())


@cache
def pinned_scripts() -> dict[str, Script]:
    """Every published script, by hash."""
    published = (_name(path.read_bytes()) for path in sorted(PUBLISHED.glob("*.js")))
    return {script.hash: script for script in published}


def publish() -> Path:
    """Build the script, keep its bytes and serve them from now on; returns their path."""
    script = _name(build((FOLDER / "membership-progress.js").read_text()))
    path = PUBLISHED / f"{script.hash}.js"
    path.write_bytes(script.body)
    CURRENT.write_text(f"{script.hash}\n")
    current_script.cache_clear()
    return path


def _name(body: bytes) -> Script:
    integrity = b64encode(hashlib.sha384(body).digest()).decode()
    return Script(body, hashlib.sha256(body).hexdigest()[:16], f"sha384-{integrity}")


def build(source: str) -> bytes:
    """Remove comments and needless spaces, and shorten local names.

    Raises:
        subprocess.CalledProcessError: the source is no valid script, or npm is out of reach.
    """
    squeezed = _STYLE.sub(_squeeze_style, source).encode()
    terser = [*TERSER, *_OPTIONS]
    return subprocess.run(  # noqa: S603 - ours, run by whoever publishes
        terser, input=squeezed, stdout=subprocess.PIPE, check=True
    ).stdout


def _squeeze_style(style: re.Match[str]) -> str:
    return _AROUND.sub(r"\1", style[0]).replace(";}", "}")


if __name__ == "__main__":
    kept = publish().relative_to(FOLDER.parent.parent)
    sys.stdout.write(f"Commit {kept}\nIts SRI value: {current_script().integrity}\n")
