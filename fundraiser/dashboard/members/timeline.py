"""A person's timeline, latest first, from many tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from flask import url_for
from sqlalchemy import and_, select

from fundraiser.dashboard import labels
from fundraiser.dashboard.bulk import labels as bulk_labels
from fundraiser.dashboard.bulk.models import BulkChange, BulkMember, Result
from fundraiser.emails.kinds import KINDS
from fundraiser.members.gifts import giver_of, recipient_of
from fundraiser.members.member_labels import list_labels
from fundraiser.members.models import Note
from fundraiser.newsroom.audit import Action
from fundraiser.newsroom.models import AuditEntry, Staff
from fundraiser.outbox import EmailState
from fundraiser.payments.changes import refundable
from fundraiser.payments.disputes import Trouble, trouble
from fundraiser.payments.intents import Intent, unfinished_intents
from fundraiser.payments.models import CheckoutKind, PaymentStatus
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.dashboard.members.profile import Person
    from fundraiser.members.gifts import Gift
    from fundraiser.outbox import Email
    from fundraiser.payments.models import Payment

_MOST_ACTS = 100
_HAS_LEFT = {EmailState.SENT, EmailState.FAILED, EmailState.UNKNOWN, EmailState.BOUNCED}


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """``change`` is the effect on the number; ``link`` an action: its URL and label.

    ``kind`` is for tests.
    """

    at: datetime
    kind: str
    sentence: str
    detail: str = ""
    note: str = ""
    change: int = 0
    wrong: bool = False
    link: tuple[str, str] | None = None


def read_timeline(
    session: Session, person: Person, *, with_emails: bool, may_change: bool, may_refund: bool
) -> list[TimelineEntry]:
    """Ledger, memberships, payments, e-mails, and staff's actions and notes."""
    found = [*_ledger(person), *_memberships(person), *_payments(person, may_refund=may_refund)]
    found += _gifts(person)
    if with_emails:
        found += _emails(person, may_change=may_change)
    found += _acts(session, person, with_emails=with_emails)
    return sorted(found, key=lambda happening: happening.at, reverse=True)


def may_be_sent_again(email: Email) -> bool:
    """Whether staff may resend this e-mail."""
    kind = KINDS.get(email.kind)
    return kind is not None and kind.resendable and email.state in _HAS_LEFT


def _ledger(person: Person) -> Iterator[TimelineEntry]:
    for entry, known_as in person.ledger:
        yield TimelineEntry(
            at=entry.happened_at,
            kind="joined" if entry.change > 0 else "left",
            sentence=labels.ledger_sentence(entry),
            detail=labels.cause(entry, known_as),
            change=entry.change,
        )


def _memberships(person: Person) -> Iterator[TimelineEntry]:
    for membership in person.memberships:
        yield TimelineEntry(
            at=membership.started_at,
            kind="membership",
            sentence=_("Membership started: %(price)s.", price=labels.price(membership)),
            detail=labels.came_from(membership),
        )


def _payments(person: Person, *, may_refund: bool) -> Iterator[TimelineEntry]:
    for payment in person.payments:
        amount = labels.money(payment.amount, payment.currency)
        what = {
            CheckoutKind.CONTRIBUTION: _("%(amount)s as a one-time contribution.", amount=amount),
            CheckoutKind.GIFT: _("%(amount)s for a gift.", amount=amount),
            CheckoutKind.MEMBERSHIP: _("%(amount)s for the membership.", amount=amount),
        }[payment.kind]
        state = labels.payment_state(payment)
        yield TimelineEntry(
            at=payment.paid_at,
            kind=getattr(state, "name", "payment"),
            sentence=f"{what} {state}.",
            detail=payment.charge_id,
            wrong=payment.status is PaymentStatus.FAILED
            or trouble(payment.dispute) not in {None, Trouble.OVER},
            link=_refund_of(person, payment) if may_refund and refundable(payment) else None,
        )


def _gifts(person: Person) -> Iterator[TimelineEntry]:
    """Gifts given (paid, accepted) and received (accepted)."""
    for gift in person.gifts:
        names = {"giver": giver_of(gift), "recipient": recipient_of(gift)}
        if gift.giver_id == person.member.id:
            yield TimelineEntry(
                at=gift.paid_at,
                kind=_kind_of_gift(gift),
                sentence=_("Paid for a gift for %(recipient)s.", **names),
                detail=_gift_state(gift),
                wrong=gift.is_void,
            )
        if gift.redeemed_at is not None:
            yield TimelineEntry(
                at=gift.redeemed_at,
                kind="gift-accepted",
                sentence=_(
                    "%(recipient)s accepted the gift from %(giver)s.",
                    **names,
                ),
                detail=gift.charge_id,
            )


def _kind_of_gift(gift: Gift) -> str:
    if gift.refunded_at is not None:
        return "gift-refunded"
    return "gift-disputed" if gift.disputed_at is not None else "gift-given"


def _gift_state(gift: Gift) -> str:
    if gift.refunded_at is not None:
        return _("Refunded: the code no longer works.")
    if gift.disputed_at is not None:
        return _("Disputed: the code doesn’t work until the bank decides.")
    return _("Accepted") if gift.redeemed_at else _("Not accepted yet")


def _refund_of(person: Person, payment: Payment) -> tuple[str, str]:
    address = url_for("member_actions.refund", member_id=person.member.id, payment_id=payment.id)
    return address, _("Refund payment")


