"""Texts of a member's own pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_babel import ngettext
from sqlalchemy import select

from fundraiser.account.changes import UNPAID, pauses_of, seen
from fundraiser.account.notices import pause_begins
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.joining.offers import money
from fundraiser.members.gifts import Gift, card_address, code_of, gift_of, giver_of, recipient_of
from fundraiser.members.models import ENDED, Dues, Interval, Source, Status
from fundraiser.members.payment_methods import method_of
from fundraiser.members.prices import next_payment_of, per, price_of
from fundraiser.members.renewals import next_payment_at, renews
from fundraiser.payments.last_payment import last_payment_of
from fundraiser.payments.models import CheckoutKind, PaymentStatus, Tier
from fundraiser.security import new_nonce
from fundraiser.texts import Named, by_language, date, each_time, gettext as _, last_day

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
    can_pause: bool
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
    if last_paid := last_payment_of(session, m):
        rows.append((_("Last payment"), last_paid))
    next_at = next_payment_at(m) if ours and not ended else None
    if ours and not ended and (following := next_payment_of(m)):
        rows.append((_("Next payment"), following))
    if ours and not ended and m.collection_paused and m.resumes_at:
        rows.append((_("Restarts on"), Named("restarts", date(m.resumes_at))))
    can_change = ours and m.status is Status.ACTIVE and not m.collection_paused
    method = method_of(m) if ours and not ended else None
    if method:
        rows.append((_("Payment method"), Named("method", method)))
    if is_ending and m.cancel_at and ours:
        rows.append((_("Ends on"), last_day(m.cancel_at)))
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
        can_change=can_change,
        resumed=_renews(amount, m.interval, m.period_end, m.interval_count) if m.period_end else "",
        can_pause=can_change and bool(pauses_of(m)),
        is_paused=m.collection_paused,
        ends_at_once=m.status in UNPAID,
        seen=seen(m),
        key=new_nonce(),
    )


def _pays(m: Membership) -> str:
    return Named("pays", price_of(m))


def _state(m: Membership, amount: str) -> list[str]:
    if m.source is Source.GIFT and (m.refunded_at or m.disputed_at):
        return [
            _(
                "The payment for this gift was refunded or is disputed, so this membership is "
                "no longer active."
            )
        ]
    if m.source is Source.GIFT and m.counts_until:
        sentence = _(
            "It’s a gift, so you won’t be charged. It ends automatically on %(date)s.",
            date=date(m.counts_until),
        )
        return [sentence]
    if m.source is not Source.STRIPE:
        return [_("We don’t charge you for this membership.")]
    if m.status in ENDED:
        return [_("It has ended, and you won’t be charged again.")]
    if m.cancel_at and not renews(m):
        sentence = _(
            "You’ve cancelled it. You stay a member until %(date)s and won’t be charged again.",
            date=date(m.cancel_at),
        )
        return [Named("cancelled", sentence)]
    return [part for part in (_asked_to_stop(m), _what_comes(m, amount)) if part]


def _asked_to_stop(m: Membership) -> str:
    if m.cancel_wanted_at is None or m.cancel_at:
        return ""
    sentence = _(
        "You asked us to cancel it on %(date)s. Stripe, our payment service, refused, "
        "and we’ve told our staff. Write to %(address)s if you don’t hear from us.",
        date=date(m.cancel_wanted_at),
        address=current_settings().mail_from,
    )
    return Named("asked-to-cancel", sentence)


def _what_comes(m: Membership, amount: str) -> str:
    """The next charge, and what prevents it."""
    if m.collection_paused:
        if m.paid_until and m.paid_until > now():
            return pause_begins(m)
        return _("It’s paused. While it is, you won’t be charged and aren’t counted as a member.")
    if m.needs_confirmation and m.payment_status is Dues.PAID:
        sentence = _(
            "Your bank wants you to confirm the payment for your change. Do it within "
            "a day; until then you pay what you paid before."
        )
        return Named("confirm-change", sentence)
    due = money(m.due or m.amount, m.currency)
    if m.needs_confirmation:
        sentence = _("Your bank wants you to confirm the payment of %(amount)s.", amount=due)
        return Named("confirm-payment", sentence)
    if m.status in UNPAID:
        sentence = _(
            "Your last payment of %(amount)s failed. Change your payment method, and "
            "we’ll try again straight away.",
            amount=due,
        )
        return Named("payment-failed", sentence)
    if m.cancel_at and m.period_end:
        sentence = _(
            "It ends on %(end)s. Until then you pay as before: you’ll be charged "
            "%(amount)s on %(date)s. You can cancel before that.",
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
            "It’s free until %(date)s. Then you’ll be charged %(amount)s. You can "
            "cancel before that.",
            date=date(next_at),
            amount=amount,
        )
        return Named("free-until", sentence)
    return "" if is_free or m.period_end is None else _next_charge(m, amount, m.period_end)


def _next_charge(m: Membership, amount: str, at: datetime) -> str:
    if not m.credit:
        sentence = _(
            "You’ll be charged the next %(amount)s on %(date)s. You can cancel before that.",
            amount=amount,
            date=date(at),
        )
        return Named("next-charge", sentence)
    credit = money(m.credit, m.currency)
    if m.credit < m.amount:
        return _(
            "You’ll be charged %(rest)s on %(date)s: your credit of %(credit)s covers "
            "the rest of the %(amount)s. You can cancel before that.",
            rest=money(m.amount - m.credit, m.currency),
            date=date(at),
            credit=credit,
            amount=amount,
        )
    return _(
        "Your credit of %(credit)s covers the next %(amount)s on %(date)s, so you "
        "won’t be charged then. You can cancel before that.",
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
                "We removed it on %(date)s. It stays off the page until our staff "
                "allow it again. If you think this is a mistake, write to "
                "%(address)s.",
                date=date(member.supporter_closed_at),
                address=current_settings().mail_from,
            ),
        )
    is_reviewed = not current_settings().review_names or member.supporter_name == member.name
    if member.supporter_since and not is_reviewed:
        return Named("name-waits", _("You’ve agreed to show it. Our staff look at it first."))
    if member.supporter_since:
        return Named("name-shown", _("You’ve agreed to show it"))
    return Named("name-not-shown", _("Not shown"))


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
        state = _("Refunded, or disputed with the bank: the code no longer works.")
    elif gift.redeemed_at:
        state = _("Accepted on %(date)s.", date=date(gift.redeemed_at))
    elif gift.tell_at and gift.tell_at > now():
        state = _("We’ll e-mail the code on %(date)s. Not accepted yet.", date=date(gift.tell_at))
    else:
        state = _("Not accepted yet. The code doesn’t expire.")
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


def _renews(amount: str, interval: str | None, at: datetime, count: int = 1) -> str:
    """The charge, its first date and its interval."""
    if count > 1 or interval not in {Interval.MONTH, Interval.YEAR}:
        return _(
            "You’ll be charged %(each)s from %(date)s until you cancel.",
            each=each_time(amount, interval, count),
            date=date(at),
        )
    if interval == Interval.YEAR:
        sentence = _(
            "You’ll be charged %(amount)s on %(date)s and every year after that until you cancel.",
            amount=amount,
            date=date(at),
        )
        return Named("renews-yearly", sentence)
    sentence = _(
        "You’ll be charged %(amount)s on %(date)s and every month after that until you cancel.",
        amount=amount,
        date=date(at),
    )
    return Named("renews-monthly", sentence)


def say_payment(payment: Payment) -> SaidPayment:
    """Describe a payment."""
    if payment.refunded >= payment.amount:
        state = _("Refunded")
    elif payment.refunded:
        state = _("%(amount)s refunded", amount=money(payment.refunded, payment.currency))
    else:
        state = {
            PaymentStatus.SUCCEEDED: _("Paid"),
            PaymentStatus.PENDING: _("Processing"),
            PaymentStatus.FAILED: _("Failed, not charged"),
        }[payment.status]
    return SaidPayment(
        id=payment.id,
        at=payment.paid_at,
        what={
            CheckoutKind.CONTRIBUTION: _("One-time contribution"),
            CheckoutKind.GIFT: _("Gift"),
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
                "%(amount)s of what you’ve already paid isn’t used up. We’ll deduct "
                "it from the new price.",
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
                "%(amount)s is left over as credit. It covers your next payments "
                "before we charge you again.",
                amount=money(preview.credit, currency),
            )
        )
    if membership.discount_until and preview.next_amount != terms.amount:
        sentence = _(
            "Your discount ends on %(date)s. From then on you’ll pay %(price)s.",
            date=date(membership.discount_until),
            price=per(terms.amount, currency, terms.interval),
        )
        sentences.append(Named("discount-ends", sentence))
    if membership.cancel_at:
        sentences.append(_("This also undoes your cancellation: your membership continues."))
    button = (
        _("Pay %(amount)s now, then %(price)s", amount=due, price=after)
        if preview.due
        else _("Pay %(price)s from now on", price=after)
    )
    return SaidChange(sentences, button)


def refused() -> str:
    """The message after a refused payment that isn't by card."""
    return _(
        "Your bank declined the payment, so your membership hasn’t changed. Try another "
        "payment method."
    )


def reasons() -> dict[str, str]:
    """Reasons to cancel, by Stripe's names."""
    return {
        "too_expensive": _("It’s too expensive"),
        "unused": _("I don’t read enough"),
        "low_quality": _("I’m not happy with the reporting"),
        "missing_features": _("Something is missing"),
        "switched_service": _("I support another newsroom"),
        "customer_service": _("I wasn’t treated well"),
        "too_complex": _("It’s too complicated"),
        "other": _("Another reason"),
    }
