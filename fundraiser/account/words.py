"""What is so, as a member's own pages say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_babel import ngettext
from sqlalchemy import select

from fundraiser.account.changes import ENDED, UNPAID, Notice, seen
from fundraiser.campaigns.offers import money
from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.members.gifts import Gift, card_address, code_of, gift_of, giver_of, recipient_of
from fundraiser.members.models import Interval, Source, Status
from fundraiser.payments.models import CheckoutKind, PaymentStatus, Tier
from fundraiser.security import new_nonce
from fundraiser.texts import by_language, date, gettext as _

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.models import Member, Membership
    from fundraiser.payments.member_gateway import Preview, Terms
    from fundraiser.payments.models import Payment


@dataclass(frozen=True, slots=True)
class Said:
    """A membership as its owner sees it; what of it can be done now."""

    id: int
    name: str
    price: str
    amount: str
    state: str
    rows: list[tuple[str, str]]
    until: datetime | None
    last_paid: datetime | None
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
    """A membership in words."""
    m = membership
    tier = session.get(Tier, m.tier) if m.tier else None
    amount, price = money(m.amount, m.currency), per(m.amount, m.currency, m.interval)
    ours, ended = m.source is Source.STRIPE, m.status in ENDED
    is_ending = m.cancel_at is not None and not ended
    gift = gift_of(session, m)
    rows = [(_("A gift from"), giver_of(gift))] if gift else [(_("You pay"), price)]
    if m.paid_at:
        rows.append((_("Last payment"), date(m.paid_at)))
    if ours and not ended and not is_ending and not m.collection_paused and m.period_end:
        rows.append((_("Next payment"), f"{amount}, {date(m.period_end)}"))
    return Said(
        id=m.id,
        name=by_language(tier.names) if tier else _("Membership"),
        price=price,
        amount=amount,
        state=_state(m, amount),
        rows=rows,
        until=m.cancel_at or m.counts_until or m.period_end,
        last_paid=m.paid_at,
        can_stop=ours and not ended and not is_ending,
        can_resume=ours and not ended and (is_ending or m.collection_paused),
        can_change=ours and m.status is Status.ACTIVE and not m.collection_paused,
        resumed=_renews(amount, m.interval, m.period_end) if m.period_end else "",
        is_paused=m.collection_paused,
        ends_at_once=m.status in UNPAID,
        seen=seen(m),
        key=new_nonce(),
    )


def _state(m: Membership, amount: str) -> str:
    if m.source is Source.GIFT and (m.refunded_at or m.disputed_at):
        return _("It is a gift whose payment was taken back, so it does not count any more.")
    if m.source is Source.GIFT and m.counts_until:
        return _(
            "It is a gift until %(date)s, and nothing is taken from you. It ends by itself.",
            date=date(m.counts_until),
        )
    if m.source is not Source.STRIPE:
        return _("It is not paid here, and nothing is taken from you.")
    if m.status in ENDED:
        return _("It has ended. Nothing more is taken.")
    if m.cancel_at:
        return _(
            "You have stopped it. You stay a member until %(date)s, and nothing more is taken.",
            date=date(m.cancel_at),
        )
    if m.collection_paused:
        return _("It is paused. Nothing is taken, and you are not in the number for that time.")
    if m.status in UNPAID:
        return _(
            "The last payment of %(amount)s failed. Change the card, and we try again by "
            "ourselves.",
            amount=amount,
        )
    if m.period_end:
        return _(
            "The next %(amount)s will be taken on %(date)s. You can stop before then.",
            amount=amount,
            date=date(m.period_end),
        )
    return ""


def roster(member: Member) -> str:
    """Whether the name may stand on the campaign's page, and why not where that is ours to say."""
    if member.roster_closed_at:
        return _(
            "We took it off on %(date)s, and it stays off until we lift that. If you think that we "
            "are wrong, write to %(address)s.",
            date=date(member.roster_closed_at),
            address=current_settings().mail_from,
        )
    return _("It may stand there") if member.roster_since else _("It does not stand there")


@dataclass(frozen=True, slots=True)
class SaidGift:
    """A gift as its giver sees it; ``code`` while it can be used, ``card`` its card's address."""

    id: int
    name: str
    what: str
    state: str
    code: str | None
    card: str | None


def say_gifts(session: Session, giver: Member) -> list[SaidGift]:
    """The gifts that a person has paid for, the newest first."""
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
    """What is taken, from when and how often."""
    if interval == Interval.YEAR:
        return _(
            "We take %(amount)s on %(date)s, and so on every year until you stop.",
            amount=amount,
            date=date(at),
        )
    return _(
        "We take %(amount)s on %(date)s, and so on every month until you stop.",
        amount=amount,
        date=date(at),
    )


def say_payment(payment: Payment) -> SaidPayment:
    """A payment in words."""
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
    """A change that was previewed: sentences, and the words of the button that does it."""

    sentences: list[str]
    button: str


def say_change(membership: Membership, terms: Terms, preview: Preview) -> SaidChange:
    """What a change comes to, in Stripe's own sums."""
    currency = terms.currency
    after = per(terms.amount, currency, terms.interval)
    amount = money(terms.amount, currency)
    due = money(preview.due, currency)
    sentences = []
    if preview.credited:
        sentences.append(
            _(
                "%(amount)s of what you have paid is not used yet, and counts towards it.",
                amount=money(preview.credited, currency),
            )
        )
    if preview.due:
        sentences.append(_("We take %(amount)s now.", amount=due))
    else:
        sentences.append(_("Nothing is taken now."))
    if preview.credit:
        sentences.append(
            _(
                "%(amount)s is left over, and pays the next months.",
                amount=money(preview.credit, currency),
            )
        )
    sentences.append(_renews(amount, terms.interval, preview.next_at))
    if membership.cancel_at:
        sentences.append(_("Your membership goes on: it does not end any more."))
    button = (
        _("Pay %(amount)s now, then %(price)s", amount=due, price=after)
        if preview.due
        else _("Pay %(price)s from now on", price=after)
    )
    return SaidChange(sentences, button)


def per(amount: int, currency: str, interval: str | None) -> str:
    """An amount and how often it is paid."""
    written = money(amount, currency)
    match interval:
        case Interval.YEAR:
            return _("%(amount)s a year", amount=written)
        case Interval.MONTH:
            return _("%(amount)s a month", amount=written)
    return written


def reasons() -> dict[str, str]:
    """Why somebody stops, by Stripe's names."""
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


def notice(what: Notice) -> str:
    """What was done, or why it was not."""
    said = {
        Notice.STOPPED: _("You have stopped your membership. Nothing more will be taken for it."),
        Notice.RESUMED: _("Your membership goes on."),
        Notice.PAUSED: _(
            "Your membership is paused. It goes on by itself, and you can take it up any day."
        ),
        Notice.CHANGED: _("You have changed what you pay."),
        Notice.CARD: _("This is how your membership stands after your visit to the payment page."),
        Notice.SAVED: _("We have saved this."),
        Notice.EMAIL: _("You have a new e-mail address here."),
        Notice.MEANWHILE: _(
            "Nothing was changed just now: your membership had been changed meanwhile, in "
            "another window or by its date. This is how it stands."
        ),
        Notice.UNKNOWN: _(
            "The payment service has not answered, so we do not know yet whether it was done. "
            "Look again in a minute before you repeat it."
        ),
        Notice.GIFT_TOLD: _("The letter with the code is on its way."),
        Notice.GIFT: _("The gift is yours: you are a member, and nothing is taken from you."),
        Notice.ENDED: _("This membership has ended meanwhile. Nothing more is taken for it."),
    }
    return said[what]
