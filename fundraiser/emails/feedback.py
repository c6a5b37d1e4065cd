"""Bounces, complaints, and the suppression list."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, true, update
from sqlalchemy.dialects.postgresql import insert

from fundraiser.addresses import read_address
from fundraiser.db import now
from fundraiser.emails.models import Suppression, SuppressionReason
from fundraiser.errors import UnprocessableError
from fundraiser.members.forwarding import hash_address, hashes_of_address
from fundraiser.outbox import Email, EmailState
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.orm import Session

_OURS = re.compile(r"<letter-(\d{1,18})@")
_LONGEST_DETAIL = 300
_REASON = select(Suppression.reason).where(
    Suppression.address_hash.in_(bindparam("hashes", expanding=True))
)


@dataclass(frozen=True, slots=True)
class Report:
    """A provider's report about one address.

    ``reason`` is None if this e-mail failed but the next may arrive (a full mailbox).
    ``message_id`` is our e-mail's header, if the provider gives it.
    """

    address: str
    reason: SuppressionReason | None
    detail: str | None = None
    message_id: str | None = None


def take_in(session: Session, report: Report) -> None:
    """Suppress an address after a bounce or complaint; safe to repeat.

    A complaint replaces a bounce, and stays.
    """
    detail = redact(" ".join((report.detail or "").split()))[:_LONGEST_DETAIL] or None
    if report.reason and not suppressed(session, report.address):
        statement = insert(Suppression).values(
            address_hash=hash_address(report.address),
            reason=report.reason,
            detail=detail,
            at=now(),
        )
        session.execute(statement.on_conflict_do_nothing())
    found = _OURS.search(report.message_id or "")
    if found and report.reason is not SuppressionReason.COMPLAINT:
        session.execute(
            update(Email)
            .where(
                Email.id == int(found[1]),
                Email.state.in_((EmailState.SENT, EmailState.UNKNOWN)),
            )
            .values(state=EmailState.BOUNCED, error=f"It came back: {detail or 'no reason told'}")
        )


def read_bounces(lines: Iterable[str]) -> Iterator[Report]:
    """Parse a suppression list as CSV: ``address``, and optionally ``reason`` and ``detail``.

    A reason is bounce (the default) or complaint.

    Raises:
        UnprocessableError: the column is missing, or a row is invalid; it says which.
    """
    rows = csv.DictReader(lines)
    if "address" not in (rows.fieldnames or []):
        raise UnprocessableError("The first line must name the columns, one of them address.")
    for row in rows:
        address = read_address(row["address"] or "")
        reason = (row.get("reason") or row.get("ground") or "bounce").strip()
        if address is None or reason not in set(SuppressionReason):
            raise UnprocessableError(
                f"Line {rows.line_num} can't be read: it needs an address, and bounce or complaint."
            )
        yield Report(address, SuppressionReason(reason), row.get("detail") or None)


def suppressed(session: Session, address: str) -> SuppressionReason | None:
    """Why an address is suppressed; None if it isn't."""
    return session.scalar(_REASON, {"hashes": hashes_of_address(address)})


def allow_again(session: Session, address: str) -> bool:
    """Remove an address from the suppression list; False if it wasn't there."""
    is_it = Suppression.address_hash.in_(hashes_of_address(address))
    return session.scalar(delete(Suppression).where(is_it).returning(true())) is not None
