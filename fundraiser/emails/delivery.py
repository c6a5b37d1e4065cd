"""Send queued e-mails by SMTP, exactly once as far as SMTP allows.

We commit the state ``sending`` before we call the server. If the process dies then, ``due_at`` says
when we treat the e-mail as lost: nobody knows whether it arrived. We resend receipts once with the
same Message-ID, and never reminders.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Integer, bindparam, select, update

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.kinds import KINDS
from fundraiser.emails.message import Message
from fundraiser.emails.parts.body import NotDueError
from fundraiser.emails.smtp import Fate, Outcome, UnreachableError
from fundraiser.emails.writing import UndeliverableError, write
from fundraiser.measures import Measured, current_measures, timed
from fundraiser.members.models import Member
from fundraiser.newsroom.maintenance import Stopped, is_stopped
from fundraiser.outbox import Email, EmailState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from fundraiser.payments import Budget

log = structlog.get_logger()

DAYTIME = range(8, 21)  # hours: from 8 until 21 o'clock
LOST_AFTER = timedelta(minutes=5)
_AT_ONCE = 10  # e-mails
_LEASE = timedelta(minutes=1)
_MOMENT = 1.0  # seconds
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 120, 240, 480, 600))

# Made once and run as Core: to put a statement together costs more than to run it.
_DUE = (
    select(Email)
    .where(
        Email.state.in_((EmailState.QUEUED, EmailState.SENDING)),
        Email.urgent == bindparam("urgent"),
        Email.due_at <= bindparam("at"),
    )
    .order_by(Email.due_at, Email.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_OF_THIS_ONE = update(Email).where(Email.id == bindparam("email"))
_STILL_OURS = _OF_THIS_ONE.where(
    Email.state == EmailState.QUEUED, Email.due_at == bindparam("lease")
)
_BEGIN = _STILL_OURS.values(
    state=EmailState.SENDING, due_at=bindparam("until"), attempts=Email.attempts + 1
).returning(Email.id)
_GIVE_BACK = _STILL_OURS.values(due_at=bindparam("at"))
_SENT = _OF_THIS_ONE.values(state=EmailState.SENT, sent_at=bindparam("at"), error=None)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message to send; this process holds it until ``lease``, its ``due_at``."""

    email_id: int
    lease: datetime
    message: Message
    urgent: bool
    secret: bool
    kind: str
    request_id: str | None


def deliver_some(database: Database, server: MailServer, budget: Budget | None = None) -> bool:
    """Send some due e-mails; False if there are none, or if none can be sent now.

    We render them together, because most of their content is the same, and send them one by one: a
    crash leaves one e-mail unknown, and others take the rest a minute later. We connect to the
    server first, so that an outage costs no e-mail an attempt.
    """
    try:
        with database.transaction() as session:
            if is_stopped(session, Stopped.EMAILS):
                return False
            emails = _take(session)
            if not emails:
                return False
            ready = _prepare_all(session, emails, server)
    except UnreachableError as error:
        log.warning("mail_server_away", error=str(error))
        current_measures().note(Measured.EMAIL, 0.0, "unreachable")
        return False
    _send_all(database, server, budget, ready)
    return True


def _take(session: Session) -> Sequence[Email]:
    """Lock the next e-mails: urgent ones first, so that a mailing never delays a sign-in."""
    emails = _take_some(session, urgent=True)
    if not emails and is_daytime():
        emails = _take_some(session, urgent=False)
    return emails


def is_daytime() -> bool:
    """Whether it is daytime for the newsroom, when e-mails that aren't urgent may be sent."""
    return now().astimezone(current_settings().newsroom_timezone).hour in DAYTIME


def _take_some(session: Session, *, urgent: bool) -> Sequence[Email]:
    # No more than may leave within a moment: the others would be written in vain.
    rate = 0 if urgent else current_settings().emails_per_second
    most = min(rate or _AT_ONCE, _AT_ONCE)
    return session.scalars(_DUE, {"urgent": urgent, "at": now(), "most": most}).all()


def _prepare_all(session: Session, emails: Sequence[Email], server: MailServer) -> list[_Ready]:
    """Render these e-mails, and take a lease on each."""
    server.open()
    known = select(Member).where(Member.id.in_([email.member_id for email in emails]))
    members = session.scalars(known).all()  # kept, so that none is read again by itself
    waiting = [email for email in emails if email.state is EmailState.QUEUED]
    written = _write_all(session, waiting)
    del members
    for email in emails:
        if email.state is EmailState.SENDING:
            _note(email, Outcome(Fate.UNKNOWN, "A worker stopped while it sent the e-mail."))
    ready, lease = [], now() + _LEASE
    for email, result in zip(waiting, written, strict=True):
        match result:
            case Message():
                email.due_at = lease
                ready.append(
                    _Ready(
                        email.id,
                        lease,
                        result,
                        email.urgent,
                        _is_secret(email),
                        email.kind,
                        email.request_id,
                    )
                )
            case NotDueError():
                email.state, email.error = EmailState.WITHDRAWN, str(result)
            case _:
                _note_failure(email, result)
    return ready


