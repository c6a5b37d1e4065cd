"""The page behind an e-mailed link that undoes a change of address, within 72 hours."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.errors import UnavailableError, UnprocessableError
from fundraiser.members.address_changes import find_undoable, mask
from fundraiser.members.email_links import read_undo_link
from fundraiser.members.models import Cause
from fundraiser.payments import StripeUnavailableError, member_gateway
from fundraiser.payments.changes import Change, change_email
from fundraiser.payments.intents import find_intent
from fundraiser.security import check_origin, cookieless
from fundraiser.texts import gettext as _, keep_language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("address_undo", __name__)
blueprint.url_defaults(keep_language)


@blueprint.route("/account/email/undo/<key>", methods=["GET", "POST"])
@cookieless
def undo(key: str) -> ResponseReturnValue:
    """Show what would be undone; the button does it and ends every session."""
    session, change_id = db.session(), read_undo_link(key)
    try:
        change, member = find_undoable(session, change_id)
        if request.method == "GET":
            return _page(before=mask(change.before), after=mask(member.email or ""))
        check_origin()
        grace, key = current_settings().grace, f"undo-{change.id}"
        how = Change(member_gateway(), grace, key, Cause.STRIPE, "e-mail link")
        before = change.before
        change_email(session, how, member, before, is_undo=True)
        before = mask(before)
    except StripeUnavailableError as away:
        if find_intent(session, key) is None:
            raise
        raise UnavailableError(
            _(
                "We’ve noted that you want your old address back, but Stripe, our "
                "payment service, isn’t answering. We’ll keep trying: you don’t need "
                "to do anything."
            )
        ) from away
    except UnprocessableError as error:
        return _page(error=str(error)), HTTPStatus.UNPROCESSABLE_ENTITY
    return _page(before=before, is_done=True)


def _page(
    *,
    before: str = "",
    after: str | None = None,
    is_done: bool = False,
    error: str | None = None,
) -> str:
    return render_template(
        "account/email_undo.html", before=before, after=after, is_done=is_done, error=error
    )
