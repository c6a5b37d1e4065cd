"""Texts of a member's own pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_babel import ngettext
from sqlalchemy import select

from fundraiser.account.changes import UNPAID, Notice, seen
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.joining.offers import money
from fundraiser.members.gifts import Gift, card_address, code_of, gift_of, giver_of, recipient_of
from fundraiser.members.models import ENDED, Dues, Interval, Source, Status
from fundraiser.members.payment_methods import method_of, pays_by_card
from fundraiser.members.prices import next_payment_of, per, price_of
from fundraiser.members.renewals import next_payment_at, renews
from fundraiser.payments.models import CheckoutKind, PaymentStatus, Tier
from fundraiser.security import new_nonce
from fundraiser.texts import Named, by_language, date, gettext as _

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member, Membership
    from fundraiser.payments import Preview, Terms
    from fundraiser.payments.models import Payment


@dataclass(frozen=True, slots=True)
class Said:
    """A membership as its owner sees it, with the possible actions."""

    id: int
    name: str
    price: str
    amount: str
    state: list[str]
    rows: list[tuple[str, str]]
    until: datetime | None
    last_paid: datetime | None
    renews: bool
    next_at: datetime | None
    pay_url: str | None
    pay_label: str
    can_stop: bool
    can_resume: bool
    can_change: bool
    resumed: str
    is_paused: bool
    ends_at_once: bool
    seen: str
    key: str


@dataclass(frozen=True, slots=True)
class SaidPayment:
    """A payment as its payer sees it."""

    id: int
    at: datetime
    what: str
    amount: str
    state: str


def say(session: Session, membership: Membership) -> Said:
    """Describe a membership."""
    m = membership
    tier = session.get(Tier, m.tier) if m.tier else None
    # A period that is given away has no sum: what comes after it is the list price.
    amount, price = (
        money(m.amount or m.price or 0, m.currency),
        per(m.amount, m.currency, m.interval, m.interval_count),
    )
    ours, ended = m.source is Source.STRIPE, m.status in ENDED
    is_ending = m.cancel_at is not None and not ended
    gift = gift_of(session, m)
    rows = [(_("A gift from"), giver_of(gift)) if gift else (_("You pay"), _pays(m))]
    if m.paid_at:
        rows.append((_("Last payment"), date(m.paid_at)))
    next_at = next_payment_at(m) if ours and not ended else None
    if ours and not ended and (following := next_payment_of(m)):
        rows.append((_("Next payment"), following))
    method = method_of(m) if ours and not ended else None
    if method:
        rows.append((_("You pay with"), Named("method", method)))
    if is_ending and m.cancel_at and ours:
        rows.append((_("Ends on"), date(m.cancel_at)))
    return Said(
        id=m.id,
        name=by_language(tier.names) if tier else _("Membership"),
        price=price,
        amount=amount,
        state=_state(m, amount),
        rows=rows,
        until=(m.period_end if renews(m) else m.cancel_at) or m.counts_until,
        last_paid=m.paid_at,
        renews=renews(m),
        next_at=next_at,
        pay_url=m.pay_url if ours and not ended else None,
        pay_label=Named("confirm", _("Confirm the payment"))
        if m.needs_confirmation
        else Named("pay", _("Pay now")),
        can_stop=ours and not ended and renews(m),
        can_resume=ours and not ended and (is_ending or m.collection_paused),
        can_change=ours and m.status is Status.ACTIVE and not m.collection_paused,
        resumed=_renews(amount, m.interval, m.period_end) if m.period_end else "",
        is_paused=m.collection_paused,
        ends_at_once=m.status in UNPAID,
        seen=seen(m),
        key=new_nonce(),
    )


def _pays(m: Membership) -> str:
    return Named("pays", price_of(m))


def _state(m: Membership, amount: str) -> list[str]:
    if m.source is Source.GIFT and (m.refunded_at or m.disputed_at):
        return [_("It is a gift whose payment was taken back, so it does not count any more.")]
    if m.source is Source.GIFT and m.counts_until:
        sentence = _(
            "It is a gift until %(date)s, and nothing is taken from you. It ends by itself.",
            date=date(m.counts_until),
        )
        return [sentence]
    if m.source is not Source.STRIPE:
        return [_("It is not paid here, and nothing is taken from you.")]
    if m.status in ENDED:
        return [_("It has ended. You won’t be charged again.")]
    if m.cancel_at and not renews(m):
        sentence = _(
            "You have cancelled it. You stay a member until %(date)s, and you won’t be charged "
            "again.",
            date=date(m.cancel_at),
        )
        return [Named("cancelled", sentence)]
    return [part for part in (_asked_to_stop(m), _what_comes(m, amount)) if part]


def _asked_to_stop(m: Membership) -> str:
    if m.cancel_wanted_at is None or m.cancel_at:
        return ""
    sentence = _(
        "You asked us to cancel it on %(date)s. The payment service refused, and our staff have "
        "been told. Write to %(address)s if you hear nothing.",
        date=date(m.cancel_wanted_at),
        address=current_settings().mail_from,
    )
    return Named("asked-to-cancel", sentence)


def _what_comes(m: Membership, amount: str) -> str:
    """The next charge, and what prevents it."""
    if m.collection_paused:
        if m.paid_until and m.paid_until > now():
            return _(
                "It is paused, so you won’t be charged. You are counted as a member until "
                "%(date)s, for which you have paid.",
                date=date(m.paid_until),
            )
        return _("It is paused. You won’t be charged, and you are not counted for that time.")
    if m.needs_confirmation and m.payment_status is Dues.PAID:
        sentence = _(
            "Your bank wants you to confirm the payment for what you changed. Confirm it within a "
            "day; until then you pay what you paid before."
        )
        return Named("confirm-change", sentence)
    due = money(m.due or m.amount, m.currency)
    if m.needs_confirmation:
        sentence = _("Your bank wants you to confirm the payment of %(amount)s.", amount=due)
        return Named("confirm-payment", sentence)
    if m.status in UNPAID:
        sentence = _(
            "The last payment of %(amount)s failed. Change how you pay, and we’ll try again at "
            "once.",
            amount=due,
        )
        return Named("payment-failed", sentence)
    if m.cancel_at and m.period_end:
        sentence = _(
            "It ends on %(end)s. Until then you pay as before: you’ll be charged %(amount)s on "
            "%(date)s. You can cancel before then.",
            end=date(m.cancel_at),
            amount=amount,
            date=date(m.period_end),
        )
        return Named("ends-later", sentence)
    next_at = next_payment_at(m)
    # One that a late payment has restarted is on trial at Stripe, and paid for all the same.
    is_given = m.free_until is not None and m.free_until > now() and m.paid_until != m.free_until
    is_free = m.amount == 0 or is_given
    if is_free and next_at:
        sentence = _(
            "It is free until %(date)s. Then you’ll be charged %(amount)s. You can cancel before "
            "then.",
            date=date(next_at),
            amount=amount,
        )
        return Named("free-until", sentence)
    return "" if is_free or m.period_end is None else _next_charge(m, amount, m.period_end)


def _next_charge(m: Membership, amount: str, at: datetime) -> str:
    if not m.credit:
        sentence = _(
            "The next %(amount)s will be charged on %(date)s. You can cancel before then.",
            amount=amount,
            date=date(at),
        )
        return Named("next-charge", sentence)
    credit = money(m.credit, m.currency)
    if m.credit < m.amount:
        return _(
            "You’ll be charged %(rest)s on %(date)s: your credit of %(credit)s pays the rest of "
            "%(amount)s. You can cancel before then.",
            rest=money(m.amount - m.credit, m.currency),
            date=date(at),
            credit=credit,
            amount=amount,
        )
    return _(
        "Your credit of %(credit)s pays the next %(amount)s on %(date)s, so you won’t be charged "
        "then. You can cancel before then.",
        credit=credit,
        amount=amount,
        date=date(at),
    )


def supporters(member: Member) -> str:
    """Whether the name is on the supporters page, or why not."""
    if member.supporter_closed_at:
        return Named(
            "name-kept-off",
            _(
                "We took it off on %(date)s, and it stays off until we lift that. If you think "
                "that we are wrong, write to %(address)s.",
                date=date(member.supporter_closed_at),
                address=current_settings().mail_from,
            ),
        )
    if member.supporter_since:
        return Named("name-shown", _("It may stand there"))
    return Named("name-not-shown", _("It does not stand there"))


@dataclass(frozen=True, slots=True)
class SaidGift:
    """A gift as its giver sees it; ``code`` while it can be used, ``card`` its card's URL."""

    id: int
    name: str
    what: str
    state: str
    code: str | None
    card: str | None


