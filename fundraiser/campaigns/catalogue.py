"""Tiers and prices as staff edit them: create, change, reorder, retire.

These functions write rows; ``payments.products`` then updates Stripe, now or when it is back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from fundraiser.campaigns.forms import TierPlan
from fundraiser.campaigns.models import Campaign
from fundraiser.db import lock, now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.forms import values_of
from fundraiser.jobs import Job, hint
from fundraiser.members.models import Interval
from fundraiser.payments.checkout import CONTRIBUTION
from fundraiser.payments.models import Price, Tier
from fundraiser.payments.products import retire_price
from fundraiser.texts import (
    DEFAULT_LANGUAGE,
    N_,
    Named,
    by_language,
    gettext as _,
    in_each_language,
    name_of_language,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session


def plan_of(tier: Tier) -> TierPlan:
    """A tier as staff last saved it, whether or not Stripe has it yet."""
    prices = {
        (price.interval, price.currency): price.next_amount or price.amount for price in tier.prices
    }
    return TierPlan(**values_of(tier, TierPlan, but="prices"), prices=prices)


def find_tier(session: Session, slug: str, *, locked: bool = False) -> Tier:
    """Find the tier with this slug.

    Raises:
        NotFoundError: there is none.
    """
    tier = session.get(Tier, slug, with_for_update=locked or None, populate_existing=locked)
    if tier is None:
        raise NotFoundError(_("There’s no tier at this address."))
    return tier


def list_tiers(session: Session) -> list[Tier]:
    """All tiers in order; retired ones come last."""
    return list(session.scalars(select(Tier).order_by(Tier.retired_at.is_not(None), Tier.position)))


def create_tier(session: Session, plan: TierPlan) -> Tier:
    """Add a new tier after the others; safe to repeat with the same values.

    Makes the slug from the name. The first tier also creates the product for one-time
    contributions.

    Raises:
        UnprocessableError: no slug can be made, or another tier has it.
    """
    name = plan.names[DEFAULT_LANGUAGE]
    slug = "-".join(re.sub(r"[^a-z0-9]", " ", name.lower()).split())
    if not slug:
        raise UnprocessableError(
            Named(
                "no-slug",
                _(
                    "The name in %(language)s needs at least one of a–z or 0–9.",
                    language=name_of_language(DEFAULT_LANGUAGE),
                ),
            ),
            field="names",
        )
    lock(session, "shop", "tiers")
    found = session.get(Tier, slug)
    if found and plan_of(found) == plan:
        return found
    if found or slug == CONTRIBUTION:
        raise UnprocessableError(
            Named(
                "name-taken",
                _("There’s already a tier with this name. Choose another name."),
            ),
            field="names",
        )
    tier = Tier(
        slug=slug,
        position=_next_position(session),
        **values_of(plan, TierPlan, but="prices"),
        prices=[
            Price(interval=interval, currency=currency, amount=amount)
            for (interval, currency), amount in plan.prices.items()
        ],
    )
    session.add(tier)
    if session.get(Tier, CONTRIBUTION) is None:
        session.add(
            Tier(
                slug=CONTRIBUTION,
                position=tier.position + 1,
                names=in_each_language(N_("One-time contribution")),
                descriptions={},
                perks={},
                prices=[],
            )
        )
    session.flush()
    hint(session, Job.PUBLISH)
    return tier


def change_tier(session: Session, tier: Tier, plan: TierPlan) -> None:
    """Update the texts and prices of a locked tier.

    Readers pay an existing price until Stripe has the new one.

    Raises:
        UnprocessableError: a campaign preselects the tier, and it would have no price there.
    """
    for campaign in _choosing(session, tier):
        if (Interval.MONTH, campaign.default_currency) not in plan.prices:
            raise UnprocessableError(
                Named(
                    "price-chosen",
                    _(
                        "The campaign “%(headline)s” preselects this tier at its "
                        "monthly price in %(currency)s. Keep that price, or change "
                        "the campaign first.",
                        headline=by_language(campaign.headlines),
                        currency=campaign.default_currency,
                    ),
                ),
                field=f"prices-month-{campaign.default_currency}",
            )
    if tier.names[DEFAULT_LANGUAGE] != plan.names[DEFAULT_LANGUAGE]:
        tier.stale_at_stripe = True
    for name, value in values_of(plan, TierPlan, but="prices").items():
        setattr(tier, name, value)
    wanted = dict(plan.prices)
    for price in list(tier.prices):
        amount = wanted.pop((price.interval, price.currency), None)
        if amount is None:
            retire_price(session, price)
            tier.prices.remove(price)
        elif price.stripe_id is None:
            price.amount = amount
        else:
            price.next_amount = None if amount == price.amount else amount
    for (interval, currency), amount in wanted.items():
        tier.prices.append(Price(interval=interval, currency=currency, amount=amount))
    session.flush()
    show_anew(session, tier)
    hint(session, Job.PUBLISH)


def move_tier(session: Session, tier: Tier, place: int) -> None:
    """Move a tier to this position, counted from 0, among those on offer."""
    lock(session, "shop", "tiers")
    others = [each for each in list_tiers(session) if each.retired_at is None and each is not tier]
    others.insert(min(max(place, 0), len(others)), tier)
    for position, each in enumerate(others):
        each.position = position
    session.flush()
    show_anew(session, tier)


def retire_tier(session: Session, tier: Tier) -> None:
    """Close a tier to new members; existing members keep it and keep paying.

    Raises:
        UnprocessableError: a campaign preselects it, or it is needed for contributions.
    """
    if tier.retired_at:
        return
    if tier.slug == CONTRIBUTION:
        raise UnprocessableError(_("One-time contributions are always on offer."))
    for campaign in _choosing(session, tier):
        raise UnprocessableError(
            Named(
                "tier-chosen",
                _(
                    "The campaign “%(headline)s” preselects this tier. Choose another "
                    "one there first.",
                    headline=by_language(campaign.headlines),
                ),
            )
        )
    tier.retired_at, tier.stale_at_stripe = now(), True
    show_anew(session, tier)
    hint(session, Job.PUBLISH)


def restore_tier(session: Session, tier: Tier) -> None:
    """Offer a retired tier again, after the others."""
    if tier.retired_at is None:
        return
    tier.retired_at, tier.stale_at_stripe = None, True
    tier.position = _next_position(session)
    show_anew(session, tier)
    hint(session, Job.PUBLISH)


def show_anew(session: Session, tier: Tier) -> None:
    """Have every widget that shows this tier fetch it again."""
    session.execute(
        update(Campaign)
        .where(Campaign.tiers.contains([tier.slug]))
        .values(revision=Campaign.revision + 1)
    )


def _choosing(session: Session, tier: Tier) -> Sequence[Campaign]:
    """The campaigns that preselect this tier."""
    return session.scalars(
        select(Campaign).where(Campaign.archived_at.is_(None), Campaign.default_tier == tier.slug)
    ).all()


def _next_position(session: Session) -> int:
    return max((each.position for each in session.scalars(select(Tier))), default=-1) + 1
