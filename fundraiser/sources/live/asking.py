"""Fetch from connected services, one step at a time: lease, call, write.

A short transaction takes the source's lease and chooses the call. The call holds no connection and
no lock. A transaction that still has the lease writes the answer; if a later lease was taken, the
answer is dropped. After a crash the next step continues: a listing at its next page, or from the
start if its cursor has expired.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.members.eligibility import counts_at
from fundraiser.members.models import Membership, Source, Status
from fundraiser.sources.live import files, tokens as sealed
from fundraiser.sources.live.calls import CallError, GoneError, Trouble, back_off
from fundraiser.sources.live.clients import clients
from fundraiser.sources.live.patreon import Patreon
from fundraiser.sources.live.tokens import Tokens
from fundraiser.sources.models import LiveChange, LivePage, LiveSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.config import PatreonAccess, Settings
    from fundraiser.db import Database
    from fundraiser.sources.live.clients import Client
    from fundraiser.sources.live.pages import Page

log = structlog.get_logger()

# Longer than all that a step asks: twenty changes at once, each with its deadline.
LEASE = timedelta(minutes=12)
_CHANGES = 20  # asked for one by one; more are a new listing
_ABSENT = 50  # asked for at once
_MOST_PAGES = 5_000
_MOST_MISSING, _FEW = 0.02, 5  # of those that it says there are: people come and go meanwhile
_BEFORE_ITS_END = 4  # a token is renewed when a fourth of its life is left
_RENEWAL_AGAIN = timedelta(hours=1)
_STORED_AGAIN = (1, 5, 15, 30)  # seconds to wait for a database that is away


class Step(StrEnum):
    """What to fetch next."""

    RENEW = "renew"
    PAGE = "page"
    ABSENT = "absent"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed step, with everything needed to run it."""

    step: Step
    lease: int
    tokens: Tokens | None
    cursor: str | None = None
    references: Sequence[str] = ()
    told_at: Sequence[datetime] = ()  # of each reference, where a webhook told


def ask_any(database: Database, settings: Settings) -> bool:
    """Run the next step of any connected service; False if there is nothing to do now."""
    moved = [ask_one(database, settings, client) for client in clients(settings)]
    return any(moved)


def ask_one(database: Database, settings: Settings, client: Client) -> bool:
    """Run the next step of this service; False if there is nothing to do now."""
    with database.transaction() as session:
        went_on = files.follow(session, _find(session, client), settings.grace)
    if went_on:
        return True
    with database.transaction() as session:
        work = _claim(session, settings, client)
    if work is None:
        return False
    try:
        answer = _call(client, work)
    except CallError as error:
        with database.transaction() as session:
            source = _holding(session, client, work)
            if source is not None:
                _note_trouble(session, source, work, error)
        return False
    # New tokens are nowhere else, and the old ones are void: a short failure mustn't lose them.
    for pause in _STORED_AGAIN if work.step is Step.RENEW else ():
        try:
            return _store(database, client, work, answer)
        except OperationalError:
            log.warning("source_tokens_not_stored", source=client.name, again_in=pause)
            time.sleep(pause)
    return _store(database, client, work, answer)


def _store(database: Database, client: Client, work: Work, answer: Any) -> bool:  # noqa: ANN401 - of each step another
    with database.transaction() as session:
        source = _holding(session, client, work)
        if source is None:
            return False  # somebody else has asked meanwhile
        _take_in(session, client, source, work, answer)
        source.lease_until = None
    return True


def _find(session: Session, client: Client) -> LiveSource:
    session.execute(insert(LiveSource).values(name=client.name).on_conflict_do_nothing())
    return session.get_one(LiveSource, client.name, with_for_update=True)


def _holding(session: Session, client: Client, work: Work) -> LiveSource | None:
    source = session.get_one(LiveSource, client.name, with_for_update=True)
    return source if source.lease == work.lease else None


def _claim(session: Session, settings: Settings, client: Client) -> Work | None:
    source, at = _find(session, client), now()
    if source.paused_at or source.batch_id or (source.lease_until and source.lease_until > at):
        return None
    kept = tokens_of(settings, client, source)
    if _is_renewal_due(settings, source, at, kept):
        return _lease(source, Work(Step.RENEW, source.lease + 1, kept))
    if source.retry_at and source.retry_at > at:
        return None
    if source.listing_at is None and (source.due_at is None or source.due_at <= at):
        _begin_listing(session, source, at)
    if source.listing_at is not None:
        if source.pages == 0 or source.cursor is not None:
            work = Work(Step.PAGE, source.lease + 1, kept, cursor=source.cursor)
        else:
            absent = _absent(session, source)
            work = Work(Step.ABSENT, source.lease + 1, kept, references=absent)
        return _lease(source, work)
    changed = session.execute(
        select(LiveChange.reference, LiveChange.told_at)
        .where(LiveChange.source == client.name)
        .order_by(LiveChange.told_at, LiveChange.reference)
        .limit(_CHANGES + 1)
    ).all()
    if len(changed) > _CHANGES:
        # On the first of a month everybody is charged: all at once costs less than one by one.
        source.due_at = at
        _begin_listing(session, source, at)
        return _lease(source, Work(Step.PAGE, source.lease + 1, kept))
    if changed:
        names, times = zip(*changed, strict=True)
        work = Work(Step.CHANGES, source.lease + 1, kept, references=names, told_at=times)
        return _lease(source, work)
    return None


