"""The audit log: one row for each action by staff, in the action's transaction."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from fundraiser.db import now
from fundraiser.newsroom.models import AuditEntry, Staff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session


_LONGEST = 300  # characters of a value


class Action(StrEnum):
    """An action by staff."""

    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    ADDED_STAFF = "added_staff"
    INVITED_STAFF = "invited_staff"
    TOOK_INVITATION = "took_invitation"
    CHANGED_STAFF = "changed_staff"
    CLOSED_STAFF = "closed_staff"
    OPENED_STAFF = "opened_staff"
    ENDED_SESSION = "ended_session"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    ASKED_FOR_PASSWORD = "asked_for_password"  # noqa: S105 - the name of an act
    CHANGED_PASSWORD = "changed_password"  # noqa: S105 - the name of an act
    SECOND_FACTOR_ON = "second_factor_on"
    ADDED_PASSKEY = "added_passkey"
    REMOVED_PASSKEY = "removed_passkey"
    MADE_RECOVERY_CODES = "made_recovery_codes"
    CHANGED_RULES = "changed_rules"
    SECOND_FACTOR_OFF = "second_factor_off"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of an act
    SETTLED_AGAIN = "settled_again"
    SETTLED_ALL_AGAIN = "settled_all_again"
    CHANGED_LOOK = "changed_look"
    ENTERED_RATE = "entered_rate"
    EXPORTED_MEMBERS = "exported_members"
    EXPORTED_MONEY = "exported_money"
    GAVE_MEMBERSHIP = "gave_membership"
    ENDED_MEMBERSHIP = "ended_membership"
    REFUNDED = "refunded"
    CHANGED_EMAIL = "changed_email"
    SENT_EMAIL_AGAIN = "sent_letter_again"
    CHANGED_EMAIL_KIND = "changed_letter"
    ALLOWED_ADDRESS = "allowed_address"
    HID_NAME = "closed_roster"
    RESTORED_NAME = "opened_roster"
    SHOWED_NAME = "showed_name"
    ENDED_MEMBER_SESSIONS = "ended_member_sessions"
    WROTE_NOTE = "wrote_note"
    CREATED_CAMPAIGN = "created_campaign"
    CHANGED_CAMPAIGN = "changed_campaign"
    SET_GOAL = "set_goal"
    ENDED_CAMPAIGN = "ended_campaign"
    ARCHIVED_CAMPAIGN = "archived_campaign"
    RESTORED_CAMPAIGN = "restored_campaign"
    CHANGED_WEBHOOK = "changed_hook"
    TRIED_WEBHOOK = "tried_hook"
    CREATED_TIER = "created_tier"
    CHANGED_TIER = "changed_tier"
    MOVED_TIER = "moved_tier"
    RETIRED_TIER = "retired_tier"
    RESTORED_TIER = "restored_tier"
    SWITCHED_GUARD = "switched_guard"
    STOPPED = "stopped"
    RESUMED = "resumed"
    UPLOADED_LIST = "uploaded_list"
    APPLIED_LIST = "applied_list"
    UNDID_LIST = "undid_list"
    ASKED_SOURCE = "asked_source"
    PAUSED_SOURCE = "paused_source"
    DECIDED_ROW = "decided_row"
    ADDED_MEMBER = "added_member"
    LABELLED = "labelled"
    UNLABELLED = "unlabelled"
    RENAMED_LABEL = "renamed_label"
    DELETED_LABEL = "deleted_label"
    CHANGED_MANY = "changed_many"
    UNDID_MANY = "undid_many"
    MERGED_MEMBERS = "merged_members"
    SEPARATED_MEMBERS = "separated_members"


def record(
    session: Session,
    action: Action,
    subject: str,
    *,
    staff: Staff | None,
    fields: Iterable[str] = (),
    details: dict[str, Any] | None = None,
    changes: Mapping[str, tuple[object, object]] | None = None,
) -> None:
    """Record who did what to what; ``staff`` None means the operator.

    ``subject`` is an ID (of staff, a member, a customer), never personal data. ``fields`` are the
    names of changed fields, ``details`` amounts and IDs; ``changes`` has the old and the new text
    of each changed field, which isn't about a person.
    """
    session.add(
        AuditEntry(
            at=now(),
            staff_id=staff.id if staff else None,
            action=action.value,
            subject=subject,
            fields=list(fields or changes or ()),
            details=(details or {}) | ({"changes": _as_texts(changes)} if changes else {}),
        )
    )


def _as_texts(changes: Mapping[str, tuple[object, object]]) -> dict[str, list[str]]:
    """Old and new values as texts for the log, the long ones cut."""
    return {
        name: [text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in map(str, pair)]
        for name, pair in changes.items()
    }


def record_once(
    session: Session,
    action: Action,
    subject: str,
    *,
    staff: Staff,
    key: str,
    fields: Iterable[str] = (),
    details: dict[str, Any] | None = None,
) -> int | None:
    """Record an action before it happens; None if the same form has already been processed.

    A second copy of the form waits for the first. A failed action leaves no row: the transaction is
    rolled back.
    """
    return session.scalar(
        insert(AuditEntry)
        .values(
            at=now(),
            staff_id=staff.id,
            action=action.value,
            subject=subject,
            key=key,
            fields=list(fields),
            details=details or {},
        )
        .on_conflict_do_nothing(index_elements=[AuditEntry.key])
        .returning(AuditEntry.id)
    )


def newest(session: Session, subject: str) -> tuple[Staff | None, datetime] | None:
    """Who last acted on this, and when; None if nobody did."""
    row = session.execute(
        select(Staff, AuditEntry.at)
        .select_from(AuditEntry)
        .outerjoin(Staff, Staff.id == AuditEntry.staff_id)
        .where(AuditEntry.subject == subject)
        .order_by(AuditEntry.id.desc())
        .limit(1)
    ).first()
    return (row[0], row[1]) if row else None
