"""Words for security events and for the guard against card testing."""

from __future__ import annotations

from fundraiser.incidents import Kind
from fundraiser.payments.card_guard import Mode
from fundraiser.texts import gettext as _


def kind(of: Kind) -> str:
    """What happened."""
    return {
        Kind.PASSWORD: _("Wrong staff password"),
        Kind.SECOND_STEP: _("Wrong code or passkey of staff"),
        Kind.MEMBER_CODE: _("Wrong code or link of a member"),
        Kind.GIFT_CODE: _("Wrong gift code"),
        Kind.LIMIT: _("Too many tries, refused"),
        Kind.STRIPE_WEBHOOK: _("Webhook refused that claimed to be Stripe’s"),
        Kind.EMAIL_WEBHOOK: _("Webhook refused that claimed to be the e-mail provider’s"),
        Kind.SOURCE_WEBHOOK: _("Webhook refused that claimed to be Patreon’s"),
        Kind.PROOF_ASKED: _("Payment not started before the browser check"),
        Kind.PROOF_WRONG: _("Browser check failed, or used twice"),
        Kind.CEILING: _("Payment postponed: too many in a minute"),
        Kind.DECLINED: _("Card declined that isn’t a member’s"),
        Kind.BUSY: _("Page not answered: all connections to the database in use"),
        Kind.FOREIGN_FORM: _("Form from another website, or without its token"),
        Kind.FORBIDDEN: _("Something that the person’s role doesn’t allow"),
        Kind.PROXY: _("Request through a proxy that isn’t trusted"),
        Kind.FORWARDED: _("Request that claims to come through a proxy"),
    }[of]


def mode(of: Mode) -> str:
    """A setting of the guard."""
    return {
        Mode.AUTOMATIC: _("Automatic: check browsers while somebody is testing cards"),
        Mode.ON: _("On: check every browser"),
        Mode.OFF: _("Off: check only networks that start many payments"),
    }[of]


def cause(of: str | None) -> str:
    """What switched it on."""
    match of:
        case "declines":
            return _("many cards were declined")
        case "unpaid":
            return _("many payments were started and hardly any finished")
    return _("very many payments were started in a minute")