def _lease(source: LiveSource, work: Work) -> Work:
    source.lease, source.lease_until = work.lease, now() + LEASE
    return work


def _begin_listing(session: Session, source: LiveSource, at: datetime) -> None:
    """Start a listing; it covers everybody reported by webhook before it."""
    session.execute(delete(LivePage).where(LivePage.source == source.name))
    session.execute(
        delete(LiveChange).where(LiveChange.source == source.name, LiveChange.told_at <= at)
    )
    source.listing_at, source.cursor, source.pages, source.expected = at, None, 0, None


def tokens_of(settings: Settings, client: Client, source: LiveSource) -> Tokens | None:
    """The latest renewed tokens, or the configured ones; None if not needed."""
    if not isinstance(client, Patreon):
        return None
    access = client.access
    if source.tokens and source.tokens_of == sealed.name_of(access):
        kept = sealed.unseal(settings, source.tokens)
        if kept is not None:
            return kept
    return Tokens(access.access_token, access.refresh_token)


def _is_renewal_due(
    settings: Settings, source: LiveSource, at: datetime, kept: Tokens | None
) -> bool:
    if kept is None or not kept.refresh:
        return False
    # Of new settings nobody knows when their token ends: it is renewed at once.
    is_new = source.tokens_of != sealed.name_of(_access(settings))
    return is_new or source.renew_at is None or source.renew_at <= at


def _access(settings: Settings) -> PatreonAccess:
    assert settings.patreon is not None  # noqa: S101 - only Patreon's tokens are renewed
    return settings.patreon


def _call(client: Client, work: Work) -> Any:  # noqa: ANN401 - of each step another
    match work.step:
        case Step.RENEW:
            assert isinstance(client, Patreon)  # noqa: S101
            assert work.tokens is not None  # noqa: S101
            return client.renew(work.tokens)
        case Step.PAGE:
            page = client.look(work.tokens, work.cursor)
            if page.cursor is None and isinstance(client, Patreon) and client.access.webhook_secret:
                # Patreon pauses a webhook that we missed, and goes on only when it is asked to.
                uri = f"{current_settings().public_url}/webhooks/patreon"
                client.resume_webhook(work.tokens, uri)
            return page
        case Step.ABSENT | Step.CHANGES:
            try:
                return client.find(work.tokens, work.references)
            except GoneError:
                return []


def _take_in(
    session: Session,
    client: Client,
    source: LiveSource,
    work: Work,
    answer: Any,  # noqa: ANN401 - of each step another
) -> None:
    at = now()
    source.answered_at = at
    if work.step is Step.RENEW:
        _keep_tokens(current_settings(), source, answer)
        return
    source.failures, source.retry_at = 0, None
    if source.trouble != Trouble.NOT_RENEWED:
        source.trouble, source.failing_since = None, None
    match work.step:
        case Step.PAGE:
            _keep_page(session, client, source, answer)
        case Step.ABSENT:
            _add_page(session, source, answer, list(work.references))
            _finish_if_whole(session, client, source)
        case Step.CHANGES:
            files.bring_changes(session, client, source, answer)
            # Of whom it has told once more meanwhile is asked once more.
            asked = list(zip(work.references, work.told_at, strict=True))
            session.execute(
                delete(LiveChange).where(
                    LiveChange.source == source.name,
                    tuple_(LiveChange.reference, LiveChange.told_at).in_(asked),
                )
            )


def _keep_tokens(settings: Settings, source: LiveSource, answer: tuple[Tokens, timedelta]) -> None:
    found, life = answer
    source.tokens = sealed.seal(settings, found)
    source.tokens_of = sealed.name_of(_access(settings))
    source.renew_at = now() + life - life / _BEFORE_ITS_END
    if source.trouble in {Trouble.NOT_RENEWED, Trouble.UNAUTHORIZED}:
        source.trouble, source.failing_since, source.retry_at = None, None, None
    log.info("source_tokens_renewed", source=source.name)


