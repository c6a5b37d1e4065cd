"""Sentences for the account page about requests that are open or were refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from fundraiser.db import now
from fundraiser.payments.intents import IntentKind, Refusal, latest_intents
from fundraiser.texts import Named, date, gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member
    from fundraiser.payments.intents import Intent

_SHOWN = timedelta(days=7)
# What a later wish of the same group stands in for.
_OF_PERSON = {IntentKind.EMAIL, IntentKind.DETAILS, IntentKind.ERASURE, IntentKind.REFUND}


def say_asked(session: Session, member: Member) -> list[str]:
    """A sentence for each open request, and for those refused within a week unless repeated."""
    latest = {
        (intent.target, intent.kind if intent.kind in _OF_PERSON else None): intent
        for intent in latest_intents(session, member.id, now() - _SHOWN)
    }
    return [_say(intent) for intent in latest.values() if intent.is_open or intent.refusal]


def _say(intent: Intent) -> str:
    if intent.refusal:
        return Named(f"refused-{intent.kind}", f"{_asked(intent)} {_why_not(intent.refusal)}")
    waits = _(
        "Stripe, our payment service, hasn’t confirmed it yet. We’ll keep trying: you "
        "don’t need to do anything."
    )
    return Named(f"waits-{intent.kind}", f"{_asked(intent)} {waits}")


def _asked(intent: Intent) -> str:
    day = date(intent.created_at)
    return {
        IntentKind.CANCEL: _("You asked us to cancel your membership on %(date)s.", date=day),
        IntentKind.CANCEL_NOW: _("You asked us to cancel your membership on %(date)s.", date=day),
        IntentKind.RESUME: _("You asked to continue your membership on %(date)s.", date=day),
        IntentKind.PAUSE: _("You asked us to pause your payments on %(date)s.", date=day),
        IntentKind.PRICE: _("You asked to change what you pay on %(date)s.", date=day),
        IntentKind.REFUND: _("We wanted to refund a payment of yours on %(date)s.", date=day),
        IntentKind.EMAIL: _("You asked to change your e-mail address on %(date)s.", date=day),
        IntentKind.DETAILS: _("You asked to change your name or language on %(date)s.", date=day),
        IntentKind.ERASURE: _("You asked us to delete your account on %(date)s.", date=day),
    }[intent.kind]


def _why_not(refusal: Refusal) -> str:
    return {
        Refusal.BANK: _("Your bank declined the payment, so nothing has changed."),
        Refusal.STRIPE: _(
            "Stripe, our payment service, refused it, so nothing has changed. Reply to one of our "
            "e-mails and we’ll sort it out."
        ),
        Refusal.ENDED: _("Your membership had ended before we could do it."),
        Refusal.LATE: _(
            "Stripe, our payment service, didn’t answer for an hour, so nothing has changed and "
            "you weren’t charged. Choose again if you still want to."
        ),
        Refusal.TAKEN: _("That address belongs to somebody else here, so yours hasn’t changed."),
    }[refusal]
