"""Compare before and after a visit to Stripe's payment method page."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundraiser.account.changes import UNPAID, Notice
from fundraiser.db import checkpoint
from fundraiser.members.models import Status
from fundraiser.payments.models import Customer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Membership
    from fundraiser.payments import MemberGateway


def before_the_portal(
    session: Session, gateway: MemberGateway, membership: Membership
) -> tuple[str, str | None]:
    """The query for the return URL that records the state before the visit.

    A webhook may have applied everything before the member returns.
    """
    customer = session.get_one(Customer, membership.customer_id)
    if customer.method_id is None:
        checkpoint(session)
        customer.method_id = gateway.default_method(customer.id) or ""
    return _digest(customer.method_id), "yes" if membership.status in UNPAID else None


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit to the portal: the default method before, and whether a payment was overdue."""

    was: str
    is_told: bool
    was_overdue: bool

    @classmethod
    def began(cls, session: Session, membership: Membership, told: Mapping[str, str]) -> Visit:
        """The state before the visit, from the URL, or else from our data before the sync."""
        customer = session.get_one(Customer, membership.customer_id)
        return cls(
            was=told.get("was") or _digest(customer.method_id or ""),
            is_told="was" in told,
            was_overdue=told.get("overdue") == "yes" or membership.status in UNPAID,
        )


def after_the_portal(session: Session, membership: Membership, visit: Visit) -> Notice:
    """The notice for a member who returns from Stripe, after the sync."""
    session.expire_all()
    method = session.get_one(Customer, membership.customer_id).method_id
    if _digest(method or "") == visit.was:
        if visit.was_overdue and membership.status is Status.ACTIVE and not membership.pay_url:
            return Notice.OVERDUE_PAID
        return Notice.METHOD_KEPT if visit.is_told else Notice.METHOD
    if not visit.was_overdue:
        return Notice.METHOD_SAVED
    if membership.needs_confirmation:
        return Notice.METHOD_TO_CONFIRM
    if membership.pay_url:
        return Notice.METHOD_REFUSED
    return Notice.METHOD_PROCESSING if membership.status in UNPAID else Notice.METHOD_PAID


def _digest(method_id: str) -> str:
    """A short hash of a method's ID, for comparing in a URL."""
    return hashlib.sha256(method_id.encode()).hexdigest()[:16]
