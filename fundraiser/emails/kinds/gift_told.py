"""A gift, told to whom it is for: at once, or on the day that its giver chose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask_babel import ngettext

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.gifts import (
    IS_WAITING,
    code_row,
    example_about_gift,
    gift_values,
    what_is_given,
)
from fundraiser.emails.parts.queries import Due, days, due_to, key_of
from fundraiser.members.gifts import Gift, redeem_address
from fundraiser.outbox import OncePer, Recipient
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session


def _due(at: datetime) -> Due:
    """At once or on its day; who hears of it a week late hears of it all the same."""
    return due_to(Gift.id, key_of(Gift.tell_at)).where(
        Gift.tell_at <= at,
        Gift.tell_at > at - days(30),
        *IS_WAITING,
        Gift.recipient_email.is_not(None),
    )


def _body(session: Session, gift: Gift) -> Body:
    values = gift_values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("%(giver)s has given you a membership of %(newsroom)s", **_names(v)),
            _("A gift from %(name)s", name=v["giver"]),
            [
                ngettext(
                    "%(giver)s has paid for you to be a member of %(newsroom)s for %(num)s year.",
                    "%(giver)s has paid for you to be a member of %(newsroom)s for %(num)s years.",
                    gift.years,
                    **_names(v),
                ),
                _(
                    "Accept it with the button below or with the code, and you’re a "
                    "member from that day. It ends automatically, and you won’t be "
                    "charged."
                ),
            ],
        )

    body = compose(
        say,
        values,
        _("You’re getting this e-mail because somebody gave us your address for a gift."),
    )
    # The giver's own words, unchanged and marked as theirs: our name stands on the rest.
    said = _("A message from %(name)s, which we haven’t read:", name=values["giver"])
    lines = (f"> {line}" for line in gift.message.splitlines() if line.strip())
    fixed = (said, *lines) if gift.message else ()
    return replace(
        body,
        has_account=False,
        paragraphs=[*body.paragraphs, *fixed],
        fixed=fixed,
        rows=[*code_row(gift), *what_is_given(gift, values)],
        link=Link(_("Accept the gift"), redeem_address(gift)),
    )


def _names(values: Mapping[str, str]) -> dict[str, str]:
    return {"giver": values["giver"], "newsroom": values["newsroom"]}


KIND = Kind(
    label=lambda: _("Gift: delivery (to the recipient)"),
    to=Recipient.GIFT,
    urgent=True,
    once_per=OncePer.RECIPIENT,
    due=_due,
    body=lambda session, email: _body(session, session.get_one(Gift, email.gift_id)),
    example=example_about_gift(_body),
)
