"""Notices for the operator: once when a trouble begins, once when it is over.

A trouble must last a while before we tell anybody, and must be gone a while before it is over, so
that one that comes and goes makes no flood. If no way to the operator works we try again at the
next look, and leave out the ping: the dead man's switch at its other end raises the alarm then, as
it does if nothing of ours runs at all.
"""

from __future__ import annotations

import json
from datetime import timedelta
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING

import structlog
import urllib3
from sqlalchemy import select

from fundraiser import jobs
from fundraiser.db import now, try_lock
from fundraiser.emails.message import Message, in_words, mailbox, write_source
from fundraiser.emails.smtp import Fate, MailServer
from fundraiser.watch.models import OpenTrouble
from fundraiser.watch.troubles import PATIENCE, find_troubles

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.watch.models import Trouble

log = structlog.get_logger()

EVERY = timedelta(seconds=50)  # a little less than the timetable's minute
_OVER_AFTER = timedelta(minutes=15)
_PATIENCE = urllib3.Timeout(connect=3.0, read=10.0)
_GOOD = range(200, 300)


def watch(database: Database, settings: Settings) -> None:
    """Look for troubles, tell the operator what is new or over, and send the ping."""
    with database.transaction() as session:
        if not try_lock(session, "watch", "") or not jobs.is_due(session, "watch", EVERY):
            return
        jobs.beat(session, "watch")
    with database.transaction() as session:
        sentences = find_troubles(session)
        begun, over = _compare(session, sentences)
    lines = [sentences[trouble] for trouble in begun] + [_over(trouble) for trouble in over]
    if lines and not tell(settings, lines):
        return
    with database.transaction() as session:
        _note_told(session, begun, over)
    if settings.operator_ping and not _send("GET", settings.operator_ping):
        log.warning("operator_ping_failed")


def tell(settings: Settings, lines: list[str]) -> bool:
    """Send lines to the operator by each configured way; whether one worked, or there is none."""
    for line in lines:
        log.warning("operator_notice", notice=line)
    ways = []
    if settings.operator_email:
        ways.append(_email(settings, settings.operator_email, lines))
    if settings.operator_webhook:
        ways.append(_post(settings, settings.operator_webhook, lines))
    return any(ways) or not ways


def _compare(session: Session, found: dict[Trouble, str]) -> tuple[list[Trouble], list[Trouble]]:
    """Update the rows; returns the troubles to tell of, and those that are over."""
    at = now()
    known = {row.trouble: row for row in session.scalars(select(OpenTrouble))}
    for trouble in found:
        if trouble not in known:
            known[trouble] = OpenTrouble(trouble=trouble, since=at)
            session.add(known[trouble])
        known[trouble].gone_since = None
    over = []
    for trouble, row in known.items():
        if trouble in found:
            continue
        if row.told_at is None:
            session.delete(row)
        elif row.gone_since is None:
            row.gone_since = at
        elif row.gone_since <= at - _OVER_AFTER:
            over.append(trouble)
    begun = [
        trouble
        for trouble in found
        if known[trouble].told_at is None and known[trouble].since <= at - PATIENCE[trouble]
    ]
    return begun, over


def _note_told(session: Session, begun: list[Trouble], over: list[Trouble]) -> None:
    for row in session.scalars(select(OpenTrouble)):
        if row.trouble in begun:
            row.told_at = now()
        if row.trouble in over:
            session.delete(row)


def _over(trouble: Trouble) -> str:
    return f"Over: {trouble.value.replace('_', ' ')}."


def _email(settings: Settings, recipient: str, lines: list[str]) -> bool:
    """Send by SMTP at once: the outbox may be what fails."""
    subject = f"{settings.newsroom_name}: {lines[0]}"
    text = "\n\n".join([*lines, f"{settings.public_url}/staff"])
    headers = {
        "From": mailbox(settings.newsroom_name, settings.mail_from, "From"),
        "To": recipient,
        "Subject": in_words(subject[:120], "Subject"),
        "Date": format_datetime(now()),
        "Auto-Submitted": "auto-generated",
    }
    source = write_source(headers, text, "".join(f"<p>{escape(line)}</p>" for line in lines))
    with MailServer(settings) as server:
        outcome = server.send(Message(settings.mail_from, recipient, source))
    if outcome.fate in {Fate.SENT, Fate.UNKNOWN}:  # perhaps twice a minute would be a flood
        return True
    log.warning("operator_email_failed", fate=outcome.fate.value)
    return False


def _post(settings: Settings, url: str, lines: list[str]) -> bool:
    """Send JSON with the ``text`` that Slack, Mattermost and others show."""
    text = "\n".join([f"{settings.newsroom_name}:", *lines])
    body = json.dumps({"text": text, "notices": lines}, ensure_ascii=False).encode()
    if _send("POST", url, body):
        return True
    log.warning("operator_webhook_failed")
    return False


def _send(method: str, url: str, body: bytes | None = None) -> bool:
    """Send a request, without following redirects; never logs the URL, which is a secret."""
    headers = {"User-Agent": "fundraiser"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        with urllib3.PoolManager() as pool:
            answer = pool.request(
                method,
                url,
                body=body,
                headers=headers,
                timeout=_PATIENCE,
                retries=False,
                redirect=False,
                preload_content=False,  # nothing that it says is read
            )
            answer.release_conn()
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status in _GOOD
