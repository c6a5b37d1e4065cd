"""Stripe's events for staff: those that wait, the latest, and one's payload without personal data.

We store no payload: Stripe has it for 30 days, and the page fetches it when somebody looks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from fundraiser.payments.models import Event
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,200}", re.ASCII)
_MOST = 50
_STRIPE_ID = re.compile(
    r"(?:acct|bps|ch|cs_test|cs_live|cus|dp|du|evt|ii|il|in|inpay|mandate|pi|pm|po|price|prod|py|pyr"
    r"|re|req|seti|si|sub|sub_sched|txn)_[A-Za-z0-9]{6,100}",
    re.ASCII,
)
# Fields whose text is one of Stripe's own words; anything else that is text may name a person.
_WORDS = frozenset(
    {
        *("api_version", "attempt_count", "billing_mode", "billing_reason", "collection_method"),
        *("code", "currency", "decline_code", "end_behavior", "failure_code", "interval", "mode"),
        *("missing_payment_method", "network_decline_code", "network_status", "object"),
        *("outcome_type", "payment_status", "proration_behavior", "reason", "risk_level"),
        *("seller_message_code", "status", "submit_type", "type", "ui_mode", "usage_type"),
    }
)
_WORD = re.compile(r"[a-z0-9_.\-]{1,60}", re.ASCII)
# Numbers that say something about a card or a person.
_HIDDEN_NUMBERS = frozenset({"day", "exp_month", "exp_year", "month", "year"})


def read_waiting(session: Session) -> Sequence[Event]:
    """The events whose customer isn't synced yet, oldest first; at most 50."""
    waiting = select(Event).where(Event.settled_at.is_(None))
    return session.scalars(waiting.order_by(Event.received_at).limit(_MOST)).all()


def read_latest(session: Session) -> Sequence[Event]:
    """The 50 latest events, latest first."""
    return session.scalars(select(Event).order_by(Event.received_at.desc()).limit(_MOST)).all()


def without_personal_data(value: Any, name: str = "") -> Any:  # noqa: ANN401 - any JSON
    """A payload's JSON, with each text hidden that isn't an ID or a word of Stripe's.

    It goes by what may stay, because Stripe adds fields. Keys are Stripe's, except in ``metadata``,
    which is hidden as a whole.
    """
    match value:
        case dict() if name == "metadata":
            return _("hidden") if value else {}
        case dict():
            return {key: without_personal_data(one, key) for key, one in value.items()}
        case list():
            return [without_personal_data(one, name) for one in value]
        case bool() | None:
            return value
        case int() | float():
            return _("hidden") if name in _HIDDEN_NUMBERS else value
    return value if _may_stay(str(value), name) else _("hidden")


def _may_stay(text: str, name: str) -> bool:
    is_word = name in _WORDS and _WORD.fullmatch(text)
    return not text or bool(is_word or _STRIPE_ID.fullmatch(text))
