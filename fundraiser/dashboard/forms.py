"""Detect when two members of staff edit the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.forms import fingerprint
from fundraiser.newsroom.audit import newest
from fundraiser.texts import gettext as _, time

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.forms import Form


def note_conflict(form: Form, session: Session, stored: object, subject: str) -> None:
    """Mark the form if somebody else has changed the subject since the page was opened."""
    texts = form.texts_of(stored)
    if form.seen == fingerprint(texts):
        return
    form.seen = fingerprint(texts)
    form.theirs = {name: form.say(name, texts[name]) for name in form.changed(stored)}
    who, at = newest(session, subject) or (None, None)
    if who and at:
        form.conflict = _(
            "%(name)s changed this at %(time)s, after you opened it.",
            name=who.name,
            time=time(at),
        )
    else:
        form.conflict = _("Somebody changed this after you opened it.")
