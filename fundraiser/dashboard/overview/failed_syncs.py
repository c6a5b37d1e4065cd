"""Staff page of customers whose sync failed, with a button to retry all."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import ngettext

from fundraiser import db
from fundraiser.dashboard.overview.columns import failed_sync_columns
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.paging import PAGE, key_from_url, split_page
from fundraiser.payments import queue

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("failed_syncs", __name__)


@blueprint.get("/staff/failed-syncs")
def failed_syncs() -> ResponseReturnValue:
    """The customers whose sync failed, page by page."""
    after = key_from_url("after") or 0
    found = queue.failed_requests(db.session(), most=PAGE + 1, after=after)
    requests, next_after = split_page(found, lambda sync: sync.id)
    staff = signed_in_staff()
    may_retry = may(staff, Permission.SETTLE)
    return render_template(
        "dashboard/failed_syncs.html",
        staff=staff,
        requests=requests,
        next_after=next_after,
        after=after,
        may_settle=may_retry,
        columns=failed_sync_columns(may_retry=may_retry),
    )


@blueprint.post("/staff/failed-syncs/retry")
def retry() -> ResponseReturnValue:
    """Sync all of them again; the same form twice does it once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.SETTLE)
    count = queue.retry_all_failed(session)
    if count:
        record(session, Action.SETTLED_ALL_AGAIN, f"customers {count}", staff=staff)
    flash(
        ngettext(
            "We’re syncing %(num)s customer again. Reload in a moment.",
            "We’re syncing %(num)s customers again. Reload in a moment.",
            count,
        ),
        "synced-again",
    )
    return redirect(url_for("failed_syncs.failed_syncs"), HTTPStatus.SEE_OTHER)
