"""The e-mails that we send, one file each; a new file is a new e-mail."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from fundraiser.outbox import declare

if TYPE_CHECKING:
    from fundraiser.emails.kind import Kind

KINDS: dict[str, Kind] = {}


def load() -> None:
    """Import all files of this folder, and declare their kinds to the outbox."""
    names = sorted((module.name for module in iter_modules(__path__)), key=_by_number)
    KINDS.update({name: _load(name) for name in names})
    declare(KINDS.values())


def label_of(name: str) -> str:
    """A kind's label for staff, or its file's name if it no longer exists."""
    return KINDS[name].label() if name in KINDS else name


def _load(name: str) -> Kind:
    kind: Kind = import_module(f"{__name__}.{name}").KIND
    return replace(kind, name=name)


def _by_number(name: str) -> list[str | int]:
    """Sort key: ``day_3`` before ``day_12``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d{1,3})", name)]


load()
