"""E-mail texts edited by staff; validated when saved and when used."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import memoize, now
from fundraiser.emails.models import EmailSwitch, EmailWording
from fundraiser.emails.parts.body import Wording, with_one_full_stop
from fundraiser.errors import UnprocessableError
from fundraiser.texts import Named, gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.emails.kind import Kind
    from fundraiser.emails.parts.body import Body
    from fundraiser.newsroom.models import Staff

log = structlog.get_logger()

LONGEST_LINE, LONGEST_TEXT = 200, 5000
_NAME = re.compile(r"\{([^{}]{0,50})\}")


def as_staff_want_it(session: Session, kind: Kind, body: Body) -> Body:
    """Replace an e-mail's text with staff's version for the current locale, if any.

    If it names a value that this e-mail lacks, the original stays.
    """
    key = (kind.name, language())
    wording = memoize(session, key, lambda: session.get(EmailWording, key))
    if wording is None or body.original is None:
        return body
    missing = _names(wording.subject, wording.heading, wording.text) - set(body.values)
    if missing:
        log.warning("wording_not_usable", kind=kind.name, missing=sorted(missing))
        return body
    return fill_in(body, Wording(wording.subject, wording.heading, _paragraphs(wording.text)))


def fill_in(body: Body, said: Wording) -> Body:
    """The e-mail with this text, the names in it replaced by the e-mail's values."""
    return replace(
        body,
        subject=_fill(" ".join(said.subject.split()), body.values),
        heading=_fill(" ".join(said.heading.split()), body.values),
        paragraphs=[
            with_one_full_stop(part)
            for part in (*(_fill(part, body.values) for part in said.paragraphs), *body.fixed)
        ],
    )


def keep_wording(
    session: Session, kind: Kind, code: str, said: Wording, *, names: set[str], staff: Staff
) -> None:
    """Save staff's text for a kind and language.

    Raises:
        UnprocessableError: as ``check_wording``.
    """
    check_wording(kind, said, names)
    row = {
        "subject": " ".join(said.subject.split()),
        "heading": " ".join(said.heading.split()),
        "text": "\n\n".join(said.paragraphs),
        "changed_at": now(),
        "staff_id": staff.id,
    }
    session.execute(
        insert(EmailWording)
        .values(kind=kind.name, language=code, **row)
        .on_conflict_do_update(index_elements=[EmailWording.kind, EmailWording.language], set_=row)
    )


def check_wording(kind: Kind, said: Wording, names: set[str]) -> None:
    """Check staff's text for a kind; ``names`` may occur in curly brackets.

    Raises:
        UnprocessableError: a part is empty or too long, has an unknown name, or lacks a needed
            one.
    """
    text = "\n\n".join(said.paragraphs)
    for field, value, most in (
        ("subject", said.subject, LONGEST_LINE),
        ("heading", said.heading, LONGEST_LINE),
        ("text", text, LONGEST_TEXT),
    ):
        _check(field, value, most, names)
    missing = kind.needed_names - _names(said.heading, text)
    if missing:
        raise UnprocessableError(
            _(
                "Leave %(name)s in the text: the e-mail doesn’t work without it.",
                name=f"{{{min(missing)}}}",
            ),
            field="text",
        )


def forget_wording(session: Session, kind: Kind, code: str) -> None:
    """Restore the original text."""
    wording = session.get(EmailWording, (kind.name, code))
    if wording is not None:
        session.delete(wording)


def switch(session: Session, kind: str, *, is_on: bool) -> None:
    """Switch a kind on or off."""
    session.execute(
        insert(EmailSwitch)
        .values(kind=kind, is_on=is_on)
        .on_conflict_do_update(index_elements=[EmailSwitch.kind], set_={"is_on": is_on})
    )


def split_paragraphs(text: str) -> list[str]:
    """Split typed text into paragraphs at its empty lines."""
    return _paragraphs(text.replace("\r\n", "\n"))


def _paragraphs(text: str) -> list[str]:
    lines = "\n".join(line.strip() for line in text.split("\n"))
    return [" ".join(part.split()) for part in lines.split("\n\n") if part.strip()]


def _check(field: str, value: str, most: int, names: set[str]) -> None:
    if not value.strip():
        raise UnprocessableError(_("Write something here."), field=field)
    if len(value) > most:
        raise UnprocessableError(
            _("This is too long. Use %(most)s characters or fewer.", most=most), field=field
        )
    unknown = _names(value) - names
    if unknown or "{" in _NAME.sub("", value) or "}" in _NAME.sub("", value):
        raise UnprocessableError(
            Named(
                "unknown-value",
                _(
                    "In curly brackets you can use only these names: %(names)s.",
                    names=", ".join(f"{{{name}}}" for name in sorted(names)) or "–",
                ),
            ),
            field=field,
        )


def _names(*texts: str) -> set[str]:
    return {name for text in texts for name in _NAME.findall(text)}


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda found: values[found[1]], text)
