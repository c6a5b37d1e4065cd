"""Customers that could not be synced with Stripe, and another try for all of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import ngettext

from fundraiser import db
from fundraiser.dashboard import labels
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments import queue

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("failed_syncs", __name__)

_PAGE = 50
_LARGEST_KEY = 2**63 - 1


@blueprint.get("/staff/failed-syncs")
def failed_syncs() -> ResponseReturnValue:
    """The customers that could not be settled, page by page."""
    typed = request.args.get("after", "")
    after = min(int(typed), _LARGEST_KEY) if typed.isdecimal() and typed.isascii() else 0
    requests = queue.failed_requests(db.session(), most=_PAGE + 1, after=after)
    staff = signed_in_staff()
    return render_template(
        "dashboard/failed_syncs.html",
        staff=staff,
        words=labels,
        requests=requests[:_PAGE],
        next_after=requests[_PAGE - 1].id if len(requests) > _PAGE else None,
        after=after,
        may_settle=may(staff, Permission.SETTLE),
    )


@blueprint.post("/staff/failed-syncs/retry")
def retry() -> ResponseReturnValue:
    """Sync all of them again; asked twice, it is done once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.SETTLE)
    count = queue.retry_all_failed(session)
    if count:
        record(session, Action.SETTLED_ALL_AGAIN, f"customers {count}", staff=staff)
    flash(
        ngettext(
            "%(num)s customer is being synced again. Reload in a moment.",
            "%(num)s customers are being synced again. Reload in a moment.",
            count,
        )
    )
    return redirect(url_for("failed_syncs.failed_syncs"), HTTPStatus.SEE_OTHER)
