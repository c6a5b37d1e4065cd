"""Everything that an on-call page shows: each part's state, and what to do if it fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import url_for
from flask_babel import format_decimal, ngettext

from fundraiser.dashboard.overview.figures import LATE, Machinery, read_machinery
from fundraiser.db import now
from fundraiser.outbox import EmailState, oldest_due_email
from fundraiser.payments.intents import oldest_open_intent
from fundraiser.payments.queue import oldest_due_sync
from fundraiser.payments.reconcile import last_run
from fundraiser.texts import date_and_time, gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.orm import Session

_SILENT = timedelta(minutes=2)
_EMAIL_LATE, _CHANGE_LATE = timedelta(minutes=15), timedelta(minutes=30)
_TWO_NIGHTS = timedelta(hours=50)
_NOT_ARRIVED = (EmailState.FAILED, EmailState.BOUNCED, EmailState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Check:
    """A part of the service: its state, what to do if it isn't fine, and where to see more.

    ``name`` is its ``data-test``; ``link`` a URL.
    """

    name: str
    title: str
    state: str
    is_fine: bool
    advice: str
    link: str | None = None


def read_checks(session: Session, *, reads_emails: bool) -> list[Check]:
    """All parts, in the order in which somebody on call looks at them."""
    machinery = read_machinery(session)
    found = [*_processes(machinery), _events(machinery), _syncs(session, machinery)]
    found += [_changes(session), _reconciliation(session)]
    if reads_emails:
        found += [_waiting_emails(session), _failed_emails(machinery)]
    return found


def _processes(machinery: Machinery) -> Iterator[Check]:
    for name, title, advice in (
        (
            "worker",
            _("Workers"),
            _(
                "Start the workers. If they run, check Redis: they get their tasks through it. "
                "Until then beat does what is due, more slowly."
            ),
        ),
        ("beat", _("Scheduler"), _("Start beat: it starts each scheduled job.")),
    ):
        at = machinery.heartbeats.get(name)
        state = _("Last reported: %(time)s", time=date_and_time(at)) if at else _("Never reported")
        yield Check(name, title, state, at is not None and at > now() - _SILENT, advice)


def _events(machinery: Machinery) -> Check:
    oldest = machinery.oldest_unsettled
    return Check(
        "events",
        _("Stripe’s events"),
        _waiting_since(oldest),
        oldest is None or oldest > now() - LATE,
        _(
            "Events wait until we’ve synced their customer. Check that the workers run and that "
            "Stripe answers: status.stripe.com."
        ),
        url_for("service_pages.events"),
    )


def _syncs(session: Session, machinery: Machinery) -> Check:
    count = machinery.syncs_failed
    state = (
        ngettext("%(num)s customer failed", "%(num)s customers failed", count)
        if count
        else _waiting_since(oldest_due_sync(session))
    )
    return Check(
        "syncs",
        _("Syncs with Stripe"),
        state,
        not count,
        _("Read the reasons, mend them, then sync these customers again."),
        url_for("failed_syncs.failed_syncs"),
    )


def _changes(session: Session) -> Check:
    oldest = oldest_open_intent(session)
    return Check(
        "changes",
        _("Refunds and changes for Stripe"),
        _waiting_since(oldest),
        oldest is None or oldest > now() - _CHANGE_LATE,
        _("We repeat each call until Stripe accepts it. The workers’ log has Stripe’s answer."),
    )


def _reconciliation(session: Session) -> Check:
    run = last_run(session)
    if run is None:
        state = _("Not run yet")
    else:
        state = _(
            "Last run: %(time)s. Customers that differed: %(count)s",
            time=date_and_time(run.started_at),
            count=format_decimal(run.differing),
        )
    return Check(
        "reconciliation",
        _("Nightly comparison with Stripe"),
        state,
        run is None or run.started_at > now() - _TWO_NIGHTS,
        _("Run fundraiser reconcile on the server and read what it says."),
    )


def _waiting_emails(session: Session) -> Check:
    oldest = oldest_due_email(session)
    return Check(
        "emails-wait",
        _("Urgent e-mails"),
        _waiting_since(oldest),
        oldest is None or oldest > now() - _EMAIL_LATE,
        _(
            "If e-mails aren’t stopped on this page, run fundraiser doctor on the server: it "
            "checks the mail server."
        ),
        url_for("email_pages.index", state=EmailState.QUEUED.value),
    )


def _failed_emails(machinery: Machinery) -> Check:
    counts = {state: machinery.emails.get(state, 0) for state in _NOT_ARRIVED}
    worst = max(counts, key=lambda state: counts[state])
    count = sum(counts.values())
    return Check(
        "emails-failed",
        _("E-mails that may not have arrived"),
        ngettext("%(num)s e-mail", "%(num)s e-mails", count) if count else _("None"),
        not count,
        _("Each one has its reason beside it. Correct the address or the settings, then resend."),
        url_for("email_pages.index", state=worst.value),
    )


def _waiting_since(oldest: datetime | None) -> str:
    return _("Waiting since %(time)s", time=date_and_time(oldest)) if oldest else _("None waiting")