def _emails(person: Person, *, may_change: bool) -> Iterator[TimelineEntry]:
    for email in person.emails:
        name = labels.email(email.kind)
        again = url_for("member_actions.email_again", member_id=person.member.id, email_id=email.id)
        yield TimelineEntry(
            at=email.sent_at or email.created_at,
            kind=f"email-{email.state.value}",
            sentence=_("E-mail “%(name)s”.", name=name) + f" {labels.email_state(email.state)}.",
            detail=email.error or "",
            wrong=email.state in _HAS_LEFT - {EmailState.SENT},
            link=(again, _("Send again")) if may_change and may_be_sent_again(email) else None,
        )


def _acts(session: Session, person: Person, *, with_emails: bool) -> Iterator[TimelineEntry]:
    subjects = [f"member {person.member.id}"]
    subjects += [f"customer {customer.id}" for customer in person.customers]
    rows = session.execute(
        select(AuditEntry, Staff.name, Note.text, Intent)
        .outerjoin(Staff, Staff.id == AuditEntry.staff_id)
        .outerjoin(Note, Note.audit_entry_id == AuditEntry.id)
        .outerjoin(Intent, Intent.key == AuditEntry.key)
        .where(AuditEntry.subject.in_(subjects))
        .order_by(AuditEntry.id.desc())
        .limit(_MOST_ACTS)
    )
    of_staff, label_names = set(), {label.id: label.name for label in list_labels(session)}
    for entry, name, note, intent in rows:
        if entry.action == Action.SENT_EMAIL_AGAIN and not with_emails:
            continue
        by = _("Staff: %(name)s", name=name) if name else _("Operator")
        if intent:
            of_staff.add(intent.id)
        if intent and not intent.is_done:
            yield _intent(intent, by, note or "")
            continue
        yield TimelineEntry(
            at=entry.at,
            kind=entry.action.replace("_", "-"),
            sentence=act_sentence(entry, label_names),
            detail=by,
            note=note or "",
        )
    yield from _bulk(session, person, label_names)
    for intent in unfinished_intents(session, person.member.id):
        if intent.id not in of_staff:
            yield _intent(intent, _("Member"))


def _bulk(
    session: Session, person: Person, label_names: Mapping[int, str]
) -> Iterator[TimelineEntry]:
    """Changes of many members that changed this one."""
    rows = session.execute(
        select(BulkChange, BulkMember.result, AuditEntry.at, Staff.name, Note.text)
        .join(BulkMember, BulkMember.bulk_id == BulkChange.id)
        .join(AuditEntry, AuditEntry.id == BulkChange.audit_entry_id)
        .join(Staff, Staff.id == BulkChange.staff_id)
        .outerjoin(
            Note,
            and_(
                Note.audit_entry_id == BulkChange.audit_entry_id,
                Note.member_id == BulkMember.member_id,
            ),
        )
        .where(
            BulkMember.member_id == person.member.id,
            BulkMember.result.in_((Result.CHANGED, Result.UNDONE, Result.KEPT)),
        )
        .order_by(BulkChange.id.desc())
        .limit(_MOST_ACTS)
    )
    for change, result, at, name, note in rows:
        if result is None:
            continue
        yield TimelineEntry(
            at=at,
            kind=f"bulk-{result.value}",
            sentence=bulk_labels.for_one(change, result, label_names),
            detail=_("Staff: %(name)s", name=name),
            note=note or "",
            link=(url_for("bulk_pages.show", change_id=change.id), _("Show all")),
        )


def _intent(intent: Intent, by: str, note: str = "") -> TimelineEntry:
    """An entry for a request that is open or was refused."""
    return TimelineEntry(
        at=intent.created_at,
        kind="act-open" if intent.is_open else "act-refused",
        sentence=f"{labels.asked(intent.kind)} {labels.intent_state(intent)}",
        detail=by,
        note=note,
        wrong=True,
    )


def act_sentence(entry: AuditEntry, label_names: Mapping[int, str]) -> str:
    """Describe an action by staff on a person; ``label_names`` are by ID."""
    details = entry.details
    match entry.action:
        case Action.GAVE_MEMBERSHIP:
            return _(
                "Gave a complimentary membership until %(date)s.",
                date=labels.day(date.fromisoformat(details["until"])),
            )
        case Action.ENDED_MEMBERSHIP if details["when"] == "period_end":
            return _("Set the membership to end with its period.")
        case Action.ENDED_MEMBERSHIP:
            return _("Cancelled the membership.")
        case Action.REFUNDED:
            amount = labels.money(details["amount"], details["currency"])
            return _(
                "Refunded %(amount)s of %(payment)s.",
                amount=amount,
                payment=details["payment"],
            )
        case Action.LABELLED | Action.UNLABELLED:
            label = label_names.get(details["label"], _("a deleted one"))
            if entry.action == Action.LABELLED:
                return _("Added the label “%(label)s”.", label=label)
            return _("Removed the label “%(label)s”.", label=label)
        case Action.SENT_EMAIL_AGAIN:
            return _("Sent the e-mail “%(name)s” again.", name=labels.email(details["letter"]))
    known: dict[str, str] = {
        Action.CHANGED_EMAIL: _("Changed the e-mail address."),
        Action.HID_NAME: _("Removed the name from the supporters page."),
        Action.SHOWED_NAME: _("Showed the name on the supporters page."),
        Action.RESTORED_NAME: _("Allowed the name on the supporters page again."),
        Action.ENDED_MEMBER_SESSIONS: _("Signed the member out everywhere."),
        Action.WROTE_NOTE: _("Wrote a note."),
        Action.SETTLED_AGAIN: _("Synced the customer with Stripe."),
    }
    return known.get(entry.action) or entry.action.replace("_", " ").capitalize() + "."
