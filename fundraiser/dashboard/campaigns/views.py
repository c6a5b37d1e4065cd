"""Staff's pages of the campaigns: plan, goal, end, archive."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import format_decimal

from fundraiser import db
from fundraiser.campaigns import plan as planning
from fundraiser.campaigns.catalogue import list_tiers
from fundraiser.campaigns.models import CampaignStatus, Counts
from fundraiser.campaigns.plan import Plan, lock_campaign, plan_of
from fundraiser.campaigns.progress import current_campaign, find_campaign, read_progress
from fundraiser.config import current_settings
from fundraiser.dashboard.forms import Form
from fundraiser.db import now
from fundraiser.errors import UnprocessableError
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments.checkout import CONTRIBUTION, CURRENCIES
from fundraiser.payments.products import is_at_stripe
from fundraiser.texts import LANGUAGES, by_language, date_and_time, gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.campaigns.models import Campaign
    from fundraiser.payments.models import Tier

blueprint = Blueprint("campaign_pages", __name__)

_LONGEST_HEADLINE, _LONGEST_MESSAGE = 120, 300
_TEXTS = tuple(f"{name}_{code}" for name in ("headline", "message") for code in LANGUAGES)
_FIELDS = (*_TEXTS, "counts", "starts_at", "deadline", "default_tier", "default_currency", "sites")


@blueprint.get("/staff/campaigns")
def index() -> str:
    """All campaigns, and the first steps where there is none."""
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
    """The form of a new campaign; it needs something on offer first."""
    require(signed_in_staff(), Permission.CHANGE_CAMPAIGN)
    tiers = [tier for tier in _memberships() if tier.retired_at is None]
    if not tiers:
        flash(_("A campaign needs a membership to offer. Make your first one here."))
        return redirect(url_for("tier_pages.new"))
    middle = tiers[len(tiers) // 2]
    before = current_campaign(db.session())
    currency = before.default_currency if before else middle.prices[0].currency
    zone = current_settings().newsroom_timezone
    stored = {
        **dict.fromkeys((*_TEXTS, "slug", "goal", "deadline"), ""),
        "counts": Counts.ALL.value,
        "starts_at": _write_time(now().astimezone(zone).replace(second=0)),
        "tiers": " ".join(tier.slug for tier in tiers),
        "default_tier": middle.slug,
        "default_currency": currency,
        "sites": _newsroom_site(),
    }
    return _form_page(None, Form(stored))


@blueprint.post("/staff/campaigns")
def create() -> ResponseReturnValue:
    """Make the campaign; what can't be used is said beside its field."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    form = _sent("slug", "goal")
    slug, goal = form.read("slug", planning.read_slug), form.read("goal", planning.read_goal)
    plan = _read_plan(form, None)
    if isinstance(slug, str) and isinstance(goal, int) and plan and not form.errors:
        zone = current_settings().newsroom_timezone.key
        try:
            planning.create_campaign(session, slug, plan, goal=goal, timezone=zone, staff=staff)
        except UnprocessableError as error:
            form.errors[error.field or "slug"] = str(error)
        else:
            record(session, Action.CREATED_CAMPAIGN, f"campaign {slug}", staff=staff)
            flash(_("The campaign is made. This is what readers see."))
            return _to("show", slug)
    return _form_page(None, form), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.get("/staff/campaigns/<slug>")
def show(slug: str) -> str:
    """Where a campaign stands, how it looks, and what can be done with it."""
    return _campaign_page(find_campaign(db.session(), slug))


@blueprint.get("/staff/campaigns/<slug>/edit")
def edit(slug: str) -> str:
    require(signed_in_staff(), Permission.CHANGE_CAMPAIGN)
    campaign = find_campaign(db.session(), slug)
    return _form_page(campaign, Form.of(_fields_of(plan_of(campaign))))


