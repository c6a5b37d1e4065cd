"""Bounces and complaints, and the suppression list that they fill."""

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

    ``reason`` is None where the e-mail did not arrive and the next one may (a full mailbox).
    ``message_id`` is the header of our e-mail, where the provider tells it.
    """

    address: str
    reason: SuppressionReason | None
    detail: str | None = None
    message_id: str | None = None


def take_in(session: Session, report: Report) -> None:
    """Suppress an address that bounced or complained; reported twice, it is noted once.

    A complaint weighs more than a bounce, and stays.
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
    """Read a suppression list as CSV: ``address``, and if they are there ``reason`` and ``detail``.

    A reason is bounce (which it is unless told otherwise) or complaint.

    Raises:
        UnprocessableError: there is no such column, or a row can't be read; it says which.
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
    """Why an address is suppressed; None if it is not."""
    return session.scalar(_REASON, {"hashes": hashes_of_address(address)})


def allow_again(session: Session, address: str) -> bool:
    """Take an address off the suppression list; returns False if it was not on it."""
    is_it = Suppression.address_hash.in_(hashes_of_address(address))
    return session.scalar(delete(Suppression).where(is_it).returning(true())) is not None
