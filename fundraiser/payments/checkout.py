"""Create Stripe Checkout sessions for memberships, contributions and gifts."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import astuple, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from fundraiser.addresses import to_ascii
from fundraiser.db import checkpoint, now
from fundraiser.errors import NotFoundError, UnavailableError, UnprocessableError
from fundraiser.members.invitations import INVITATION
from fundraiser.members.models import Interval
from fundraiser.money import CARD_FEES, Money, fee_to_cover, format_money
from fundraiser.newsroom.maintenance import refuse_if_closed
from fundraiser.payments.models import Checkout, CheckoutKind, Price, Tier
from fundraiser.payments.stripe.errors import UnusablePriceError
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.members.gifts import Tell
    from fundraiser.payments.stripe.gateway import Gateway

log = structlog.get_logger()

CONTRIBUTION = "contribution"
CURRENCIES = tuple(CARD_FEES)
LEAST = {Interval.MONTH: 200, Interval.YEAR: 2000, None: 200}
MOST = 1_000_000_00


@dataclass(frozen=True, slots=True)
class Choice:
    """What the reader chose, parsed from the form.

    ``amount`` is the reader's own amount (smallest unit), None for the tier's price. ``interval``
    is None for a one-time contribution, which needs an amount and no tier. ``invite`` is the code
    of a member's link. ``email`` is an address to fill in at Checkout.
    """

    campaign: str
    tier: str | None
    interval: Interval | None
    currency: str
    amount: int | None
    cover_fee: bool
    language: str
    ref: str | None
    return_url: str | None
    invite: str | None = None
    utm: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class GiftChoice:
    """What the giver chose and wrote, parsed from the form.

    ``language`` is the giver's, ``to_language`` the recipient's; ``tell_at`` is the day to e-mail
    the recipient, if the giver chose one.
    """

    campaign: str
    tier: str
    years: int
    currency: str
    giver_name: str
    recipient_name: str
    recipient_email: str | None
    message: str
    to_language: str
    tell: Tell
    tell_at: datetime | None
    language: str


def offered_tiers(session: Session, slugs: list[str]) -> list[Tier]:
    """The tiers on offer, in order."""
    return list(
        session.scalars(
            select(Tier)
            .where(Tier.slug.in_(slugs), Tier.retired_at.is_(None))
            .order_by(Tier.position)
        )
    )


def price_of(tier: Tier, interval: Interval, currency: str) -> Price | None:
    """This tier's price for the interval and currency, or None."""
    return next((p for p in tier.prices if p.interval == interval and p.currency == currency), None)


def tier_for(
    tiers: Iterable[Tier],
    chosen: str | None,
    interval: Interval,
    currency: str,
    amount: int | None,
) -> str | None:
    """The tier for an own amount: the chosen one, or the dearest that the amount covers.

    Less than every tier's price buys the cheapest.
    """
    prices = {
        one.slug: price.amount for one in tiers if (price := price_of(one, interval, currency))
    }
    floor = prices.get(chosen or "")
    if amount is None or floor is None or amount >= floor:
        return chosen
    covered = [slug for slug, price in prices.items() if price <= amount]
    return max(covered, key=prices.__getitem__) if covered else min(prices, key=prices.__getitem__)


def begin_checkout(
    session: Session, gateway: Gateway, choice: Choice, nonce: str, public_url: str
) -> str:
    """Create a Checkout session for this choice, or reuse it; returns the payment page's URL.

    The same nonce and choice give the same checkout, however often and however quickly they are
    sent.

    Raises:
        UnprocessableError: the tier, the currency or the amount isn't available.
        StripeUnavailableError: Stripe doesn't answer; nobody was charged.
    """
    tier, price, amount = priced(session, choice)
    if tier.product_id is None or (price and price.stripe_id is None):
        raise UnavailableError(_not_set_up())
    fee = fee_to_cover(Money(amount, choice.currency)) if choice.cover_fee else 0
    checkout = _one_checkout(
        session,
        nonce,
        choice,
        kind=CheckoutKind.MEMBERSHIP if choice.interval else CheckoutKind.CONTRIBUTION,
        interval=choice.interval,
        amount=amount + fee,
        fee=fee,
        ref=choice.ref or (INVITATION if choice.invite else None),
        invite=choice.invite,
        utm=choice.utm,
        return_url=choice.return_url,
    )
    checkpoint(session)
    return _open_session(
        gateway,
        checkout,
        tier,
        f"{public_url}/join",
        price=None if fee else price,
        email=choice.email,
    )


def begin_gift(
    session: Session, gateway: Gateway, choice: GiftChoice, nonce: str, public_url: str
) -> str:
    """Create a Checkout session for a gift, like ``begin_checkout``.

    Raises:
        UnprocessableError: the tier isn't sold by the year in this currency.
        StripeUnavailableError: Stripe doesn't answer; nobody was charged.
    """
    tier = session.get(Tier, choice.tier)
    price = price_of(tier, Interval.YEAR, choice.currency) if tier and not tier.retired_at else None
    if tier is None or price is None:
        raise UnprocessableError(_("Choose one of the memberships on offer."), field="tier")
    if tier.product_id is None:
        raise UnavailableError(_not_set_up())
    written = {
        "years": choice.years,
        "giver_name": choice.giver_name,
        "recipient_name": choice.recipient_name,
        "recipient_email": choice.recipient_email,
        "message": choice.message,
        "language": choice.to_language,
        "tell": choice.tell,
        "tell_at": choice.tell_at.isoformat() if choice.tell_at else None,
    }
    checkout = _one_checkout(
        session,
        nonce,
        choice,
        kind=CheckoutKind.GIFT,
        amount=price.amount * choice.years,
        fee=0,
        gift=written,
    )
    checkpoint(session)
    return _open_session(gateway, checkout, tier, f"{public_url}/gift")


