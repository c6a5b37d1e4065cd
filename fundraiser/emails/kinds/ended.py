"""A membership has ended, and there is no other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose
from fundraiser.emails.parts.memberships import about_membership, example_about, join_again, needs
from fundraiser.emails.parts.queries import due_to_members, has_left, key_of
from fundraiser.members.models import Membership
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _body(membership: Membership, values: dict[str, str]) -> Body:
    needs(values, "date")
    has_failed = membership.cancel_reason == "payment_failed"

    def say(v: Mapping[str, str]) -> Wording:
        why = (
            _("Your %(amount)s payment failed, and we’ve stopped trying.", amount=v["amount"])
            if has_failed
            else _("You won’t be charged again.")
        )
        return Wording(
            _("Your membership has ended"),
            _("Your membership ended on %(date)s", date=v["date"]),
            [
                why,
                _(
                    "Thank you for being a member of %(newsroom)s. If you come back, "
                    "your member number is still yours.",
                    newsroom=v["newsroom"],
                ),
            ],
        )

    return replace(
        compose(say, values, _("You’re getting this e-mail because your membership has ended.")),
        has_account=False,
        link=join_again(),
    )


KIND = Kind(
    label=lambda: _("Membership ended"),
    urgent=True,
    once_per=OncePer.CAUSE,
    due=lambda at: due_to_members(key_of(Membership.reference), *has_left(at, 0, 3)),
    body=about_membership(_body),
    example=example_about(_body, ended=True),
)