@blueprint.post("/staff/campaigns/<slug>/edit")
def change(slug: str) -> ResponseReturnValue:
    """Keep the changes, unless somebody else was faster: then both are shown."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    form = _sent()
    plan = _read_plan(form, campaign)
    if plan == plan_of(campaign):
        flash(_("The campaign is as you want it."))
        return _to("show", slug)
    stored = _fields_of(plan_of(campaign))
    form.compare(session, stored, f"campaign {slug}", _in_words(campaign))
    if form.conflict:
        return _form_page(campaign, form), HTTPStatus.CONFLICT
    if plan is None or form.errors:
        return _form_page(campaign, form), HTTPStatus.UNPROCESSABLE_ENTITY
    planning.change_campaign(campaign, plan, current_settings().newsroom_timezone.key)
    fields = form.changed(stored)
    record(session, Action.CHANGED_CAMPAIGN, f"campaign {slug}", staff=staff, fields=fields)
    flash(_("The campaign is changed. Open pages show it within a minute."))
    return _to("show", slug)


@blueprint.post("/staff/campaigns/<slug>/goals")
def set_goal(slug: str) -> ResponseReturnValue:
    """Set a new goal; a lower one is asked about once more."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    form = Form.sent(request.form, ("goal", "lower", "before"))
    goal = form.read("goal", planning.read_goal)
    if isinstance(goal, int) and goal != campaign.goal:
        if form.typed["before"] != str(campaign.goal):
            form.errors["goal"] = _(
                "Somebody else set the goal to %(goal)s meanwhile. Look whether you still want "
                "yours.",
                goal=format_decimal(campaign.goal),
            )
        elif goal < campaign.goal and not form.typed["lower"]:
            form.errors["lower"] = _(
                "This is less than the goal of %(goal)s that readers have seen. Tick the box if "
                "you mean it.",
                goal=format_decimal(campaign.goal),
            )
    if isinstance(goal, int) and not form.errors:
        try:
            if planning.set_goal(campaign, goal, staff):
                record(session, Action.SET_GOAL, f"campaign {slug}", staff=staff)
        except UnprocessableError as error:
            form.errors["goal"] = str(error)
        else:
            flash(_("The goal is %(goal)s members.", goal=format_decimal(campaign.goal)))
            return _to("show", slug)
    return _campaign_page(campaign, form), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.post("/staff/campaigns/<slug>/end")
