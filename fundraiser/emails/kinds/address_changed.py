"""A member's address was changed: told to both, with a link that undoes it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose
from fundraiser.members.address_changes import AddressChange, End, changed_address, mask
from fundraiser.members.email_links import undo_link
from fundraiser.outbox import Email, OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


def _read(session: Session, email: Email) -> Body:
    change = session.get(AddressChange, email.context["change"])
    if change is None:
        raise NotDueError("The change was forgotten before the e-mail could leave.")
    to = End(email.context["end"])
    before, after = (change.address(end) if end is to else mask(change.address(end)) for end in End)
    return _body(before, after, change.id if change.can_be_undone else None)


def _address(session: Session, email: Email) -> str:
    """The old or the new one, whichever this e-mail is for."""
    address = changed_address(session, email.context["change"], email.context["end"])
    if address is None:
        raise NotDueError("The change was forgotten before the e-mail could leave.")
    return address


def _body(before: str, after: str, undone_by: int | None) -> Body:
    """``undone_by`` is the change that the link undoes."""
    newsroom = current_settings().newsroom_name
    return replace(
        compose(
            _say,
            {"newsroom": newsroom, "before": before, "after": after},
            _("We’ve sent this e-mail to both your old and your new address."),
            *(
                (
                    _(
                        "If that wasn’t you, undo the change with the button below. It works "
                        "for 72 hours."
                    ),
                )
                if undone_by is not None
                else ()
            ),
        ),
        link=None if undone_by is None else Link(_("Undo the change"), undo_link(undone_by)),
    )


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your e-mail address at %(newsroom)s has been changed", newsroom=v["newsroom"]),
        _("Your e-mail address has been changed"),
        [
            _(
                "Your membership’s e-mail address has changed from %(before)s to %(after)s.",
                before=v["before"],
                after=v["after"],
            ),
            _("You’ve been signed out in other browsers. Sign in there with the new address."),
        ],
    )


KIND = Kind(
    label=lambda: _("Address changed"),
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=_read,
    example=lambda _session, _member: _body("olena@example.org", "o…@example.net", 0),
    address=_address,
    always_on=True,
)
