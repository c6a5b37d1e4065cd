"""A membership was paused: until when, and how to restart it earlier."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.db import now
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.memberships import about_membership, example_about, needs
from fundraiser.emails.parts.requested import requested
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Membership
from fundraiser.outbox import OncePer
from fundraiser.payments.intents import IntentKind
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _body(membership: Membership, values: dict[str, str]) -> Body:
    m = membership
    resumes_at = m.resumes_at or m.period_end
    if resumes_at:
        values["until"] = date(resumes_at)
    needs(values, "until")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your payments are paused until %(until)s", until=v["until"]),
            _("Your payments are paused"),
            [
                _("You won’t be charged until %(until)s.", until=v["until"]),
                _("After that you pay %(each)s again.", each=v["each"]),
            ],
        )

    rows = [(_("Restarts on"), values["until"])]
    fixed = []
    if m.paid_until:
        rows.insert(0, (_("Paid until"), date(m.paid_until)))
        if m.paid_until > now():
            fixed = [_("You stay a member until %(date)s.", date=date(m.paid_until))]
    reason = _("You’re getting this e-mail because your payments were paused.")
    return replace(
        compose(say, values, reason, *fixed),
        rows=rows,
        advice=(
            _("If you change your mind"),
            _("You can restart your membership any day."),
        ),
        link=Link(_("Restart my membership"), membership_link(membership)),
    )


KIND = Kind(
    label=lambda: _("Membership paused"),
    urgent=True,
    once_per=OncePer.CAUSE,
    due=requested(IntentKind.PAUSE, Membership.collection_paused.is_(True)),
    body=about_membership(_body),
    example=example_about(_body),
)
