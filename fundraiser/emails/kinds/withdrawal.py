"""Confirms that a member's withdrawal from the contract has arrived, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose
from fundraiser.outbox import Email, OncePer
from fundraiser.texts import date_and_time, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


def _read(_session: Session, email: Email) -> Body:
    return _body(datetime.fromisoformat(email.context["at"]))


def _body(at: datetime) -> Body:
    values = {"newsroom": current_settings().newsroom_name, "time": date_and_time(at)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("We’ve received your withdrawal"),
            _("We’ve received your withdrawal"),
            [
                _(
                    "You’ve withdrawn from your membership of %(newsroom)s. If you joined less "
                    "than 14 days ago, we’ll end it and refund your payment within 14 days, the "
                    "way you paid.",
                    newsroom=v["newsroom"],
                ),
                _("If that wasn’t you, reply to this e-mail and your membership continues."),
            ],
        )

    reason = _("You’re getting this e-mail because somebody sent our form with your address.")
    return replace(compose(say, values, reason), rows=[(_("Received"), values["time"])])


KIND = Kind(
    label=lambda: _("Withdrawal received"),
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=_read,
    example=lambda _session, _member: _body(now()),
    always_on=True,
)
