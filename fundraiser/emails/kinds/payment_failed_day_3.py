"""A payment failed again, three days later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Wording
from fundraiser.emails.parts.failed_payments import failed
from fundraiser.emails.parts.memberships import about_membership, example_about
from fundraiser.emails.parts.queries import payment_failed
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping


def _say(v: Mapping[str, str], *, by_card: bool) -> Wording:
    return Wording(
        _("Your %(amount)s payment still hasn’t gone through", amount=v["amount"]),
        _("Your payment still hasn’t gone through"),
        [
            _(
                "Your %(amount)s payment has been due since %(date)s. You stay a "
                "member until %(until)s while we keep trying.",
                amount=v["amount"],
                date=v["date"],
                until=v["until"],
            ),
            _("Another card often works. Some banks ask you to confirm that the payment is yours.")
            if by_card
            else _("You can pay another way, or ask your bank why it declined the payment."),
        ],
    )


KIND = Kind(
    label=lambda: _("Payment failed: after 3 days"),
    once_per=OncePer.CAUSE,
    due=payment_failed(3, 7),
    body=about_membership(failed(_say)),
    example=example_about(failed(_say), unpaid=True),
)
