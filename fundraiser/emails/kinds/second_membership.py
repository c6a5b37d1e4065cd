"""Somebody joined twice: the second membership was canceled, and its payment refunded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose, money
from fundraiser.emails.parts.memberships import example_membership, membership_of
from fundraiser.members.prices import per, price_of
from fundraiser.outbox import Email, OncePer
from fundraiser.payments.money_back import MoneyBack, read_money_back, say_money_back
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member, Membership


def _read(session: Session, email: Email) -> Body:
    told = email.context
    first = membership_of(session, told["first"])
    return _body(told, first, read_money_back(session, email.key))


def _example(session: Session, member: Member | None) -> Body:
    first = example_membership(session, member)
    second = {name: getattr(first, name) for name in ("amount", "currency", "interval")}
    return _body(second, first, MoneyBack(refunded=first.amount))


def _body(second: Mapping[str, Any], first: Membership | None, money_back: MoneyBack) -> Body:
    amount = money(second["amount"], second["currency"])
    each_time = per(second["amount"], second["currency"], second["interval"])
    rows = [(_("Second membership, cancelled"), each_time)]
    if first:
        rows.insert(0, (_("Your membership"), price_of(first)))
    back = money(money_back.refunded, second["currency"])
    if money_back.refunded:
        rows.append((_("Refunded"), back))

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("You’re already a member: we refunded %(amount)s", amount=v["amount"])
            if money_back.refunded
            else _("You’re already a member: we cancelled the second membership"),
            _("You were already a member"),
            [
                _(
                    "You joined a second time, so you would have paid twice. We’ve "
                    "cancelled the second membership; your first one continues as "
                    "before."
                )
            ],
        )

    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": back if money_back.refunded else amount,
    }
    return replace(
        compose(
            say,
            values,
            _("You get this e-mail because somebody joined a second time with your address."),
            say_money_back(second["currency"], money_back, amount),
        ),
        rows=rows,
        advice=(
            _("To pay a different amount"),
            _("There’s no need to join again: you can change how much you pay in your account."),
        ),
    )


KIND = Kind(
    label=lambda: _("Second membership cancelled"),
    urgent=True,
    once_per=OncePer.CAUSE,
    body=_read,
    example=_example,
    resendable=True,
)
