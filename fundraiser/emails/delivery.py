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
from sqlalchemy import Integer, bindparam, select, update

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.emails.letters import UndeliverableError, write
from fundraiser.emails.message import Message
from fundraiser.emails.parts import NotOwedError
from fundraiser.emails.smtp import Fate, Outcome, UnreachableError
from fundraiser.members.models import Member
from fundraiser.outbox import SECRET, URGENT, Letter, LetterState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from fundraiser.payments import Budget

log = structlog.get_logger()

SENT_AGAIN = URGENT  # better twice than never; of a reminder it is the other way round
DAYTIME = range(8, 21)  # hours: from 8 until 21 o'clock
LOST_AFTER = timedelta(minutes=5)
_AT_ONCE = 10  # letters
_LEASE = timedelta(minutes=1)
_MOMENT = 1.0  # seconds
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 120, 240, 480, 600))

# Made once and run as Core: to put a statement together costs more than to run it.
_DUE = (
    select(Letter)
    .where(
        Letter.state.in_((LetterState.QUEUED, LetterState.SENDING)),
        Letter.urgent == bindparam("urgent"),
        Letter.due_at <= bindparam("at"),
    )
    .order_by(Letter.due_at, Letter.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_OF_THIS_ONE = update(Letter).where(Letter.id == bindparam("letter"))
_STILL_OURS = _OF_THIS_ONE.where(
    Letter.state == LetterState.QUEUED, Letter.due_at == bindparam("lease")
)
_BEGIN = _STILL_OURS.values(
    state=LetterState.SENDING, due_at=bindparam("until"), attempts=Letter.attempts + 1
).returning(Letter.id)
_GIVE_BACK = _STILL_OURS.values(due_at=bindparam("at"))
_SENT = _OF_THIS_ONE.values(state=LetterState.SENT, sent_at=bindparam("at"), error=None)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A letter that is written. It is ours until ``lease``, which is then the letter's own time."""

    letter_id: int
    lease: datetime
    message: Message
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
    # No more than may leave within a moment: the others would be written in vain.
    rate = 0 if urgent else current_settings().letters_per_second
    most = min(rate or _AT_ONCE, _AT_ONCE)
    return session.scalars(_DUE, {"urgent": urgent, "at": now(), "most": most}).all()


def _prepare_all(session: Session, letters: Sequence[Letter], server: MailServer) -> list[_Ready]:
    """Write those that are to be sent now, and mark them as ours for a while."""
    server.open()
    known = select(Member).where(Member.id.in_([letter.member_id for letter in letters]))
    members = session.scalars(known).all()  # kept, so that none is read again by itself
    waiting = [letter for letter in letters if letter.state is LetterState.QUEUED]
    written = _write_all(session, waiting)
    del members
    for letter in letters:
        if letter.state is LetterState.SENDING:
            _note(letter, Outcome(Fate.UNKNOWN, "A worker stopped while it sent the letter."))
    ready, lease = [], now() + _LEASE
    for letter, result in zip(waiting, written, strict=True):
        match result:
            case Message():
                letter.due_at = lease
                is_secret = letter.kind in SECRET
                ready.append(_Ready(letter.id, lease, result, letter.urgent, is_secret))
            case NotOwedError():
                letter.state, letter.error = LetterState.WITHDRAWN, str(result)
            case _:
                _note_failure(letter, result)
    return ready


def _write_all(session: Session, letters: Sequence[Letter]) -> list[Message | Exception]:
    """Each letter, or why it is none: in one savepoint, or in one each where something breaks.

    Nothing is noted of them before that: a savepoint writes what was changed before it, and of a
    row that a transaction updates twice PostgreSQL checks the foreign key, and so waits for whoever
    settles the person, who may be waiting for this letter.
    """
    try:
        with session.begin_nested():
            return [_write(session, letter) for letter in letters]
    except Exception:  # noqa: BLE001 - one letter must not hold up all others
        return [_write_alone(session, letter) for letter in letters]


def _write_alone(session: Session, letter: Letter) -> Message | Exception:
    try:
        with session.begin_nested():
            return _write(session, letter)
    except Exception as error:  # noqa: BLE001 - noted by the caller
        return error


def _write(session: Session, letter: Letter) -> Message | Exception:
    try:
        return write(session, letter)
    except (NotOwedError, UndeliverableError) as reason:
        return reason


def _note_failure(letter: Letter, error: Exception) -> None:
    letter.attempts += 1
    if isinstance(error, UndeliverableError):
        _note(letter, Outcome(Fate.REFUSED, str(error)))
    else:
        # By its kind alone: the rest of it may carry what the letter says.
        reason = f"The letter could not be written: {type(error).__name__}."
        _note(letter, Outcome(Fate.PUT_OFF, reason))


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
            ours = {"letter": one.letter_id, "lease": one.lease}
            session.connection().execute(_GIVE_BACK, ours | {"at": now()})


def _begin(session: Session, one: _Ready) -> bool:
    """Mark the letter as being sent; False where it is not ours any more, so long it took."""
    ours = {"letter": one.letter_id, "lease": one.lease}
    begun = session.connection().scalar(_BEGIN, ours | {"until": now() + LOST_AFTER})
    return begun is not None


def _note_sent(session: Session, one: _Ready, outcome: Outcome) -> None:
    if outcome.fate is Fate.SENT and not one.secret:
        session.connection().execute(_SENT, {"letter": one.letter_id, "at": now()})
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
