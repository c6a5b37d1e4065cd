"""What a dispute's status means for the money: Stripe's words, read in one place."""

from __future__ import annotations

from enum import StrEnum

# The bank asks, or has asked, before it takes anything: the money stays and may be refunded.
INQUIRIES = {"warning_needs_response", "warning_under_review"}
_OVER = {"won", "warning_closed", "prevented"}


class Trouble(StrEnum):
    """Where a dispute stands, as people need to know it."""

    INQUIRY = "inquiry"
    DISPUTED = "disputed"
    LOST = "lost"
    OVER = "over"


def trouble(status: str | None) -> Trouble | None:
    """Where the dispute with Stripe's ``status`` stands; None without a dispute.

    A status that we don't know yet is a dispute: nobody is refunded twice by mistake.
    """
    if not status:
        return None
    if status in INQUIRIES:
        return Trouble.INQUIRY
    if status in _OVER:
        return Trouble.OVER
    return Trouble.LOST if status == "lost" else Trouble.DISPUTED


def holds_money(status: str | None) -> bool:
    """Whether the bank has taken the payment away, for now or for good."""
    return trouble(status) in {Trouble.DISPUTED, Trouble.LOST}
