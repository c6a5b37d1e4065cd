"""The page between our form and Stripe on which a browser solves a proof of work."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import render_template, request, url_for

from fundraiser.payments import allow_hosted_pages
from fundraiser.payments.card_guard import admit
from fundraiser.payments.proofs import seconds_to_wait

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

_SOLUTION, _TICKET = "altcha", "ticket"


def ask_first(session: Session) -> ResponseReturnValue | None:
    """The page that asks for a proof and resends the form; None if the payment may start.

    Call it after validating the form, because a proof works once.
    """
    ask = admit(
        session,
        solution=request.form.get(_SOLUTION, ""),
        ticket=request.form.get(_TICKET, ""),
    )
    if ask is None:
        return None
    allow_hosted_pages(session)
    page = render_template(
        "joining/proof.html",
        ask=ask,
        seconds=max(ask.wait, seconds_to_wait(ask.ticket) or 0),
        action=url_for(request.endpoint or ""),
        fields=[
            (name, value)
            for name, value in request.form.items(multi=True)
            if name not in {_SOLUTION, _TICKET}
        ],
    )
    return page, HTTPStatus.TOO_MANY_REQUESTS
