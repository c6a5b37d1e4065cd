"""A cancellation or a pause was undone: what is charged next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.requested import requested
from fundraiser.members.models import Membership
from fundraiser.members.prices import next_payment_of
from fundraiser.members.renewals import RENEWS
from fundraiser.outbox import OncePer
from fundraiser.payments.intents import IntentKind
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _body(membership: Membership, values: dict[str, str]) -> Body:
    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your membership continues"),
            _("Your membership continues"),
            [_("Thank you for staying with %(newsroom)s.", newsroom=v["newsroom"])],
        )

    rows = [(_("You pay"), values["each"])]
    if following := next_payment_of(membership):
        rows.append((_("Next payment"), following))
    return replace(
        compose(
            say,
            values,
            _("You’re getting this e-mail because your membership was restarted."),
        ),
        rows=rows,
    )


KIND = Kind(
    label=lambda: _("Membership continues"),
    urgent=True,
    once_per=OncePer.CAUSE,
    due=requested(IntentKind.RESUME, Membership.collection_paused.is_(False), RENEWS),
    body=about_membership(_body),
    example=example_about(_body),
)
