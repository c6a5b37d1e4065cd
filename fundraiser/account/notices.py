"""The notice on the account page about what a member has just done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.account.changes import Notice
from fundraiser.db import now
from fundraiser.joining.offers import money
from fundraiser.members.payment_methods import pays_by_card
from fundraiser.members.prices import price_of
from fundraiser.payments.last_payment import last_sums
from fundraiser.texts import date, gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.members.models import Membership

# Notices whose text says how the membership is now.
ABOUT_MEMBERSHIP = {
    Notice.PAUSED,
    Notice.CHANGED,
    Notice.METHOD,
    Notice.METHOD_KEPT,
    Notice.METHOD_SAVED,
    Notice.METHOD_PAID,
    Notice.OVERDUE_PAID,
    Notice.METHOD_PROCESSING,
    Notice.METHOD_TO_CONFIRM,
    Notice.METHOD_REFUSED,
}


def notice_about(session: Session, what: Notice, about: Membership) -> str:
    """The text of a notice about a membership as it is now."""
    match what:
        case Notice.PAUSED:
            return _of_pause(about)
        case Notice.CHANGED:
            return _of_new_price(about)
    return _of_new_method(session, what, about)


def notice(what: Notice) -> str:
    """The text of a notice that is the same for everybody."""
    said = {
        Notice.STOPPED: _("You’ve cancelled your membership. You won’t be charged again."),
        Notice.STOP_REFUSED: _(
            "Stripe, our payment service, refused to cancel your membership. Our "
            "staff can see your request and will cancel it for you."
        ),
        Notice.RESUMED: _("Your membership continues."),
        Notice.STILL_ENDING: _(
            "The payment service couldn’t undo the cancellation, so your membership "
            "will still end. Write to us and we’ll sort it out."
        ),
        Notice.STILL_PAUSED: _(
            "The payment service couldn’t restart your membership, so it’s still paused. Write to "
            "us and we’ll sort it out."
        ),
        Notice.TO_CONFIRM: _(
            "Your bank wants you to confirm the payment. Until you do, you pay what you paid "
            "before."
        ),
        Notice.REFUSED: _(
            "Stripe, our payment service, refused the change, so your membership is "
            "as it was. Write to us and we’ll do it for you."
        ),
        Notice.SAVED: _("Saved."),
        Notice.EMAIL: _("Your e-mail address has been changed."),
        Notice.MEANWHILE: _(
            "We haven’t changed anything just now: your membership had already "
            "changed, in another window or because a date had passed. This is its "
            "current status."
        ),
        Notice.UNKNOWN: _(
            "We’ve noted what you asked for, but Stripe, our payment service, isn’t answering. "
            "We’ll keep trying, and this page will say when it’s done."
        ),
        Notice.WAITING: _(
            "We’re still waiting for Stripe, our payment service, to confirm what you asked for "
            "before. Try this again in a few minutes."
        ),
        Notice.GIFT_TOLD: _("We’ll e-mail the code in a moment."),
        Notice.GIFT: _(
            "Welcome. The gift is yours: you’re a member, and you won’t be charged for it."
        ),
        Notice.ENDED: _(
            "This membership has ended in the meantime. You won’t be charged for it again."
        ),
    }
    return said[what]


def _of_new_price(m: Membership) -> str:
    """The notice after changing the price: the new one, and what is left over."""
    sentence = _("You now pay %(each)s.", each=price_of(m))
    if not m.credit:
        return sentence
    left = _("%(amount)s is left over as credit.", amount=money(m.credit, m.currency))
    return f"{sentence} {left}"


def _of_pause(m: Membership) -> str:
    """The notice after pausing: since when, until when."""
    sentences = [pause_begins(m)]
    if m.resumes_at:
        sentences.append(_("You won’t be charged until %(date)s.", date=date(m.resumes_at)))
    sentences.append(_("You can restart it any day before."))
    return " ".join(sentences)


def pause_begins(m: Membership) -> str:
    """A pause begins where what is paid for ends."""
    if m.paid_until and m.paid_until > now():
        return _(
            "Your pause starts on %(date)s: you’ve paid until then and stay a member.",
            date=date(m.paid_until),
        )
    return _("Your membership is paused.")


def _of_new_method(session: Session, what: Notice, m: Membership) -> str:
    """The notice after a new payment method, and about an overdue payment."""
    amount = money(m.due or m.amount, m.currency)
    if what in {Notice.METHOD_PAID, Notice.OVERDUE_PAID}:
        amount = last_sums(session, m) or amount
    saved = (
        _("Your new card is saved.") if pays_by_card(m) else _("Your new payment method is saved.")
    )
    said = {
        Notice.METHOD: _(
            "This is the status of your membership now that you’re back from the payment page."
        ),
        Notice.METHOD_KEPT: _("Your payment method hasn’t changed: you pay as before."),
        Notice.METHOD_SAVED: _("We’ll use it for any future payments."),
        Notice.METHOD_PAID: _(
            "Thank you. Your %(amount)s payment has gone through.", amount=amount
        ),
        Notice.OVERDUE_PAID: _(
            "Thank you. Your %(amount)s payment has gone through.", amount=amount
        ),
        Notice.METHOD_PROCESSING: _(
            "Your bank is processing the %(amount)s payment, which can take a few "
            "days. You don’t need to pay again.",
            amount=amount,
        ),
        Notice.METHOD_TO_CONFIRM: _(
            "Your bank wants you to confirm the %(amount)s payment.", amount=amount
        ),
        Notice.METHOD_REFUSED: _(
            "But your bank declined the %(amount)s payment. Try another card.",
            amount=amount,
        )
        if pays_by_card(m)
        else _("But the %(amount)s payment failed. Try another payment method.", amount=amount),
    }[what]
    if what in {Notice.METHOD, Notice.METHOD_KEPT, Notice.OVERDUE_PAID}:
        return said
    return f"{saved} {said}"
