"""Parts of the e-mails about a failed payment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.memberships import MembershipBody, needs
from fundraiser.emails.parts.payments import paid_with
from fundraiser.members.payment_methods import pays_by_card
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from fundraiser.members.models import Membership

SayOfFailure = Callable[..., Wording]


def failed(say: SayOfFailure) -> MembershipBody:
    """The body with this text; ``by_card`` says whether the membership is paid by card."""

    def body(membership: Membership, values: dict[str, str]) -> Body:
        needs(values, "date", "until")
        by_card = pays_by_card(membership)
        return replace(
            compose(lambda v: say(v, by_card=by_card), values, unpaid()),
            rows=[
                (_("You pay"), values["each"]),
                *paid_with(membership),
                (_("Overdue since"), values["date"]),
            ],
            link=pay_link(membership),
            advice=(
                _("If you’d rather leave"),
                _(
                    "Cancel in your account, or reply to this e-mail and we’ll cancel "
                    "for you. Then we’ll stop trying, and you won’t be charged."
                ),
            ),
        )

    return body


def unpaid() -> str:
    """Why the person gets this e-mail."""
    return _("You’re getting this e-mail because a payment for your membership failed.")


def pay_link(membership: Membership) -> Link:
    """The unpaid invoice's page, which accepts any payment method without sign-in."""
    link = membership.pay_url or f"{current_settings().public_url}/account"
    if pays_by_card(membership):
        return Link(_("Pay with this or another card"), link)
    return Link(_("Pay now"), link)