def end(slug: str) -> ResponseReturnValue:
    """End the campaign now: its result is the number of this moment, for good."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    if planning.end_campaign(campaign):
        record(session, Action.ENDED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The campaign has ended. Its result stays as it is."))
    return _to("show", slug)


@blueprint.post("/staff/campaigns/<slug>/archiving")
def archive(slug: str) -> ResponseReturnValue:
    """Put the campaign away; its page stays where it is."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    if planning.archive_campaign(lock_campaign(session, slug)):
        record(session, Action.ARCHIVED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The campaign is in the archive."))
    return _to("show", slug)


@blueprint.post("/staff/campaigns/<slug>/restoring")
def restore(slug: str) -> ResponseReturnValue:
    """Take the campaign out of the archive."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    if planning.restore_campaign(lock_campaign(session, slug)):
        record(session, Action.RESTORED_CAMPAIGN, f"campaign {slug}", staff=staff)
    flash(_("The campaign is out of the archive."))
    return _to("show", slug)


def _sent(*more: str) -> Form:
    form = Form.sent(request.form, (*_FIELDS, *more))
    form.typed["tiers"] = " ".join(sorted(request.form.getlist("tiers")))
    return form


def _read_plan(form: Form, campaign: Campaign | None) -> Plan | None:
    """The plan that was typed; None, with sentences in the form, where it can't be read."""
    headlines = form.words(
        "headline", most=_LONGEST_HEADLINE, missing=_("Enter the headline in English.")
    )
    messages = form.words(
        "message", most=_LONGEST_MESSAGE, missing=_("Enter the message in English.")
    )
    starts_at, deadline = (
        # A time that nobody touched stays what it is, to the second.
        getattr(campaign, name)
        if campaign and form.typed[name] == _write_time(getattr(campaign, name))
        else form.read(name, _read_time)
        for name in ("starts_at", "deadline")
    )
    sites = form.read("sites", _read_sites)
    if form.typed["counts"] not in set(Counts):
        form.errors["counts"] = _("Choose whom the campaign counts.")
    if form.errors or not isinstance(starts_at, datetime) or not isinstance(deadline, datetime):
        return None
    known = {tier.slug for tier in _memberships()}
    plan = Plan(
        headlines=headlines,
        messages=messages,
        counts=Counts(form.typed["counts"]),
        starts_at=starts_at,
        deadline=deadline,
        tiers=sorted(known.intersection(form.typed["tiers"].split())),
        default_tier=form.typed["default_tier"],
        default_currency=form.typed["default_currency"],
        sites=sites if isinstance(sites, list) else [],
    )
    if campaign is None or plan != plan_of(campaign):
        form.errors |= planning.find_problems(db.session(), plan, campaign)
    return plan


def _fields_of(plan: Plan) -> dict[str, str]:
    return {
        **{f"headline_{code}": plan.headlines.get(code, "") for code in LANGUAGES},
        **{f"message_{code}": plan.messages.get(code, "") for code in LANGUAGES},
        "counts": plan.counts.value,
        "starts_at": _write_time(plan.starts_at),
        "deadline": _write_time(plan.deadline),
        "tiers": " ".join(sorted(plan.tiers)),
        "default_tier": plan.default_tier,
        "default_currency": plan.default_currency,
        "sites": "\n".join(plan.sites),
    }


def _in_words(campaign: Campaign) -> dict[str, str]:
    """What the form's fields keep in marks of their own, as the campaign's page says it."""
    names = {tier.slug: by_language(tier.names) for tier in _memberships()}
    return {
        "counts": _("New members")
        if campaign.counts is Counts.NEW
        else _("Everybody who is a member"),
        "starts_at": date_and_time(campaign.starts_at),
        "deadline": date_and_time(campaign.deadline),
        "tiers": ", ".join(names.get(slug, slug) for slug in campaign.tiers),
        "default_tier": names.get(campaign.default_tier, campaign.default_tier),
    }


def _write_time(at: datetime) -> str:
    """As a browser's field for a day and a time has it, in the newsroom's zone."""
    local = at.astimezone(current_settings().newsroom_timezone).replace(tzinfo=None)
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def _read_time(text: str) -> datetime:
    zone = current_settings().newsroom_timezone
    try:
        typed = datetime.fromisoformat(text)
        at = typed.replace(tzinfo=zone).astimezone(UTC)
        # Clocks that go forward leave an hour out.
        exists = at.astimezone(zone).replace(tzinfo=None) == typed
    except (ValueError, OverflowError):
        exists = False
    if not exists:
        raise UnprocessableError(_("Enter a day and a time that there is, like 2027-12-31 23:59."))
    return at


def _read_sites(text: str) -> list[str]:
    is_demonstration = current_settings().public_url.startswith("http://")
    sites = [
        planning.read_site(line, is_demonstration=is_demonstration)
        for line in text.split("\n")
        if line.strip()
    ]
    return list(dict.fromkeys(sites))


def _newsroom_site() -> str:
    """The newsroom's own site, where the settings name one that can be used."""
    try:
        return "\n".join(_read_sites(current_settings().newsroom_url or ""))
    except UnprocessableError:
        return ""


def _memberships() -> list[Tier]:
    """The tiers that make members: all but the product of one-time contributions."""
    return [tier for tier in list_tiers(db.session()) if tier.slug != CONTRIBUTION]


def _form_page(campaign: Campaign | None, form: Form) -> str:
    has_begun = campaign is not None and now() >= campaign.starts_at
    has_ended = campaign is not None and now() >= campaign.deadline
    if campaign is not None:
        # What has no field any more is sent as it stands, so that what was typed can be kept.
        stored = _fields_of(plan_of(campaign))
        fixed = (
            *(("starts_at", "counts") if has_begun else ()),
            *(("deadline",) if has_ended else ()),
        )
        form.typed |= {name: stored[name] for name in fixed}
    chosen = form.typed["tiers"].split()
    tiers = [tier for tier in _memberships() if tier.retired_at is None or tier.slug in chosen]
    return _page(
        "dashboard/campaign_form.html",
        campaign=campaign,
        form=form,
        labels=_labels(),
        tiers=tiers,
        options=[(tier.slug, by_language(tier.names)) for tier in tiers],
        chosen=chosen,
        currencies=[(currency, currency) for currency in CURRENCIES],
        has_begun=has_begun,
        has_ended=has_ended,
        longest_headline=_LONGEST_HEADLINE,
        longest_message=_LONGEST_MESSAGE,
    )


def _campaign_page(campaign: Campaign, form: Form | None = None) -> str:
    session = db.session()
    progress = read_progress(session, campaign)
    at = now()
    return _page(
        "dashboard/campaign.html",
        campaign=campaign,
        progress=progress,
        status=status_in_words(progress.status),
        tiers={tier.slug: tier for tier in _memberships()},
        is_at_stripe=is_at_stripe,
        goals=planning.read_goals(session, campaign),
        form=form or Form({"goal": "", "lower": "", "before": str(campaign.goal)}),
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
    """Where a campaign stands."""
    match status:
        case CampaignStatus.SCHEDULED:
            return _("Scheduled")
        case CampaignStatus.RUNNING:
            return _("Running")
        case CampaignStatus.REACHED:
            return _("Running, and the goal is reached")
        case CampaignStatus.ENDED:
            return _("Ended")
        case CampaignStatus.ARCHIVED:
            return _("In the archive")


def _labels() -> dict[str, str]:
    """What the form calls its fields."""
    return {
        "slug": _("Address"),
        "goal": _("Goal"),
        "headline_en": _("Headline in English"),
        "headline_uk": _("Headline in Ukrainian"),
        "message_en": _("Message in English"),
        "message_uk": _("Message in Ukrainian"),
        "counts": _("Whom it counts"),
        "starts_at": _("Start"),
        "deadline": _("Deadline"),
        "tiers": _("Memberships on offer"),
        "default_tier": _("Chosen beforehand"),
        "default_currency": _("Currency chosen beforehand"),
        "sites": _("Your sites"),
    }
