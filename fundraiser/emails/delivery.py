"""Delivery: each letter owed is sent, over SMTP, once as far as SMTP can.

A letter is marked ``sending`` and that is committed before the server hears of it. Whoever dies
after that leaves the mark, and ``due_at`` says when it counts as lost: nobody knows then whether
the letter arrived. Receipts are sent again once under the same Message-ID; reminders never are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Update, select, update

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.letters import UndeliverableError, write
from fundraiser.emails.parts import NotOwedError
from fundraiser.emails.smtp import Fate, Outcome, UnreachableError
from fundraiser.members.models import Member
from fundraiser.outbox import SECRET, URGENT, Letter, LetterState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import EmailMessage

    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from fundraiser.payments.budget import Budget

log = structlog.get_logger()

SENT_AGAIN = URGENT  # better twice than never; of a reminder it is the other way round
DAYTIME = range(8, 21)  # hours: from 8 until 21 o'clock
LOST_AFTER = timedelta(minutes=5)
_AT_ONCE = 10  # letters
_LEASE = timedelta(minutes=1)
_MOMENT = 1.0  # seconds
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 120, 240, 480, 600))


@dataclass(frozen=True, slots=True)
class _Ready:
    """A letter that is written. It is ours until ``lease``, which is then the letter's own time."""

    letter_id: int
    lease: datetime
    message: EmailMessage
    urgent: bool
    secret: bool


def deliver_some(database: Database, server: MailServer, budget: Budget | None = None) -> bool:
    """Send a few letters that are due; False where none is, or where nothing can be sent now.

    They are written together, because most of what they say is the same, and sent one by one: who
    dies leaves one letter in doubt, and the others to be taken a minute later. The server is asked
    for a connection before a letter is touched, so that an outage, however long, costs none an
    attempt.
    """
    try:
        with database.transaction() as session:
            letters = _take(session)
            if not letters:
                return False
            ready = _prepare_all(session, letters, server)
    except UnreachableError as error:
        log.warning("mail_server_away", error=str(error))
        return False
    _send_all(database, server, budget, ready)
    return True


def _take(session: Session) -> Sequence[Letter]:
    """The urgent ones first, so that no campaign's letter delays one that somebody waits for."""
    letters = _take_some(session, urgent=True)
    if not letters and is_daytime():
        letters = _take_some(session, urgent=False)
    return letters


def is_daytime() -> bool:
    """Whether it is an hour of the newsroom's day at which people may be written to."""
    return now().astimezone(current_settings().newsroom_timezone).hour in DAYTIME


def _take_some(session: Session, *, urgent: bool) -> Sequence[Letter]:
    return session.scalars(
        select(Letter)
        .where(
            Letter.state.in_((LetterState.QUEUED, LetterState.SENDING)),
            Letter.urgent.is_(urgent),
            Letter.due_at <= now(),
        )
        .order_by(Letter.due_at, Letter.id)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()


def _prepare_all(session: Session, letters: Sequence[Letter], server: MailServer) -> list[_Ready]:
    """Write those that are to be sent now, and mark them as ours for a while."""
    server.open()
    known = select(Member).where(Member.id.in_([letter.member_id for letter in letters]))
    members = session.scalars(known).all()  # kept, so that none is read again by itself
    ready = []
    for letter in letters:
        message = _prepare(session, letter)
        if message is not None:
            letter.due_at = lease = now() + _LEASE
            is_secret = letter.kind in SECRET
            ready.append(_Ready(letter.id, lease, message, letter.urgent, is_secret))
    del members
    return ready


def _prepare(session: Session, letter: Letter) -> EmailMessage | None:
    """Write the letter; None where it is not to be sent now."""
    if letter.state is LetterState.SENDING:
        _note(letter, Outcome(Fate.UNKNOWN, "A worker stopped while it sent the letter."))
        return None
    try:
        with session.begin_nested():
            return write(session, letter)
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
    _note(letter, failure)
    return None


def _send_all(
    database: Database, server: MailServer, budget: Budget | None, ready: list[_Ready]
) -> None:
    """Send one after the other, for a moment: somebody may have come who waits for a letter.

    What became of one is noted together with the beginning of the next.
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
            budget.wait("letters")
        with database.transaction() as session:
            if sent is not None:
                _note_sent(session, *sent)
            is_ours = _begin(session, one)
        sent = (one, server.send(one.message)) if is_ours else None
    with database.transaction() as session:
        if sent is not None:
            _note_sent(session, *sent)
        for one in ready:
            session.execute(_still_ours(one).values(due_at=now()))


def _begin(session: Session, one: _Ready) -> bool:
    """Mark the letter as being sent; False where it is not ours any more, so long it took."""
    mark = _still_ours(one).values(
        state=LetterState.SENDING, due_at=now() + LOST_AFTER, attempts=Letter.attempts + 1
    )
    return session.scalar(mark.returning(Letter.id)) is not None


def _still_ours(one: _Ready) -> Update:
    return update(Letter).where(
        Letter.id == one.letter_id,
        Letter.state == LetterState.QUEUED,
        Letter.due_at == one.lease,
    )


def _note_sent(session: Session, one: _Ready, outcome: Outcome) -> None:
    if outcome.fate is Fate.SENT and not one.secret:
        done = {"state": LetterState.SENT, "sent_at": now(), "error": None}
        session.execute(update(Letter).where(Letter.id == one.letter_id).values(done))
    else:
        _note(session.get_one(Letter, one.letter_id, with_for_update=True), outcome)


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
