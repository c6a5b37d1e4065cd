"""The page behind an e-mailed link: restart with a late payment, or get a refund."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request, url_for

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.db import checkpoint
from fundraiser.errors import NotFoundError, UnavailableError
from fundraiser.joining.offers import money
from fundraiser.members.email_links import read_payment_link
from fundraiser.members.prices import per
from fundraiser.payments import current_gateway
from fundraiser.payments.late import LatePayment, Wish, choose, read_late_payment
from fundraiser.payments.queue import promise
from fundraiser.payments.settlement import leased, settle_claim
from fundraiser.security import check_origin, cookieless
from fundraiser.texts import Named, gettext as _, keep_language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("late_payments", __name__)
blueprint.url_defaults(keep_language)


@blueprint.route("/account/payment/<key>", methods=["GET", "POST"])
@cookieless
def late_payment(key: str) -> ResponseReturnValue:
    """Show the options for a late payment; only the buttons act, once."""
    late = _read(key)
    if request.method == "GET":
        return _page(key, late)
    check_origin()
    wish = Wish.RESTART if request.form.get("what") == Wish.RESTART else Wish.REFUND
    session, database = db.session(), db.current_database()
    checkpoint(session)
    try:
        with leased(database, [late.case.customer_id]) as (claim,):
            choose(session, late, wish)
            promise(session, claim)
            checkpoint(session)
            grace = current_settings().grace
            settle_claim(database, current_gateway(), grace, claim, cause_ref="e-mail link")
    except UnavailableError:
        # Stripe may have done it before its answer was lost: a worker looks.
        notice = Named(
            "not-known",
            _(
                "Stripe, our payment service, isn’t answering, so we don’t know yet whether this "
                "went through. Open this page again in a few minutes."
            ),
        )
        return _page(key, _read(key), notice=notice)
    session.expire_all()
    late = _read(key)
    if wish is Wish.RESTART and late.is_refused:
        refused = _(
            "We couldn’t restart your membership. You can join again or have the payment refunded."
        )
        return _page(key, late, notice=refused), HTTPStatus.UNPROCESSABLE_ENTITY
    return _page(key, late)


def _read(key: str) -> LatePayment:
    late = read_late_payment(db.session(), read_payment_link(key))
    if late is None:
        raise NotFoundError(_("This link is incomplete. Open it from our e-mail again."))
    return late


def _page(key: str, late: LatePayment, *, notice: str | None = None) -> str:
    membership = late.membership
    price = membership.price or membership.amount
    return render_template(
        "account/late.html",
        late=late,
        notice=notice,
        amount=money(late.case.amount, late.case.currency),
        price=per(price, membership.currency, membership.interval, membership.interval_count or 1),
        action=url_for(".late_payment", key=key),
    )