def say_gifts(session: Session, giver: Member) -> list[SaidGift]:
    """The gifts that a person has paid for, latest first."""
    rows = session.execute(
        select(Gift, Tier)
        .outerjoin(Tier, Tier.slug == Gift.tier)
        .where(Gift.giver_id == giver.id)
        .order_by(Gift.paid_at.desc(), Gift.id.desc())
    )
    return [_say_gift(gift, tier) for gift, tier in rows]


def _say_gift(gift: Gift, tier: Tier | None) -> SaidGift:
    if gift.is_void:
        state = _("Paid back, or disputed at the bank: the code is good no longer.")
    elif gift.redeemed_at:
        state = _("Accepted on %(date)s.", date=date(gift.redeemed_at))
    elif gift.tell_at and gift.tell_at > now():
        state = _("We write on %(date)s. Not accepted yet.", date=date(gift.tell_at))
    else:
        state = _("Not accepted yet. The code has no end.")
    name = by_language(tier.names) if tier else gift.tier
    years = ngettext("%(num)s year", "%(num)s years", gift.years)
    is_open = not gift.is_void and gift.redeemed_at is None
    return SaidGift(
        id=gift.id,
        name=recipient_of(gift),
        what=f"{name}, {years}",
        state=state,
        code=code_of(gift) if is_open else None,
        card=card_address(gift) if is_open else None,
    )


