"""Staff pages of the campaigns: edit, goal, end, archive."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import format_decimal

from fundraiser import db
from fundraiser.campaigns import plan as planning
from fundraiser.campaigns.catalogue import list_tiers
from fundraiser.campaigns.forms import FirstPlan, GoalPlan, Plan, read_sites
from fundraiser.campaigns.models import CampaignStatus, Counts
from fundraiser.campaigns.picture import find_picture
from fundraiser.campaigns.plan import lock_campaign, plan_of
from fundraiser.campaigns.progress import current_campaign, find_campaign, read_progress
from fundraiser.config import current_settings
from fundraiser.dashboard.forms import note_conflict
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Form
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments.checkout import CONTRIBUTION
from fundraiser.payments.products import is_at_stripe
from fundraiser.texts import by_language, gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.campaigns.models import Campaign
    from fundraiser.payments.models import Tier

blueprint = Blueprint("campaign_pages", __name__)


@blueprint.get("/staff/campaigns")
def index() -> str:
    """All campaigns, and the first steps if there is none."""
    session = db.session()
    return _page(
        "dashboard/campaigns.html",
        campaigns=[
            (campaign, read_progress(session, campaign))
            for campaign in planning.list_campaigns(session)
        ],
        tiers=_memberships(),
    )


@blueprint.get("/staff/campaigns/new")
def new() -> ResponseReturnValue:
    """The form for a new campaign; needs a tier first."""
    require(signed_in_staff(), Permission.CHANGE_CAMPAIGN)
    tiers = [tier for tier in _memberships() if tier.retired_at is None]
    if not tiers:
        flash(_("A campaign needs at least one tier. Create your first one here."), "tier-first")
        return redirect(url_for("tier_pages.new"))
    middle = tiers[len(tiers) // 2]
    before = current_campaign(db.session())
    currency = before.default_currency if before else middle.prices[0].currency
    form = Form.blank(
        FirstPlan,
        Plan,
        counts=Counts.ALL,
        starts_at=now().replace(second=0),
        tiers=[tier.slug for tier in tiers],
        default_tier=middle.slug,
        default_currency=currency,
        sites=_newsroom_site(),
    )
    return _form_page(None, form)


@blueprint.post("/staff/campaigns")
def create() -> ResponseReturnValue:
    """Create the campaign, or show errors beside the fields."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    form = Form.sent(request.form, FirstPlan, Plan)
    first, plan = form.read(FirstPlan), _read_plan(form, None)
    if first and plan and not form.errors:
        slug, zone = first.slug, current_settings().newsroom_timezone.key
        try:
            planning.create_campaign(
                session, slug, plan, goal=first.goal, timezone=zone, staff=staff
            )
        except UnprocessableError as error:
            form.refuse(error, "slug")
        else:
            record(session, Action.CREATED_CAMPAIGN, f"campaign {slug}", staff=staff)
            flash(_("Your campaign is ready. This is what readers see."), "campaign-made")
            return _to("show", slug)
    return _form_page(None, form), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.get("/staff/campaigns/<slug>")
def show(slug: str) -> str:
    """A campaign's status, appearance and possible actions."""
    return _campaign_page(find_campaign(db.session(), slug))


@blueprint.get("/staff/campaigns/<slug>/edit")
def edit(slug: str) -> str:
    require(signed_in_staff(), Permission.CHANGE_CAMPAIGN)
    campaign = find_campaign(db.session(), slug)
    return _form_page(campaign, Form.of(plan_of(campaign)))


@blueprint.post("/staff/campaigns/<slug>/edit")
def change(slug: str) -> ResponseReturnValue:
    """Save changes; if somebody else saved first, show both."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    form, stored = Form.sent(request.form, Plan), plan_of(campaign)
    plan = _read_plan(form, campaign)
    if plan == stored:
        flash(_("There was nothing to save: the campaign hasn’t changed."), "unchanged")
        return _to("show", slug)
    form.options |= _options(form)
    note_conflict(form, session, stored, f"campaign {slug}")
    if form.conflict:
        return _form_page(campaign, form), HTTPStatus.CONFLICT
    if plan is None or form.errors:
        return _form_page(campaign, form), HTTPStatus.UNPROCESSABLE_ENTITY
    planning.change_campaign(campaign, plan, current_settings().newsroom_timezone.key)
    changes = form.changes(stored)
    record(session, Action.CHANGED_CAMPAIGN, f"campaign {slug}", staff=staff, changes=changes)
    flash(_("Saved. Open pages will show the change within a minute."), "campaign-changed")
    return _to("show", slug)


@blueprint.post("/staff/campaigns/<slug>/goals")
def set_goal(slug: str) -> ResponseReturnValue:
    """Set a new goal; asks again before a lower one."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    form = Form.sent(request.form, GoalPlan)
    wanted = form.read(GoalPlan)
    if wanted and wanted.goal != campaign.goal:
        if wanted.before != str(campaign.goal):
            form.errors["goal"] = _(
                "A colleague has set the goal to %(goal)s in the meantime. Check "
                "whether you still want to change it.",
                goal=format_decimal(campaign.goal),
            )
        elif wanted.goal < campaign.goal and not wanted.lower:
            form.errors["lower"] = _(
                "This is lower than the goal of %(goal)s that readers have seen. Tick "
                "the box to lower it.",
                goal=format_decimal(campaign.goal),
            )
    if wanted and not form.errors:
        before = campaign.goal
        try:
            if planning.set_goal(campaign, wanted.goal, staff):
                record(
                    session,
                    Action.SET_GOAL,
                    f"campaign {slug}",
                    staff=staff,
                    changes={"goal": (before, wanted.goal)},
                )
        except UnprocessableError as error:
            form.refuse(error, "goal")
        else:
            goal = format_decimal(campaign.goal)
            flash(_("The goal is now %(goal)s members.", goal=goal), "goal")
            return _to("show", slug)
    return _campaign_page(campaign, form), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.post("/staff/campaigns/<slug>/end")
