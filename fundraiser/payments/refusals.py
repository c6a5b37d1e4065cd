"""What can go wrong at Stripe, in the words of the people who meet it.

An error says that nobody was charged only where that is known: before anything was asked for that
could charge somebody.
"""

from __future__ import annotations

from enum import StrEnum

from fundraiser.errors import BadRequestError, UnavailableError, UnprocessableError
from fundraiser.texts import gettext as _


class StripeUnavailableError(UnavailableError):
    """Stripe does not answer, or asks us to come back later."""


class StripeRefusedError(UnprocessableError):
    """Stripe refuses what was asked for, and says why; it has changed nothing."""


class BankRefusedError(StripeRefusedError):
    """The payer's bank refused the payment, so that Stripe changed nothing."""


class ConfirmationNeededError(BankRefusedError):
    """The payer's bank wants the payer to confirm the payment first."""


class UnusablePriceError(StripeRefusedError):
    """A price, or its product, was archived or deleted at Stripe."""


class ForgedWebhookError(BadRequestError):
    """The body was not signed with one of our secrets, or too long ago."""


class Doing(StrEnum):
    """What a call does, and so what is known when its answer does not come.

    ``look`` reads; ``change`` may have been done all the same; ``begin`` opens a page on which
    somebody may pay afterwards, so that nobody has paid yet.
    """

    LOOK = "look"
    CHANGE = "change"
    BEGIN = "begin"

    @property
    def without_answer(self) -> str:
        """The sentence for whoever waited."""
        match self:
            case Doing.LOOK:
                return _(
                    "Stripe, our payment service, isn’t answering, so we can’t look this up at the "
                    "moment. Try again in a minute."
                )
            case Doing.BEGIN:
                return _(
                    "Stripe, our payment service, isn’t answering, so its payment page didn’t "
                    "open. You haven’t been charged. Try again in a minute."
                )
            case Doing.CHANGE:
                return _(
                    "Stripe, our payment service, isn’t answering, so we don’t know yet whether "
                    "this went through. Check again in a minute before you repeat it."
                )
