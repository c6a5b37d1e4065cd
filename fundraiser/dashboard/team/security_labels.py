"""Labels for security events and the card guard."""

from __future__ import annotations

from fundraiser.incidents import Kind
from fundraiser.payments.card_guard import Mode
from fundraiser.texts import gettext as _


def kind(of: Kind) -> str:
    """A security event's label."""
    return {
        Kind.PASSWORD: _("Wrong staff password"),
        Kind.SECOND_STEP: _("Wrong staff code or passkey"),
        Kind.MEMBER_CODE: _("Wrong member code or link"),
        Kind.GIFT_CODE: _("Wrong gift code"),
        Kind.LIMIT: _("Too many attempts, refused"),
        Kind.STRIPE_WEBHOOK: _("Webhook refused: it claimed to be from Stripe"),
        Kind.EMAIL_WEBHOOK: _("Webhook refused: it claimed to be from the e-mail provider"),
        Kind.SOURCE_WEBHOOK: _("Refused a webhook that claimed to come from Patreon"),
        Kind.PROOF_ASKED: _("Payment stopped for a browser check"),
        Kind.PROOF_WRONG: _("Browser check failed or reused"),
        Kind.CEILING: _("Payment postponed: too many in a minute"),
        Kind.DECLINED: _("Card declined, and not a member’s"),
        Kind.BUSY: _("Page not answered: all database connections were in use"),
        Kind.FOREIGN_FORM: _("Form from another website, or without its token"),
        Kind.FORBIDDEN: _("Something the person’s role doesn’t allow"),
        Kind.PROXY: _("Request through an untrusted proxy"),
        Kind.FORWARDED: _("Request claiming to come through a proxy"),
    }[of]


def mode(of: Mode) -> str:
    """A mode of the card guard."""
    return {
        Mode.AUTOMATIC: _("Automatic: check browsers while somebody is testing cards"),
        Mode.ON: _("On: check every browser"),
        Mode.OFF: _("Off: check only networks that start many payments"),
    }[of]


def cause(of: str | None) -> str:
    """What switched the card guard on."""
    match of:
        case "declines":
            return _("many cards were declined")
        case "unpaid":
            return _("many payments were started and hardly any finished")
    return _("very many payments were started in a minute")