def end(slug: str) -> ResponseReturnValue:
    """End the campaign now: the current number becomes its final result."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    if planning.end_campaign(campaign):
        record(session, Action.ENDED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The campaign has ended. Its result won’t change."), "campaign-ended")
    return _to("show", slug)


@blueprint.post("/staff/campaigns/<slug>/archiving")
def archive(slug: str) -> ResponseReturnValue:
    """Archive the campaign; its public page stays."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    if planning.archive_campaign(lock_campaign(session, slug)):
        record(session, Action.ARCHIVED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The campaign is archived."), "archived")
    return _to("show", slug)


@blueprint.post("/staff/campaigns/<slug>/restoring")
def restore(slug: str) -> ResponseReturnValue:
    """Restore the campaign from the archive."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    if planning.restore_campaign(lock_campaign(session, slug)):
        record(session, Action.RESTORED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The campaign is no longer archived."), "restored")
    return _to("show", slug)


def _read_plan(form: Form, campaign: Campaign | None) -> Plan | None:
    """Parse the form; None, with messages in it, if it is invalid."""
    stored = plan_of(campaign) if campaign else None
    plan = form.read(Plan, stored)
    if plan is None:
        return None
    known = {tier.slug for tier in _memberships()}
    plan = replace(plan, tiers=sorted(known.intersection(plan.tiers)))
    if plan != stored:
        form.errors |= planning.find_problems(db.session(), plan, campaign)
    return plan


def _newsroom_site() -> list[str]:
    """The newsroom's own site, if the settings have a usable one."""
    try:
        return read_sites(current_settings().newsroom_url or "")
    except UnprocessableError:
        return []


def _memberships() -> list[Tier]:
    """The tiers that make members: all except one-time contributions."""
    return [tier for tier in list_tiers(db.session()) if tier.slug != CONTRIBUTION]


def _options(form: Form) -> dict[str, list[tuple[str, str]]]:
    """The tiers to choose from: those on offer, and already chosen ones."""
    chosen, names = form.typed["tiers"].split(), {}
    for tier in _memberships():
        if tier.retired_at is None or tier.slug in chosen:
            gone = _("%(tier)s (no longer offered)", tier=by_language(tier.names))
            names[tier.slug] = gone if tier.retired_at else by_language(tier.names)
    options = list(names.items())
    return {"tiers": options, "default_tier": options}


def _form_page(campaign: Campaign | None, form: Form) -> str:
    if campaign is not None:
        # What has no field any more is sent as it stands, so that what was typed can be kept.
        form.fixed = (
            *(("starts_at", "counts") if now() >= campaign.starts_at else ()),
            *(("deadline",) if now() >= campaign.deadline else ()),
        )
        stored = form.texts_of(plan_of(campaign))
        form.typed |= {name: stored[name] for name in form.fixed}
    form.options |= _options(form)
    return _page("dashboard/campaign_form.html", campaign=campaign, form=form)


def _campaign_page(campaign: Campaign, form: Form | None = None) -> str:
    session = db.session()
    progress = read_progress(session, campaign)
    at = now()
    form = form or Form.blank(GoalPlan)
    form.typed["before"] = str(campaign.goal)  # as the page shows it now
    return _page(
        "dashboard/campaign.html",
        campaign=campaign,
        picture=find_picture(session, campaign.slug),
        progress=progress,
        status=status_in_words(progress.status),
        tiers={tier.slug: tier for tier in _memberships()},
        is_at_stripe=is_at_stripe,
        goals=planning.read_goals(session, campaign),
        form=form,
        is_running=campaign.starts_at <= at < campaign.deadline,
        has_ended=at >= campaign.deadline,
        address=f"{current_settings().public_url}/campaigns/{campaign.slug}",
    )


def _page(template: str, **values: object) -> str:
    staff = signed_in_staff()
    return render_template(
        template,
        staff=staff,
        may_change=may(staff, Permission.CHANGE_CAMPAIGN),
        zone=current_settings().newsroom_timezone.key,
        status_in_words=status_in_words,
        **values,
    )


def _to(view: str, slug: str) -> ResponseReturnValue:
    return redirect(url_for(f".{view}", slug=slug), HTTPStatus.SEE_OTHER)


def status_in_words(status: CampaignStatus) -> str:
    """A campaign's status in words."""
    match status:
        case CampaignStatus.SCHEDULED:
            return _("Scheduled")
        case CampaignStatus.RUNNING:
            return _("Running")
        case CampaignStatus.REACHED:
            return _("Running, goal reached")
        case CampaignStatus.ENDED:
            return _("Ended")
        case CampaignStatus.ARCHIVED:
            return _("Archived")
