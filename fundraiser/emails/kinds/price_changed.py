"""A member changed what they pay: the new price, what was charged, and what is left over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, NotDueError, Wording, compose, money
from fundraiser.emails.parts.memberships import example_about, membership_of, values_of
from fundraiser.emails.parts.requested import requested
from fundraiser.members.models import Membership
from fundraiser.members.prices import next_payment_of
from fundraiser.outbox import Email, OncePer
from fundraiser.payments.intents import Intent, IntentKind
from fundraiser.payments.models import Payment, PaymentStatus
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

_CLOCKS_DIFFER = timedelta(minutes=1)


def _read(session: Session, email: Email) -> Body:
    membership = membership_of(session, email.context["membership"])
    if membership is None:
        raise NotDueError("The membership that it is about is not known any more.")
    return _body(membership, values_of(membership), _charged(session, email.key))


def _charged(session: Session, key: str) -> int:
    """What the change itself cost, in minor units."""
    paid = (
        select(func.sum(Payment.amount))
        .join(Intent, Intent.target == Payment.subscription_id)
        .where(
            Intent.key == key,
            Payment.paid_at >= func.date_trunc("second", Intent.created_at),
            Payment.paid_at < Intent.closed_at + _CLOCKS_DIFFER,
            Payment.status == PaymentStatus.SUCCEEDED,
        )
    )
    return int(session.scalar(paid) or 0)


def _body(membership: Membership, values: dict[str, str], charged: int = 0) -> Body:
    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You now pay %(each)s", each=v["each"]),
            _("You now pay %(each)s", each=v["each"]),
            [_("Thank you for supporting %(newsroom)s.", newsroom=v["newsroom"])],
        )

    rows = [(_("You pay"), values["each"])]
    if charged:
        rows.insert(0, (_("Charged for the change"), money(charged, membership.currency)))
    if following := next_payment_of(membership):
        rows.append((_("Next payment"), following))
    return replace(
        compose(say, values, _("You’re getting this e-mail because what you pay has changed.")),
        rows=rows,
    )


KIND = Kind(
    label=lambda: _("Price changed"),
    urgent=True,
    once_per=OncePer.CAUSE,
    due=requested(IntentKind.PRICE, Membership.needs_confirmation.is_(False)),
    body=_read,
    example=example_about(_body),
)
