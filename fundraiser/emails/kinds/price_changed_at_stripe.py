"""The newsroom changed in Stripe what a member pays: the new price, and what comes next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, NotDueError, Wording, compose
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.members.models import ENDED
from fundraiser.members.prices import next_payment_of
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundraiser.members.models import Membership


def _body(membership: Membership, values: dict[str, str]) -> Body:
    if membership.status in ENDED:
        raise NotDueError("The membership has ended.")

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You now pay %(each)s", each=v["each"]),
            _("You now pay %(each)s", each=v["each"]),
            [
                _(
                    "%(newsroom)s has changed what you pay. If you didn’t ask for this, reply to "
                    "this e-mail.",
                    newsroom=v["newsroom"],
                )
            ],
        )

    rows = [(_("You pay"), values["each"])]
    if following := next_payment_of(membership):
        rows.append((_("Next payment"), following))
    return replace(
        compose(say, values, _("You’re getting this e-mail because what you pay has changed.")),
        rows=rows,
    )


KIND = Kind(
    label=lambda: _("Price changed in Stripe"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=about_membership(_body),
    example=example_about(_body),
)
