"""Interpret Stripe's dispute statuses: what each means for the money."""

from __future__ import annotations

from enum import StrEnum

# Inquiries: the bank asks before it withdraws anything, so we can still refund.
INQUIRIES = {"warning_needs_response", "warning_under_review"}
UNANSWERED = {"needs_response", "warning_needs_response"}
_OVER = {"won", "warning_closed", "prevented"}


class Trouble(StrEnum):
    """The state of a dispute, as people need to know it."""

    INQUIRY = "inquiry"
    DISPUTED = "disputed"
    LOST = "lost"
    OVER = "over"


def trouble(status: str | None) -> Trouble | None:
    """Interpret Stripe's dispute ``status``; None without a dispute.

    An unknown status counts as a dispute, so that we refund nobody twice by mistake.
    """
    if not status:
        return None
    if status in INQUIRIES:
        return Trouble.INQUIRY
    if status in _OVER:
        return Trouble.OVER
    return Trouble.LOST if status == "lost" else Trouble.DISPUTED


def holds_money(status: str | None) -> bool:
    """Whether the bank has withdrawn the payment, provisionally or finally."""
    return trouble(status) in {Trouble.DISPUTED, Trouble.LOST}
