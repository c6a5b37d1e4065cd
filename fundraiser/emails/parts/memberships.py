"""Parts of e-mails about a membership, and an example for previews."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session, class_mapper

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.parts.body import Body, Link, NotDueError, money
from fundraiser.members.models import Dues, Interval, Member, Membership, Source, Status
from fundraiser.members.overdue import grace_ends_at
from fundraiser.members.payment_methods import pays_by_card
from fundraiser.members.prices import price_of
from fundraiser.members.renewals import renews
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from fundraiser.outbox import Email

MembershipBody = Callable[[Membership, dict[str, str]], Body]


def about_membership(body: MembershipBody) -> Callable[[Session, Email], Body]:
    """The body of an e-mail whose context names a membership."""

    def read(session: Session, email: Email) -> Body:
        membership = membership_of(session, email.context["membership"])
        if membership is None:
            raise NotDueError("The membership that it is about is not known any more.")
        return body(membership, values_of(membership))

    return read


def example_about(
    body: MembershipBody,
    *,
    unpaid: bool = False,
    ended: bool = False,
    canceled: bool = False,
    yearly: bool = False,
) -> Callable[[Session, Member | None], Body]:
    """An example with a membership that fits the e-mail."""

    def read(session: Session, member: Member | None) -> Body:
        membership = example_membership(
            session, member, unpaid=unpaid, ended=ended, canceled=canceled, yearly=yearly
        )
        return body(membership, values_of(membership))

    return read


def membership_of(session: Session, reference: str) -> Membership | None:
    """The membership of this Stripe subscription."""
    return session.scalars(
        select(Membership).where(
            Membership.source == Source.STRIPE, Membership.reference == reference
        )
    ).first()


def values_of(membership: Membership) -> dict[str, str]:
    """The known names for e-mails about a membership."""
    settings = current_settings()
    known = {
        "newsroom": settings.newsroom_name,
        "amount": money(membership.due or membership.amount, membership.currency),
        "each": price_of(membership),
    }
    if pays_by_card(membership) and membership.card_last4:
        known["card"] = membership.card_last4
    if membership.card_expires_at:
        last = membership.card_expires_at - timedelta(days=1)
        known["month"] = date(last, "MMMM y")
    if membership.grace_from:
        known["date"] = date(membership.grace_from)
        known["until"] = date(grace_ends_at(membership, settings.grace))
    elif membership.ended_at:
        known["date"] = date(membership.ended_at)
    elif membership.cancel_at and not renews(membership):
        known["date"] = date(membership.cancel_at)
    elif membership.period_end:
        known["date"] = date(membership.period_end)
    return known


def needs(values: Mapping[str, str], *names: str) -> None:
    """Raise ``NotDueError`` if one of these is unknown."""
    if any(name not in values for name in names):
        raise NotDueError("What it would say is true no longer.")


def join_again() -> Link:
    return Link(_("Rejoin"), f"{current_settings().public_url}/join")


def example_membership(
    session: Session,
    member: Member | None,
    *,
    unpaid: bool = False,
    ended: bool = False,
    canceled: bool = False,
    yearly: bool = False,
) -> Membership:
    """A copy of the member's latest membership, or an invented one, changed to fit."""
    at = now()
    found = (
        session.scalars(
            select(Membership)
            .where(Membership.member_id == member.id, Membership.source == Source.STRIPE)
            .order_by(Membership.started_at.desc())
            .limit(1)
        ).first()
        if member
        else None
    )
    values = _columns_of(found or _invented(at))
    values |= {"id": 0, "card_last4": values["card_last4"] or "4242"}
    values["card_expires_at"] = values["card_expires_at"] or at + timedelta(days=25)
    values["period_end"] = values["period_end"] or at + timedelta(days=14)
    if yearly:
        values["interval"] = Interval.YEAR
    values["grace_from"] = (values["grace_from"] or at) if unpaid else None
    values["ended_at"] = (values["ended_at"] or at) if ended else None
    values["cancel_at"] = (values["cancel_at"] or values["period_end"]) if canceled else None
    return Membership(**values)


def _columns_of(row: Membership) -> dict[str, object]:
    return {column.key: getattr(row, column.key) for column in class_mapper(type(row)).columns}


def _invented(at: datetime) -> Membership:
    return Membership(
        source=Source.STRIPE,
        reference="",
        amount=1000,
        credit=0,
        currency="EUR",
        interval=Interval.MONTH,
        status=Status.ACTIVE,
        payment_status=Dues.PAID,
        started_at=at,
        paid_at=at,
    )