def _keep_page(session: Session, client: Client, source: LiveSource, page: Page) -> None:
    if source.expected is None:
        source.expected = page.total
    if page.cursor is not None and (page.cursor == source.cursor or source.pages >= _MOST_PAGES):
        source.listing_at = None
        _fail(source, Trouble.MALFORMED)
        return
    _add_page(session, source, page.members, page.keys)
    source.cursor = page.cursor
    if page.cursor is None and _is_incomplete(session, client, source):
        # Nobody ends by being left out, but who was left out isn't renewed either: ask again.
        session.execute(delete(LivePage).where(LivePage.source == source.name))
        source.listing_at = None
        _fail(source, Trouble.INCOMPLETE)
        return
    _finish_if_whole(session, client, source)


def _finish_if_whole(session: Session, client: Client, source: LiveSource) -> None:
    session.flush()
    if source.cursor is None and not _absent(session, source):
        files.finish_listing(session, client, source)


def _add_page(
    session: Session, source: LiveSource, members: list[dict[str, Any]], keys: list[str]
) -> None:
    session.add(
        LivePage(
            source=source.name,
            number=source.pages,
            content=json.dumps(members, separators=(",", ":")).encode(),
            keys=keys,
            created_at=now(),
        )
    )
    source.pages += 1


def _is_incomplete(session: Session, client: Client, source: LiveSource) -> bool:
    """Whether much of the announced number is missing, or everybody whom we count by it."""
    session.flush()
    listed = session.scalar(
        select(func.coalesce(func.sum(func.jsonb_array_length(LivePage.keys)), 0)).where(
            LivePage.source == source.name
        )
    )
    if source.expected is not None and (listed or 0) < (
        source.expected * (1 - _MOST_MISSING) - _FEW
    ):
        return True
    return not listed and _counted_by(session, client.name) > 0


def _counted_by(session: Session, name: str) -> int:
    return (
        session.scalar(
            select(func.count()).where(
                Membership.origin == name,
                Membership.source == Source.IMPORT,
                Membership.status == Status.ACTIVE,
                Membership.counts_until > now(),
            )
        )
        or 0
    )


def _absent(session: Session, source: LiveSource) -> list[str]:
    """People whom we count by Ghost and whose listing lacks them: fetch each by ID.

    A missing entry ends nobody's membership. What Ghost says about them does.
    """
    if source.name != "ghost":
        return []
    seen = (
        select(func.jsonb_array_elements_text(LivePage.keys).label("key"))
        .where(LivePage.source == source.name)
        .subquery()
    )
    prefix = f"{source.name}:"
    missing = session.scalars(
        select(Membership.reference)
        .where(
            Membership.origin == source.name,
            Membership.source == Source.IMPORT,
            Membership.status == Status.ACTIVE,
            Membership.cancel_at.is_(None),
            Membership.refunded_at.is_(None),
            counts_at(now(), current_settings().grace),
            Membership.reference.not_in(select(prefix + seen.c.key)),
        )
        .order_by(Membership.reference)
        .limit(_ABSENT)
    ).all()
    return [reference.removeprefix(prefix) for reference in missing]


def _note_trouble(session: Session, source: LiveSource, work: Work, error: CallError) -> None:
    source.lease_until = None
    at = now()
    if work.step is Step.RENEW:
        # The token that is there may be good for weeks still.
        settings = current_settings()
        name = sealed.name_of(_access(settings))
        if source.tokens_of != name:
            source.tokens, source.tokens_of = None, name
        source.renew_at = at + _RENEWAL_AGAIN
        if source.retry_at:
            source.retry_at = at + back_off(source.failures)
        if error.trouble in {Trouble.UNAUTHORIZED, Trouble.MALFORMED}:
            source.trouble = Trouble.NOT_RENEWED
            source.failing_since = source.failing_since or at
        log.warning("source_tokens_not_renewed", source=source.name, trouble=error.trouble.value)
        return
    if work.step is Step.PAGE and work.cursor and error.trouble is Trouble.MALFORMED:
        # A cursor that is no longer taken: begin the listing anew.
        session.execute(delete(LivePage).where(LivePage.source == source.name))
        source.listing_at = None
    _fail(source, error.trouble, error.wait)
    if error.trouble is Trouble.UNAUTHORIZED and source.failures == 1:
        # It may have been renewed elsewhere, or withdrawn: new ones are asked for, once.
        source.renew_at, source.retry_at = at, at
    log.warning(
        "source_not_answering",
        source=source.name,
        trouble=error.trouble.value,
        failures=source.failures,
    )


def _fail(source: LiveSource, trouble: Trouble, wait: timedelta | None = None) -> None:
    at = now()
    source.failures += 1
    source.trouble = trouble.value
    source.failing_since = source.failing_since or at
    source.retry_at = at + (wait or back_off(source.failures))