def _not_set_up() -> Named:
    sentence = _("We’re setting up payments. You haven’t been charged. Try again in a few minutes.")
    return Named("not-set-up", sentence)


def _one_checkout(
    session: Session,
    nonce: str,
    choice: Choice | GiftChoice,
    **values: Any,  # noqa: ANN401 - the columns in which the two kinds of choice differ
) -> Checkout:
    """Find or create the checkout for this form and choice; locked.

    Raises:
        SignUpsClosedError: the operator has closed sign-ups.
    """
    refuse_if_closed(session)
    key = _key(choice, nonce)
    session.execute(
        insert(Checkout)
        .values(
            id=uuid.uuid4(),
            key=key,
            campaign=choice.campaign,
            tier=choice.tier,
            currency=choice.currency,
            language=choice.language,
            created_at=now(),
            **values,
        )
        .on_conflict_do_nothing(index_elements=[Checkout.key])
    )
    return session.scalars(select(Checkout).where(Checkout.key == key)).one()


def _open_session(
    gateway: Gateway,
    checkout: Checkout,
    tier: Tier,
    back: str,
    *,
    price: Price | None = None,
    email: str | None = None,
) -> str:
    """The payment page's URL: of the open session, or of a new one if that has expired.

    If the session is already paid, Stripe's page says so.
    """
    if checkout.session_id:
        status = _status_of(gateway, checkout.session_id)
        if status == "open" and checkout.session_url:
            return checkout.session_url
        if status == "complete":
            return f"{back}/thanks?session_id={checkout.session_id}"
    checkout.session_id, checkout.session_url = _make_session(
        gateway, checkout, tier, back, price=price, email=email
    )
    return checkout.session_url


def _status_of(gateway: Gateway, session_id: str) -> str | None:
    try:
        return gateway.fetch_session(session_id).status
    except NotFoundError:
        return None


def _make_session(
    gateway: Gateway,
    checkout: Checkout,
    tier: Tier,
    back: str,
    *,
    price: Price | None,
    email: str | None,
) -> tuple[str, str]:
    """Create a session even if somebody archived the price or product at Stripe.

    It replaces an unusable price with the same amount inline; the next periodic job makes the price
    again. It restores an unusable product.
    """
    make = partial(
        gateway.create_session,
        checkout,
        success_url=f"{back}/thanks?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{back}?canceled={checkout.id.hex}",
        email=email and to_ascii(email),
    )
    product_id = tier.product_id or ""
    if price:
        try:
            return make(product_id=product_id, price_id=price.stripe_id)
        except UnusablePriceError:
            log.warning("price_unusable", price=price.stripe_id)
            price.next_amount = price.next_amount or price.amount
    try:
        return make(product_id=product_id, price_id=None)
    except UnusablePriceError:
        log.warning("product_unusable", product=product_id)
        tier.product_id = gateway.restore_product(tier)
        return make(product_id=tier.product_id, price_id=None, attempt=2)


def begun_checkout(session: Session, choice: Choice, nonce: str) -> Checkout:
    """Find the checkout that ``begin_checkout`` made for this choice."""
    return session.scalars(select(Checkout).where(Checkout.key == _key(choice, nonce))).one()


def find_checkout(session: Session, session_id: str) -> Checkout:
    """Find our checkout for a Stripe Checkout session.

    Raises:
        NotFoundError: the session isn't ours.
    """
    checkout = session.scalars(select(Checkout).where(Checkout.session_id == session_id)).first()
    if checkout is None:
        raise NotFoundError(_("We can’t find a payment at this address."))
    return checkout


def priced(session: Session, choice: Choice) -> tuple[Tier, Price | None, int]:
    """The tier, its price unless the amount is the reader's own, and the amount before fees.

    Raises:
        UnprocessableError: the tier, the currency or the amount isn't available.
    """
    if choice.currency not in CURRENCIES:
        raise UnprocessableError(
            _("Choose a currency: %(currencies)s.", currencies=", ".join(CURRENCIES)),
            field="currency",
        )
    slug = CONTRIBUTION if choice.interval is None else choice.tier
    tier = session.get(Tier, slug) if slug else None
    if tier is None or tier.retired_at or (choice.interval and slug == CONTRIBUTION):
        raise UnprocessableError(_("Choose one of the memberships on offer."), field="tier")
    price = price_of(tier, choice.interval, choice.currency) if choice.interval else None
    if choice.amount is None and price is None:
        raise UnprocessableError(_("Enter an amount."), field="amount")
    if price and choice.amount in {None, price.amount}:
        return tier, price, price.amount
    return tier, None, _own_amount(choice)


def _key(choice: Choice | GiftChoice, nonce: str) -> str:
    return hashlib.sha256(repr((nonce, astuple(choice))).encode()).hexdigest()


def _own_amount(choice: Choice) -> int:
    amount = choice.amount or 0
    if amount < LEAST[choice.interval]:
        least = format_money(Money(LEAST[choice.interval], choice.currency), choice.language)
        raise UnprocessableError(
            _("The amount must be %(least)s or more.", least=least), field="amount"
        )
    if amount > MOST:
        most = format_money(Money(MOST, choice.currency), choice.language)
        raise UnprocessableError(
            _("The amount must be %(most)s or less. To give more, write to us.", most=most),
            field="amount",
        )
    return amount
