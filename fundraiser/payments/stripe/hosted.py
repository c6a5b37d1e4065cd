"""Lead from our forms to Stripe's hosted pages, on whatever domain they are.

An account may use its own domain for Checkout and the portal; Stripe's answers then point there
without notice. Browsers check the redirect after a form against the page's `form-action`, and block
it silently. See docs/decisions/hosted-pages.md.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import redirect, render_template
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from fundraiser.config import LOOPBACK, current_settings
from fundraiser.db import now
from fundraiser.payments.stripe.account import HostedOrigin
from fundraiser.security import allow_forms_to

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

# A page served before we knew the origin may be open for this long.
_OPEN_FOR = timedelta(days=1)
_MOST = 8


def allow_hosted_pages(session: Session) -> None:
    """Add all known hosted pages to the current response's `form-action`."""
    allow_forms_to(session.scalars(select(HostedOrigin.origin).limit(_MOST)).all())


def lead_to(session: Session, address: str) -> ResponseReturnValue:
    """Answer a form by leading to one of Stripe's pages: with a redirect where browsers allow it.

    Otherwise with a page of ours that continues automatically, because a page's own navigation
    isn't the form's.
    """
    settings = current_settings()
    origin = _origin_of(address)
    if origin in {settings.checkout_origin, settings.portal_origin}:
        return redirect(address, HTTPStatus.SEE_OTHER)
    seen_at = session.scalar(select(HostedOrigin.seen_at).where(HostedOrigin.origin == origin))
    if seen_at is not None and seen_at < now() - _OPEN_FOR:
        return redirect(address, HTTPStatus.SEE_OTHER)
    if seen_at is None and origin is not None:
        _remember(session, origin)
    return render_template("leaving.html", address=address), HTTPStatus.OK


def _origin_of(address: str) -> str | None:
    """The URL's origin, if a policy may contain it."""
    parts = urlsplit(address)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    return f"{parts.scheme}://{parts.netloc}" if is_safe and "@" not in parts.netloc else None


def _remember(session: Session, origin: str) -> None:
    if (session.scalar(select(func.count()).select_from(HostedOrigin)) or 0) >= _MOST:
        return
    session.execute(
        insert(HostedOrigin).values(origin=origin, seen_at=now()).on_conflict_do_nothing()
    )
