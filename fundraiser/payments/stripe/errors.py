"""Errors of calls to Stripe, with messages for the people who see them.

A message says that nobody was charged only if we know that: before any call that could charge.
"""

from __future__ import annotations

from enum import StrEnum

from fundraiser.errors import UnavailableError, UnprocessableError
from fundraiser.texts import Named, gettext as _


class StripeUnavailableError(UnavailableError):
    """Stripe doesn't answer, or asks us to come back later."""


class StripeKeyError(StripeUnavailableError):
    """Stripe refuses our key, or it lacks the right ``right``; ``detail`` is for the operator."""

    def __init__(self, message: str, right: str | None, detail: str | None = None) -> None:
        super().__init__(message)
        self.right = right
        self.detail = detail or (
            f"STRIPE_API_KEY lacks the right {right}: give it to the key at Stripe."
            if right
            else "Stripe refuses STRIPE_API_KEY: it was rolled, or it is of another account."
        )


class StripeRefusedError(UnprocessableError):
    """Stripe refuses the call and says why; nothing has changed."""


class BankRefusedError(StripeRefusedError):
    """The payer's bank refused the payment; nothing has changed."""


class ConfirmationNeededError(BankRefusedError):
    """The payer's bank wants the payer to confirm the payment first."""


class UnusablePriceError(StripeRefusedError):
    """A price or its product is archived or deleted at Stripe."""


class Doing(StrEnum):
    """What a call does, and so what we know if no answer comes.

    ``look`` reads; ``change`` may have happened anyway; ``begin`` opens a page where somebody may
    pay later, so nobody has paid yet.
    """

    LOOK = "look"
    CHANGE = "change"
    BEGIN = "begin"

    @property
    def without_answer(self) -> str:
        """The message if no answer came."""
        match self:
            case Doing.LOOK:
                return _(
                    "Stripe, our payment service, isn’t answering, so we can’t look this up at the "
                    "moment. Try again in a minute."
                )
            case Doing.BEGIN:
                return Named(
                    "not-begun",
                    _(
                        "Stripe, our payment service, isn’t answering, so its payment page didn’t "
                        "open. You haven’t been charged. Try again in a minute."
                    ),
                )
            case Doing.CHANGE:
                return Named(
                    "not-known",
                    _(
                        "Stripe, our payment service, isn’t answering, so we don’t know yet "
                        "whether this went through. Check again in a minute before you repeat it."
                    ),
                )

    @property
    def without_turn(self) -> str:
        """The sentence for whoever came while too many others were waiting for Stripe."""
        match self:
            case Doing.LOOK:
                return _("We’re very busy right now. Try again in a minute.")
            case Doing.BEGIN:
                return _(
                    "We’re very busy right now. You haven’t been charged. Try again in a minute."
                )
            case Doing.CHANGE:
                return self.without_answer

    @property
    def with_a_wrong_key(self) -> str:
        """The message if Stripe refuses our key: nothing was done."""
        if self is Doing.BEGIN:
            return Named(
                "wrong-key-not-begun",
                _(
                    "Payments aren’t set up correctly on our side. You haven’t been "
                    "charged. We’ve been notified."
                ),
            )
        return _("Payments aren’t set up correctly on our side. We’ve been notified.")
