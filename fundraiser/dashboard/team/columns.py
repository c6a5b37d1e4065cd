"""The columns of the activity log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import url_for
from markupsafe import Markup

from fundraiser import db
from fundraiser.dashboard.columns import Column
from fundraiser.dashboard.labels import intent_state
from fundraiser.dashboard.team import labels
from fundraiser.members.member_labels import Label
from fundraiser.texts import N_, date, gettext as _, time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row

    from fundraiser.newsroom.models import AuditEntry, Staff
    from fundraiser.payments.intents import Intent


def activity_columns(names: Mapping[int, str]) -> Sequence[Column]:
    """The columns of entries, each with its staff and intent; ``names`` are staff's by ID."""
    return (
        Column(title=N_("Who"), shown=lambda row: _who(row.Staff)),
        Column(title=N_("Activity"), shown=lambda row: _what(row.AuditEntry, row.Intent)),
        Column(
            title=N_("Affects"),
            shown=lambda row: _subject(row.AuditEntry, names),
            style="came-from",
        ),
        Column(title=N_("When"), shown=lambda row: _when(row.AuditEntry), style="number"),
    )


def row_name(row: Row[AuditEntry, Staff | None, Intent | None]) -> str:
    """The action, by which tests find a row."""
    return row[0].action


def _who(staff: Staff | None) -> str:
    return staff.name if staff else _("Not signed in, or the operator")


def _what(entry: AuditEntry, intent: Intent | None) -> Markup:
    what = Markup("{}").format(labels.action(entry.action))
    changes = entry.details.get("changes", {})
    if fields := ", ".join(labels.field(name) for name in entry.fields if name not in changes):
        what += _detail(fields)
    for name, (old, new) in changes.items():
        what += _detail(
            f"{labels.field(name)}: {labels.value(name, old)} → {labels.value(name, new)}", "change"
        )
    if (label := entry.details.get("label")) and (found := db.session().get(Label, label)):
        what += _detail(found.name)
    if sums := labels.sums(entry.details):
        what += _detail(sums, "sums")
    if intent and not intent.is_done:
        what += Markup(' <span class="note detail" data-test="act-{}">{}</span>').format(
            "open" if intent.is_open else "refused", intent_state(intent)
        )
    return what


def _detail(text: str, name: str = "") -> Markup:
    named = Markup(' data-test="{}"').format(name) if name else ""
    return Markup('<span class="note detail"{}>{}</span>').format(named, text)


def _subject(entry: AuditEntry, names: Mapping[int, str]) -> str:
    kind, _space, name = entry.subject.partition(" ")
    if kind == "member" and name.isdecimal():
        address = url_for("dashboard.member", member_id=name)
        return Markup('<a href="{}">{}</a>').format(address, _("member %(name)s", name=name))
    if kind == "bulk" and name.isdecimal():
        address = url_for("bulk_pages.show", change_id=name)
        return Markup('<a href="{}">{}</a>').format(address, _("change %(name)s", name=name))
    if kind == "staff" and name.isdecimal():
        return names.get(int(name), entry.subject)
    return entry.subject


def _when(entry: AuditEntry) -> str:
    return f"{date(entry.at, 'd MMM y')}, {time(entry.at)}"
