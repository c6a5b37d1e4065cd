"""A payment arrived after the membership had ended: restart it, or get a refund."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import (
    Body,
    Link,
    NotDueError,
    Wording,
    compose,
    example_link,
    money,
)
from fundraiser.emails.parts.memberships import example_membership
from fundraiser.members.email_links import payment_link
from fundraiser.outbox import Email, OncePer
from fundraiser.payments.cases import CaseKind, find_case
from fundraiser.payments.late import read_late_payment
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member


def _read(session: Session, email: Email) -> Body:
    case = find_case(session, CaseKind.PAID_AFTER_END, email.key)
    if case is None or case.closed_at is not None:
        raise NotDueError("The payment was refunded or used before the e-mail could leave.")
    late = read_late_payment(session, case.id)
    return _body(
        case.amount,
        case.currency,
        payment_link(case.id),
        may_restart=late is not None and late.may_restart,
    )


def _example(session: Session, member: Member | None) -> Body:
    membership = example_membership(session, member)
    return _body(membership.amount, membership.currency, example_link(), may_restart=True)


def _body(amount: int, currency: str, link: str, *, may_restart: bool) -> Body:
    values = {"newsroom": current_settings().newsroom_name, "amount": money(amount, currency)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You paid %(amount)s after your membership ended", amount=v["amount"]),
            _("You paid %(amount)s after your membership ended", amount=v["amount"]),
            [
                _("Thank you. Your payment went through, but your membership had already ended."),
                _("You can restart it with this payment or get a refund.")
                if may_restart
                else _("You can get a refund."),
            ],
        )

    return replace(
        compose(
            say,
            values,
            _("You’re getting this e-mail because you paid for a membership that had ended."),
        ),
        rows=[(_("You paid"), values["amount"])],
        link=Link(_("Restart or get a refund") if may_restart else _("Get a refund"), link),
        has_account=False,
    )


KIND = Kind(
    label=lambda: _("Payment after the membership ended"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=_read,
    example=_example,
    resendable=True,
)
