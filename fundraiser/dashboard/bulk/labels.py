"""Labels and sentences for changes of many members."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flask_babel import format_decimal, ngettext

from fundraiser.dashboard.bulk.models import BulkKind, BulkState, Result
from fundraiser.texts import gettext as _, last_day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundraiser.dashboard.bulk.models import BulkChange


def state(found: BulkState) -> str:
    """A change's status."""
    match found:
        case BulkState.DRAFT:
            return _("Nothing chosen yet")
        case BulkState.PLANNED:
            return _("Preview: nobody is changed yet")
        case BulkState.APPLYING:
            return _("Being made")
        case BulkState.APPLIED:
            return _("Done")
        case BulkState.UNDOING:
            return _("Being undone")
        case BulkState.UNDONE:
            return _("Undone")


def result(found: Result) -> str:
    """What became of a person."""
    match found:
        case Result.CHANGED:
            return _("Changed")
        case Result.UNCHANGED:
            return _("Nothing to change")
        case Result.GONE:
            return _("Account deleted in the meantime")
        case Result.UNDONE:
            return _("Undone")
        case Result.KEPT:
            return _("Not undone: changed again since")


def what(change: BulkChange, label_names: Mapping[int, str]) -> str:
    """What a change does to each person; ``label_names`` are by ID."""
    label = label_names.get(change.options.get("label", 0), _("a deleted one"))
    match change.kind:
        case BulkKind.ADD_LABEL:
            return _("Add the label “%(label)s”", label=label)
        case BulkKind.REMOVE_LABEL:
            return _("Remove the label “%(label)s”", label=label)
        case BulkKind.NOTE:
            return _("Write a note")
        case BulkKind.COMPLIMENTARY:
            until = datetime.fromisoformat(change.options["until"])
            return _("Give a complimentary membership until %(date)s", date=last_day(until))
    return _("Nothing chosen yet")


def for_one(change: BulkChange, outcome: Result, label_names: Mapping[int, str]) -> str:
    """What a change did to one person, as one of many."""
    values = {"what": what(change, label_names), "people": people(change.people)}
    if outcome is Result.UNDONE:
        return _("%(what)s, with a list of %(people)s; undone since.", **values)
    return _("%(what)s, with a list of %(people)s.", **values)


def people(count: int) -> str:
    """How many people a change is about."""
    shown = format_decimal(count)
    return str(ngettext("%(count)s member", "%(count)s members", count, count=shown))
