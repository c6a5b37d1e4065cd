"""Build the served widget script: the source without comments and spaces.

Every published version stays available under its hash: ``make publish-widget`` stores its bytes.
"""

from __future__ import annotations

import hashlib
import re
import sys
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rjsmin

FOLDER = Path(__file__).parent
PUBLISHED = FOLDER / "published"

# The style sheet is the one text that begins with a new line; rjsmin leaves texts as they are.
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
    return _name(squeeze((FOLDER / "membership-progress.js").read_text()).encode())


@cache
def pinned_scripts() -> dict[str, Script]:
    """Every published script, by hash."""
    published = [_name(path.read_bytes()) for path in sorted(PUBLISHED.glob("*.js"))]
    return {script.hash: script for script in [*published, current_script()]}


def publish() -> Path:
    """Store the current script's bytes permanently; returns the path."""
    script = current_script()
    path = PUBLISHED / f"{script.hash}.js"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(script.body)
    return path


def _name(body: bytes) -> Script:
    integrity = b64encode(hashlib.sha384(body).digest()).decode()
    return Script(body, hashlib.sha256(body).hexdigest()[:16], f"sha384-{integrity}")


def squeeze(source: str) -> str:
    """Remove comments, indentation and needless spaces."""
    return _STYLE.sub(_squeeze_style, rjsmin.jsmin(source))


def _squeeze_style(style: re.Match[str]) -> str:
    return _AROUND.sub(r"\1", style[0]).replace(";}", "}")


if __name__ == "__main__":
    kept = publish().relative_to(FOLDER.parent.parent)
    sys.stdout.write(f"Commit {kept}\nIts SRI value: {current_script().integrity}\n")
