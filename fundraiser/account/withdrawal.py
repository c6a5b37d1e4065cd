"""Withdrawing from the contract online, within 14 days: the form, and who is told.

The EU asks for it since June 2026 (Directive 2011/83, Article 11a): a form that nobody needs to
sign in for, a button that confirms, and an e-mail at once that it has arrived. Staff then refund
the payment on the person's page: nothing happens by itself, because anybody can type an address.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import force_locale
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.forms import read_email
from fundraiser.members.addresses import find_member_id
from fundraiser.members.models import fold_address
from fundraiser.newsroom.models import Role, Staff
from fundraiser.outbox import enqueue, enqueue_to_staff
from fundraiser.security import check_origin, cookieless, limit_by_network, public
from fundraiser.texts import date_and_time, gettext as _, keep_language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

blueprint = Blueprint("withdrawal", __name__)
blueprint.url_defaults(keep_language)

_WHO_REFUNDS = (Role.ADMIN, Role.MANAGER)


@blueprint.get("/account/withdrawal")
@public
def show() -> ResponseReturnValue:
    """The form: an address is enough, and nobody has to say why."""
    return _page()


@blueprint.post("/account/withdrawal")
@cookieless
@limit_by_network()
def withdraw() -> ResponseReturnValue:
    """Tell the member and staff; the answer is the same for every address."""
    check_origin()
    try:
        address = read_email(request.form.get("email", ""))
    except UnprocessableError as error:
        return _page(error), error.status
    member_id = find_member_id(db.session(), fold_address(address))
    if member_id is not None:
        _tell(db.session(), member_id)
    return redirect(url_for(".show", done="yes"), HTTPStatus.SEE_OTHER)


def _tell(session: Session, member_id: int) -> None:
    """E-mail the member and those who may refund, once a day: a form may be sent twice."""
    at = now()
    day = f"{at:%Y-%m-%d}"
    enqueue(session, "withdrawal", to=member_id, key=day, context={"at": at.isoformat()})
    refunding = select(Staff).where(Staff.deactivated_at.is_(None), Staff.role.in_(_WHO_REFUNDS))
    url = f"{current_settings().public_url}/staff/members/{member_id}"
    for staff in session.scalars(refunding):
        with force_locale(staff.language):
            enqueue_to_staff(
                session,
                staff.id,
                key=f"withdrawal {member_id} {day}",
                subject=_("A member has withdrawn"),
                paragraphs=[
                    _(
                        "They sent the withdrawal form on %(time)s. If that’s within 14 days of "
                        "joining, refund the payment and end the membership within 14 days.",
                        time=date_and_time(at),
                    )
                ],
                link=(_("Open the member’s page"), url),
            )


def _page(error: UnprocessableError | None = None) -> str:
    return render_template(
        "account/withdrawal.html",
        email=request.form.get("email", ""),
        error=error,
        done=request.args.get("done"),
        mail_from=current_settings().mail_from,
    )
