"""Labels and definitions of the recurring income's page."""

from __future__ import annotations

from fundraiser.dashboard.models import Movement, Part
from fundraiser.texts import gettext as _


def movement(kind: Movement) -> str:
    """A kind of movement, in words."""
    return {
        Movement.NEW: _("New members"),
        Movement.REACTIVATION: _("Returning members"),
        Movement.EXPANSION: _("Higher amounts"),
        Movement.CONTRACTION: _("Lower amounts"),
        Movement.CHURN: _("Members who left"),
        Movement.EXCHANGE: _("Change of currency"),
        Movement.OTHER: _("Imports and corrections"),
    }[kind]


def define_movement(kind: Movement) -> str:
    """What a kind of movement means."""
    return {
        Movement.NEW: _("People who pay through Stripe for the first time."),
        Movement.REACTIVATION: _("People who had stopped paying and pay again."),
        Movement.EXPANSION: _(
            "Members who pay more than before: another amount, tier or interval, a second "
            "membership, or a discount that ended."
        ),
        Movement.CONTRACTION: _("Members who pay less than before and stay."),
        Movement.CHURN: _(
            "Members whom we stopped counting, and those who stay with a gift or a membership "
            "from elsewhere but no longer pay through Stripe."
        ),
        Movement.EXCHANGE: _(
            "Members who pay in another currency now, and in the total what new exchange rates "
            "change."
        ),
        Movement.OTHER: _(
            "Imported subscriptions, merged people, deleted accounts and new counting rules: "
            "nobody joined or left."
        ),
    }[kind]


def part(which: Part) -> str:
    """A part of the recurring income, in words."""
    return {
        Part.ALL: _("All recurring income"),
        Part.OVERDUE: _("Overdue, within the grace period"),
        Part.LEAVING: _("Cancelled, ending on a known day"),
        Part.FEES: _("Card fees that members cover"),
    }[which]