def _write_all(session: Session, emails: Sequence[Email]) -> list[Message | Exception]:
    """Render each e-mail, or give a reason: in one savepoint, or one each after a failure.

    It writes nothing before that: a savepoint flushes earlier changes. When a transaction updates a
    row twice, PostgreSQL checks its foreign key, and so waits for a sync of that person, which may
    be waiting for this e-mail.
    """
    try:
        with session.begin_nested():
            return [_write(session, email) for email in emails]
    except Exception:  # noqa: BLE001 - one e-mail must not hold up all others
        return [_write_alone(session, email) for email in emails]


def _write_alone(session: Session, email: Email) -> Message | Exception:
    try:
        with session.begin_nested():
            return _write(session, email)
    except Exception as error:  # noqa: BLE001 - noted by the caller
        return error


def _write(session: Session, email: Email) -> Message | Exception:
    try:
        return write(session, email)
    except (NotDueError, UndeliverableError) as reason:
        return reason


def _note_failure(email: Email, error: Exception) -> None:
    email.attempts += 1
    if isinstance(error, UndeliverableError):
        _note(email, Outcome(Fate.REFUSED, str(error)))
    else:
        # By its kind alone: the rest of it may carry what the e-mail says.
        reason = f"The e-mail could not be written: {type(error).__name__}."
        _note(email, Outcome(Fate.PUT_OFF, reason))


def _send_all(
    database: Database, server: MailServer, budget: Budget | None, ready: list[_Ready]
) -> None:
    """Send them one by one, for at most a second, because a more urgent one may have come.

    Each result is written together with the start of the next.
    """
    until = time.monotonic() + _MOMENT
    sent: tuple[_Ready, Outcome] | None = None
    while ready and time.monotonic() < until:
        one = ready.pop(0)
        if budget and not one.urgent:
            if sent is not None:
                with database.transaction() as session:
                    _note_sent(session, *sent)
                sent = None
            budget.wait("emails")
        with database.transaction() as session:
            if sent is not None:
                _note_sent(session, *sent)
            is_ours = _begin(session, one)
        sent = (one, _send(server, one)) if is_ours else None
    with database.transaction() as session:
        if sent is not None:
            _note_sent(session, *sent)
        for one in ready:
            ours = {"email": one.email_id, "lease": one.lease}
            session.connection().execute(_GIVE_BACK, ours | {"at": now()})


def _send(server: MailServer, one: _Ready) -> Outcome:
    with timed(current_measures(), Measured.EMAIL) as labels:
        outcome = server.send(one.message)
        labels.append(outcome.fate.value)
    if outcome.fate is Fate.SENT:
        log.info("email_sent", email=one.email_id, kind=one.kind, request=one.request_id)
    return outcome


def _begin(session: Session, one: _Ready) -> bool:
    """Mark the e-mail as being sent; False if its lease has expired."""
    ours = {"email": one.email_id, "lease": one.lease}
    begun = session.connection().scalar(_BEGIN, ours | {"until": now() + LOST_AFTER})
    return begun is not None


def _note_sent(session: Session, one: _Ready, outcome: Outcome) -> None:
    if outcome.fate is Fate.SENT and not one.secret:
        session.connection().execute(_SENT, {"email": one.email_id, "at": now()})
    else:
        _note(session.get_one(Email, one.email_id, with_for_update=True), outcome)


def _note(email: Email, outcome: Outcome) -> None:
    _note_state(email, outcome)
    if _is_secret(email) and email.state is not EmailState.QUEUED:
        email.context = {}


def _is_secret(email: Email) -> bool:
    return email.kind in KINDS and KINDS[email.kind].secret


def _note_state(email: Email, outcome: Outcome) -> None:
    if outcome.fate is not Fate.SENT:
        log.warning(
            "email_not_sent",
            email=email.id,
            kind=email.kind,
            fate=outcome.fate,
            request=email.request_id,
        )
    email.error = outcome.sentence
    match outcome.fate:
        case Fate.SENT:
            email.state, email.sent_at = EmailState.SENT, now()
        case Fate.REFUSED:
            email.state = EmailState.FAILED
        case Fate.PUT_OFF:
            _put_off(email)
        case Fate.UNKNOWN:
            _send_again_or_not(email)


def _put_off(email: Email) -> None:
    if email.attempts > len(WAITS):
        email.state = EmailState.FAILED
    else:
        email.state = EmailState.QUEUED
        email.due_at = now() + WAITS[email.attempts - 1]


def _send_again_or_not(email: Email) -> None:
    is_first = email.unknown_at is None
    email.unknown_at = email.unknown_at or now()
    # Better twice than never; of what nobody waits for, better never than twice.
    if is_first and email.urgent:
        email.state, email.due_at = EmailState.QUEUED, now()
    else:
        email.state = EmailState.UNKNOWN
