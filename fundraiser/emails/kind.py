"""The declaration of a kind of e-mail; each file in ``kinds`` makes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundraiser.outbox import Email, OutboxKind, Recipient, Topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.progress import Progress
    from fundraiser.emails.parts.body import Body
    from fundraiser.emails.parts.queries import Due
    from fundraiser.members.models import Member


@dataclass(frozen=True, kw_only=True)
class Kind(OutboxKind):
    """Everything that the service knows about one e-mail; its name is that of its file.

    Attributes:
        label: its name for staff, in the current locale.
        body: what it says, in the current locale. Raises ``NotDueError`` where that would not be
            true any more.
        example: the same for staff to read, about a member or an invented one; None while there is
            no campaign that it could be about. Without it, the e-mail has no page of its own.
        due: the query that finds those for whom time has made it due, at a time. It is asked again
            just before the e-mail leaves. None where it is enqueued by what somebody does.
        mailing: the key of an e-mail to everybody who asked for ``topic``, if one starts now.
        address: where it goes instead of to its recipient's own address; None: to that one.
        topic: what a member may refuse; None where it is about the member's own money.
        resendable: staff may send it once more, from the member's page.
        on_by_default: it is sent unless staff switch it off, rather than only if they switch it on.
        always_on: it can't be switched off, because nobody would get in without it.
        secret: what it carries opens something, and is forgotten as soon as it has left.
        despite_complaint: it goes even to somebody who has reported one of our e-mails as spam.
        needed_names: the names in curly brackets that staff may not leave out of its text.
    """

    label: Callable[[], str]
    body: Callable[[Session, Email], Body]
    example: Callable[[Session, Member | None], Body | None] | None = None
    due: Callable[[datetime], Due] | None = None
    mailing: Callable[[Session, Progress, datetime], str | None] | None = None
    address: Callable[[Session, Email], str | None] | None = None
    topic: Topic | None = None
    resendable: bool = False
    on_by_default: bool = True
    always_on: bool = False
    secret: bool = False
    despite_complaint: bool = False
    needed_names: frozenset[str] = frozenset()

    @property
    def can_be_refused(self) -> bool:
        """Whether it has an unsubscribe link."""
        return self.topic is not None or self.to is Recipient.READER