def _renews(amount: str, interval: str | None, at: datetime) -> str:
    """The charge, its first date and its interval."""
    if interval == Interval.YEAR:
        sentence = _(
            "You’ll be charged %(amount)s on %(date)s, and every year from then on until you "
            "cancel.",
            amount=amount,
            date=date(at),
        )
        return Named("renews-yearly", sentence)
    sentence = _(
        "You’ll be charged %(amount)s on %(date)s, and every month from then on until you cancel.",
        amount=amount,
        date=date(at),
    )
    return Named("renews-monthly", sentence)


def say_payment(payment: Payment) -> SaidPayment:
    """Describe a payment."""
    if payment.refunded >= payment.amount:
        state = _("Paid back")
    elif payment.refunded:
        state = _("%(amount)s of it paid back", amount=money(payment.refunded, payment.currency))
    else:
        state = {
            PaymentStatus.SUCCEEDED: _("Paid"),
            PaymentStatus.PENDING: _("On its way"),
            PaymentStatus.FAILED: _("Failed, nothing was taken"),
        }[payment.status]
    return SaidPayment(
        id=payment.id,
        at=payment.paid_at,
        what={
            CheckoutKind.CONTRIBUTION: _("One-time contribution"),
            CheckoutKind.GIFT: _("A gift"),
            CheckoutKind.MEMBERSHIP: _("Membership"),
        }[payment.kind],
        amount=money(payment.amount, payment.currency),
        state=state,
    )


@dataclass(frozen=True, slots=True)
class SaidChange:
    """A previewed change: sentences, and its button's label."""

    sentences: list[str]
    button: str


def say_change(membership: Membership, terms: Terms, preview: Preview) -> SaidChange:
    """Describe a change with Stripe's amounts."""
    currency = terms.currency
    after = per(preview.next_amount, currency, terms.interval)
    amount = money(preview.next_amount, currency)
    due = money(preview.due, currency)
    sentences = []
    if preview.credited:
        sentences.append(
            _(
                "%(amount)s of what you have paid isn’t used yet. It counts towards the change.",
                amount=money(preview.credited, currency),
            )
        )
    if preview.due:
        sentences.append(_("You’ll be charged %(amount)s now.", amount=due))
    else:
        sentences.append(Named("nothing-now", _("You won’t be charged now.")))
    sentences.append(_renews(amount, terms.interval, preview.next_at))
    if preview.credit:
        sentences.append(
            _(
                "%(amount)s is left over as credit. It pays your next payments before you are "
                "charged again.",
                amount=money(preview.credit, currency),
            )
        )
    if membership.discount_until and preview.next_amount != terms.amount:
        sentence = _(
            "Your discount ends on %(date)s. From then on you pay %(price)s.",
            date=date(membership.discount_until),
            price=per(terms.amount, currency, terms.interval),
        )
        sentences.append(Named("discount-ends", sentence))
    if membership.cancel_at:
        sentences.append(_("Your membership goes on: it won’t end on the day it was to end."))
    button = (
        _("Pay %(amount)s now, then %(price)s", amount=due, price=after)
        if preview.due
        else _("Pay %(price)s from now on", price=after)
    )
    return SaidChange(sentences, button)


