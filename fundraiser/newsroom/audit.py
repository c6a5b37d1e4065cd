"""The trail: every act of staff is one row, written in the transaction of the act."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from fundraiser.db import now
from fundraiser.newsroom.models import AuditEntry

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.newsroom.models import Staff


class Act(StrEnum):
    """What staff do."""

    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    ADDED_STAFF = "added_staff"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of an act
    SETTLED_AGAIN = "settled_again"
    SETTLED_ALL_AGAIN = "settled_all_again"
    CHANGED_LOOK = "changed_look"
    ENTERED_RATE = "entered_rate"


def record(session: Session, act: Act, subject: str, *, staff: Staff | None) -> None:
    """Note who did what on what; None stands for the operator at the command line.

    ``subject`` is an identifier (a staff's or member's id, a customer's), never personal data.
    """
    session.add(
        AuditEntry(at=now(), staff_id=staff.id if staff else None, act=act.value, subject=subject)
    )
