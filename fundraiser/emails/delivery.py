"""Delivery: each letter owed is sent, over SMTP, once as far as SMTP can.

A letter is marked ``sending`` and that is committed before the server hears of it. Whoever dies
after that leaves the mark, and ``due_at`` says when it counts as lost: nobody knows then whether
the letter arrived. Receipts are sent again once under the same Message-ID; reminders never are.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.letters import UndeliverableError, write
from fundraiser.emails.parts import NotOwedError
from fundraiser.emails.smtp import Fate, Outcome, UnreachableError
from fundraiser.outbox import SECRET, URGENT, Letter, LetterState

if TYPE_CHECKING:
    from email.message import EmailMessage

    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from fundraiser.payments.budget import Budget

log = structlog.get_logger()

SENT_AGAIN = URGENT  # better twice than never; of a reminder it is the other way round
DAYTIME = range(8, 21)  # hours: from 8 until 21 o'clock
LOST_AFTER = timedelta(minutes=5)
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 120, 240, 480, 600))


def deliver_next(database: Database, server: MailServer, budget: Budget | None = None) -> bool:
    """Send one letter that is due; False where none is, or where nothing can be sent now.

    The server is asked for a connection before the letter is touched, so that an outage, however
    long, costs no letter an attempt.
    """
    try:
        with database.transaction() as session:
            letter = _take(session)
            if letter is None:
                return False
            message = _prepare(session, letter, server)
    except UnreachableError as error:
        log.warning("mail_server_away", error=str(error))
        return False
    if message is not None:
        if budget and not letter.urgent:
            budget.wait("letters")
        outcome = server.send(message)
        with database.transaction() as session:
            _note(session.get_one(Letter, letter.id, with_for_update=True), outcome)
    return True


def _take(session: Session) -> Letter | None:
    """The urgent ones first, so that no campaign's letter delays one that somebody waits for."""
    letter = _take_one(session, urgent=True)
    if letter is None and is_daytime():
        letter = _take_one(session, urgent=False)
    return letter


def is_daytime() -> bool:
    """Whether it is an hour of the newsroom's day at which people may be written to."""
    return now().astimezone(current_settings().newsroom_timezone).hour in DAYTIME


def _take_one(session: Session, *, urgent: bool) -> Letter | None:
    return session.scalars(
        select(Letter)
        .where(
            Letter.state.in_((LetterState.QUEUED, LetterState.SENDING)),
            Letter.urgent.is_(urgent),
            Letter.due_at <= now(),
        )
        .order_by(Letter.due_at, Letter.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()


def _prepare(session: Session, letter: Letter, server: MailServer) -> EmailMessage | None:
    """Mark the letter as the next to be sent; None where it is not to be sent now."""
    if letter.state is LetterState.SENDING:
        _note(letter, Outcome(Fate.UNKNOWN, "A worker stopped while it sent the letter."))
        return None
    server.open()
    failure = None
    try:
        with session.begin_nested():
            message = write(session, letter)
    except NotOwedError as error:
        letter.state, letter.error = LetterState.WITHDRAWN, str(error)
        return None
    except UndeliverableError as error:
        failure = Outcome(Fate.REFUSED, str(error))
    except Exception as error:  # noqa: BLE001 - one letter must not hold up all others
        # By its kind alone: the rest of it may carry what the letter says.
        reason = f"The letter could not be written: {type(error).__name__}."
        failure = Outcome(Fate.PUT_OFF, reason)
    # Not before the savepoint, which would write it: of a row that a transaction updates twice
    # PostgreSQL checks the foreign key, and so waits for whoever settles the person, who may be
    # waiting for this letter.
    letter.attempts += 1
    if failure is not None:
        _note(letter, failure)
        return None
    letter.state, letter.due_at = LetterState.SENDING, now() + LOST_AFTER
    return message


def _note(letter: Letter, outcome: Outcome) -> None:
    _note_state(letter, outcome)
    if letter.kind in SECRET and letter.state is not LetterState.QUEUED:
        letter.context = {}


def _note_state(letter: Letter, outcome: Outcome) -> None:
    if outcome.fate is not Fate.SENT:
        log.warning("letter_not_sent", letter=letter.id, kind=letter.kind, fate=outcome.fate)
    letter.error = outcome.sentence
    match outcome.fate:
        case Fate.SENT:
            letter.state, letter.sent_at = LetterState.SENT, now()
        case Fate.REFUSED:
            letter.state = LetterState.FAILED
        case Fate.PUT_OFF:
            _put_off(letter)
        case Fate.UNKNOWN:
            _send_again_or_not(letter)


def _put_off(letter: Letter) -> None:
    if letter.attempts > len(WAITS):
        letter.state = LetterState.FAILED
    else:
        letter.state = LetterState.QUEUED
        letter.due_at = now() + WAITS[letter.attempts - 1]


def _send_again_or_not(letter: Letter) -> None:
    is_first = letter.unknown_at is None
    letter.unknown_at = letter.unknown_at or now()
    if is_first and letter.kind in SENT_AGAIN:
        letter.state, letter.due_at = LetterState.QUEUED, now()
    else:
        letter.state = LetterState.UNKNOWN
