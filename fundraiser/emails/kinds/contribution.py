"""Thanks for a one-time contribution."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.campaigns.progress import current_campaign
from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose, money
from fundraiser.emails.parts.payments import example_payment, payment_of
from fundraiser.members.models import Member
from fundraiser.outbox import Email, OncePer
from fundraiser.payments.models import CheckoutKind, Payment
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session


def _read(session: Session, email: Email) -> Body:
    payment = payment_of(session, email)
    if payment.refunded >= payment.amount:
        raise NotDueError("The contribution was paid back before the e-mail could leave.")
    member = session.get_one(Member, email.member_id)
    return _body(session, payment, is_member=member.counting)


def _example(session: Session, member: Member | None) -> Body:
    payment = example_payment(session, member, CheckoutKind.CONTRIBUTION)
    return _body(session, payment, is_member=bool(member))


def _body(session: Session, payment: Payment, *, is_member: bool) -> Body:
    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": money(payment.amount, payment.currency),
        "date": date(payment.paid_at),
    }

    def say(v: Mapping[str, str]) -> Wording:
        thanks = _("Thank you for %(amount)s", amount=v["amount"])
        return Wording(
            thanks,
            thanks,
            [
                _(
                    "Your one-time contribution of %(amount)s went through on "
                    "%(date)s. You won’t be charged for it again.",
                    amount=v["amount"],
                    date=v["date"],
                )
            ],
        )

    campaign = current_campaign(session)
    join = f"{current_settings().public_url}/join"
    return replace(
        compose(
            say,
            values,
            _("You’re getting this e-mail because you made a contribution."),
            not_counted(is_member=is_member),
        ),
        rows=[
            (_("One-time contribution"), values["amount"]),
            (_("Paid on"), values["date"]),
        ],
        has_account=is_member,
        link=None
        if is_member
        else Link(_("Become a member"), f"{join}?campaign={campaign.slug}" if campaign else join),
    )


def not_counted(*, is_member: bool) -> str:
    """That a contribution makes nobody a member."""
    return (
        _(
            "A contribution isn’t a membership, so it doesn’t change how many members "
            "we count. Your own membership continues as before."
        )
        if is_member
        else _(
            "A contribution isn’t a membership, so you aren’t counted as a member. "
            "You can become one any time."
        )
    )


KIND = Kind(
    label=lambda: _("Thank you for a contribution"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=_read,
    example=_example,
    resendable=True,
)