def refused() -> str:
    """The message after a refused payment that isn't by card."""
    return _("Your bank refused the payment. Nothing has changed. Try another way to pay.")


def reasons() -> dict[str, str]:
    """Reasons to cancel, by Stripe's names."""
    return {
        "too_expensive": _("It costs too much"),
        "unused": _("I read too little"),
        "low_quality": _("I do not like the reporting"),
        "missing_features": _("Something is missing"),
        "switched_service": _("I pay for another newsroom"),
        "customer_service": _("I was not treated well"),
        "too_complex": _("It is too complicated"),
        "other": _("Another reason"),
    }


def notice(what: Notice, about: Membership | None = None) -> str:
    """The text of a notice; ``about`` is the membership if the text needs it."""
    if about is not None:
        return _of_new_method(what, about)
    said = {
        Notice.STOPPED: _("You have cancelled your membership. You won’t be charged again."),
        Notice.STOP_REFUSED: _(
            "The payment service refused to cancel your membership. Our staff can see that you "
            "asked for it, and will cancel it for you."
        ),
        Notice.RESUMED: _("Your membership goes on."),
        Notice.STILL_ENDING: _(
            "The payment service has not taken back the cancellation: your membership still ends. "
            "Write to us, and we’ll see to it."
        ),
        Notice.PAUSED: _(
            "Your membership is paused. It restarts automatically, and you can restart it any day."
        ),
        Notice.CHANGED: _("You have changed what you pay."),
        Notice.TO_CONFIRM: _(
            "Your bank wants you to confirm the payment. Until you do, you pay what you paid "
            "before."
        ),
        Notice.REFUSED: _(
            "The payment service refused this, so nothing has changed. Write to us, and we’ll do "
            "it for you."
        ),
        Notice.SAVED: _("We have saved this."),
        Notice.EMAIL: _("Your e-mail address has been changed."),
        Notice.MEANWHILE: _(
            "Nothing was changed just now: your membership had been changed meanwhile, in "
            "another window or by its date. This is how it stands."
        ),
        Notice.UNKNOWN: _(
            "The payment service has not answered, so we don’t know yet whether it was done. "
            "Look again in a minute before you repeat it."
        ),
        Notice.GIFT_TOLD: _("We’ll e-mail the code in a moment."),
        Notice.GIFT: _("The gift is yours: you are a member, and you won’t be charged."),
        Notice.ENDED: _("This membership has ended meanwhile. You won’t be charged for it again."),
    }
    return said[what]


def _of_new_method(what: Notice, m: Membership) -> str:
    """The notice after a new payment method, and about an overdue payment."""
    amount = money(m.amount, m.currency)
    saved = (
        _("Your new card is saved.") if pays_by_card(m) else _("Your new payment method is saved.")
    )
    said = {
        Notice.METHOD: _(
            "This is how your membership stands after your visit to the payment page."
        ),
        Notice.METHOD_KEPT: _("Nothing has changed: you pay as before."),
        Notice.METHOD_SAVED: _("You’ll be charged on it from now on."),
        Notice.METHOD_PAID: _("Your %(amount)s payment went through. Thank you.", amount=amount),
        Notice.METHOD_PROCESSING: _(
            "Your bank is processing the %(amount)s payment, which can take some days. You don’t "
            "need to pay again.",
            amount=amount,
        ),
        Notice.METHOD_TO_CONFIRM: _(
            "Your bank wants you to confirm the %(amount)s payment.", amount=amount
        ),
        Notice.METHOD_REFUSED: _(
            "But your bank refused the %(amount)s payment. Try another card.",
            amount=amount,
        )
        if pays_by_card(m)
        else _("But the %(amount)s payment failed. Try another way to pay.", amount=amount),
    }[what]
    if what in {Notice.METHOD, Notice.METHOD_KEPT}:
        return said
    return f"{saved} {said}"
