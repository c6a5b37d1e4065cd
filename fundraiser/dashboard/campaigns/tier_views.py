"""Staff pages of the tiers: texts, prices, order."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.campaigns import catalogue
from fundraiser.campaigns.catalogue import find_tier, plan_of
from fundraiser.campaigns.forms import TierPlan
from fundraiser.dashboard.forms import note_conflict
from fundraiser.errors import BadRequestError, UnprocessableError
from fundraiser.forms import Form, fields_of
from fundraiser.jobs import Job, hint
from fundraiser.members.models import Interval
from fundraiser.members.prices import per
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments import StripeKeyError, StripeUnavailableError, current_gateway
from fundraiser.payments.checkout import CONTRIBUTION, CURRENCIES
from fundraiser.payments.models import OldPrice
from fundraiser.payments.products import is_at_stripe, publish_catalogue
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from collections.abc import Collection

    from flask.typing import ResponseReturnValue

    from fundraiser.payments.models import Tier

blueprint = Blueprint("tier_pages", __name__)


@blueprint.get("/staff/tiers")
def index() -> str:
    """All tiers, in readers' order."""
    tiers = catalogue.list_tiers(db.session())
    on_offer = [tier for tier in tiers if tier.retired_at is None and tier.slug != CONTRIBUTION]
    return _page(
        "dashboard/tiers.html",
        on_offer=on_offer,
        contribution=next((tier for tier in tiers if tier.slug == CONTRIBUTION), None),
        retired=[tier for tier in tiers if tier.retired_at],
    )


@blueprint.get("/staff/tiers/new")
def new() -> str:
    require(signed_in_staff(), Permission.CHANGE_CAMPAIGN)
    return _form_page(None, Form.blank(TierPlan))


@blueprint.post("/staff/tiers")
def create() -> ResponseReturnValue:
    """Create a tier, here and at Stripe."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    form = Form.sent(request.form, TierPlan)
    if plan := form.read(TierPlan):
        try:
            tier = catalogue.create_tier(session, plan)
        except UnprocessableError as error:
            form.refuse(error, "names")
        else:
            record(session, Action.CREATED_TIER, f"tier {tier.slug}", staff=staff)
            _bring_to_stripe(_("Saved. Readers see this tier in every campaign that offers it."))
            return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)
    return _form_page(None, form), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.get("/staff/tiers/<slug>")
def show(slug: str) -> str:
    """A tier's texts and prices, to view or edit."""
    tier = find_tier(db.session(), slug)
    return _form_page(tier, Form.of(plan_of(tier), only=_asked(tier)))


@blueprint.post("/staff/tiers/<slug>")
def change(slug: str) -> ResponseReturnValue:
    """Save changes, unless somebody else saved first; new prices are made at Stripe."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    tier = find_tier(session, slug, locked=True)
    form, stored = Form.sent(request.form, TierPlan, only=_asked(tier)), plan_of(tier)
    plan = form.read(TierPlan, stored)
    if plan == stored:
        flash(_("There was nothing to save: the tier hasn’t changed."), "unchanged")
        return redirect(url_for(".show", slug=slug), HTTPStatus.SEE_OTHER)
    note_conflict(form, session, stored, f"tier {slug}")
    if form.conflict:
        return _form_page(tier, form), HTTPStatus.CONFLICT
    if plan:
        changes = form.changes(stored)
        try:
            catalogue.change_tier(session, tier, plan)
        except UnprocessableError as error:
            form.refuse(error, "names")
        else:
            record(session, Action.CHANGED_TIER, f"tier {slug}", staff=staff, changes=changes)
            _bring_to_stripe(_("Saved. Open pages will show the change within a minute."))
            return redirect(url_for(".show", slug=slug), HTTPStatus.SEE_OTHER)
    return _form_page(tier, form), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.post("/staff/tiers/<slug>/publication")
def publish(slug: str) -> ResponseReturnValue:
    """Retry pending changes at Stripe."""
    require(signed_in_staff(), Permission.CHANGE_CAMPAIGN)
    find_tier(db.session(), slug)
    _bring_to_stripe(_("Stripe is up to date."))
    return redirect(url_for(".show", slug=slug), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/tiers/<slug>/place")
def move(slug: str) -> ResponseReturnValue:
    """Move the tier to a position, counted from 0."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    tier = find_tier(session, slug)
    place = request.form.get("place", type=int)
    if place is None or tier.retired_at:
        raise BadRequestError(_("Open the list of tiers and use its buttons."))
    catalogue.move_tier(session, tier, place)
    record(session, Action.MOVED_TIER, f"tier {slug}", staff=staff)
    flash(_("“%(tier)s” has moved.", tier=by_language(tier.names)), "moved")
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/tiers/<slug>/retirement")
def retire(slug: str) -> ResponseReturnValue:
    """Close the tier to new members."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    tier = find_tier(session, slug, locked=True)
    if tier.retired_at is None:
        catalogue.retire_tier(session, tier)
        record(session, Action.RETIRED_TIER, f"tier {slug}", staff=staff)
    _bring_to_stripe(_("New members can no longer choose this tier. Current members keep it."))
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


@blueprint.post("/staff/tiers/<slug>/return")
def restore(slug: str) -> ResponseReturnValue:
    """Offer a retired tier again."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    tier = find_tier(session, slug, locked=True)
    if tier.retired_at:
        catalogue.restore_tier(session, tier)
        record(session, Action.RESTORED_TIER, f"tier {slug}", staff=staff)
    _bring_to_stripe(_("Saved. Readers see this tier in every campaign that offers it."))
    return redirect(url_for(".index"), HTTPStatus.SEE_OTHER)


def _bring_to_stripe(well: str) -> None:
    """Update Stripe now; if it is down, show a notice and let the workers retry."""
    hint(db.session(), Job.PUBLISH)  # also what can only follow once this is committed
    try:
        publish_catalogue(db.session(), current_gateway())
    except StripeKeyError as error:
        flash(
            _(
                "Your changes are saved, but Stripe rejected our key (%(detail)s). "
                "Tell the person who runs this service. Until it’s fixed, readers pay "
                "the prices in Stripe.",
                detail=error.right or "STRIPE_API_KEY",
            ),
            "stripe-refuses",
        )
    except StripeUnavailableError:
        flash(
            _(
                "Your changes are saved, but Stripe isn’t answering. We try again "
                "every minute. Until it answers, readers pay the prices in Stripe."
            ),
            "stripe-away",
        )
    else:
        flash(well, "published")


def _asked(tier: Tier) -> Collection[str]:
    """The editable fields of this tier; for contributions only the name."""
    return {"names"} if tier.slug == CONTRIBUTION else fields_of(TierPlan)


def _form_page(tier: Tier | None, form: Form) -> str:
    old = select(OldPrice).order_by(OldPrice.retired_at.desc())
    return _page(
        "dashboard/tier_form.html",
        tier=tier,
        per=per,
        form=form,
        is_contribution=tier is not None and tier.slug == CONTRIBUTION,
        waits_for_stripe=tier is not None
        and (tier.stale_at_stripe or (tier.retired_at is None and not is_at_stripe(tier))),
        old_prices=db.session().scalars(old.where(OldPrice.tier_slug == tier.slug)).all()
        if tier
        else [],
    )


def _page(template: str, **values: object) -> str:
    staff = signed_in_staff()
    return render_template(
        template,
        staff=staff,
        may_change=may(staff, Permission.CHANGE_CAMPAIGN),
        is_at_stripe=is_at_stripe,
        intervals={Interval.MONTH: _("Monthly"), Interval.YEAR: _("Yearly")},
        currencies=CURRENCIES,
        **values,
    )
