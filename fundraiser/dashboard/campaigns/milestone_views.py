"""Staff page of a campaign's milestones and their webhook."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.campaigns import milestones
from fundraiser.campaigns.forms import WebhookPlan
from fundraiser.campaigns.models import Milestone
from fundraiser.campaigns.outgoing_webhook import secret_of
from fundraiser.campaigns.plan import lock_campaign
from fundraiser.campaigns.progress import find_campaign
from fundraiser.dashboard import labels
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.forms import Form, fingerprint
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.paging import LARGEST_KEY
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.campaigns.models import Campaign

blueprint = Blueprint("milestone_pages", __name__)

_MOST = 100


@blueprint.get("/staff/campaigns/<slug>/milestones")
def index(slug: str) -> str:
    """The campaign's milestones, and whether the site was notified."""
    campaign = find_campaign(db.session(), slug)
    return _page(campaign, Form.blank(WebhookPlan, webhook_url=campaign.webhook_url))


@blueprint.post("/staff/campaigns/<slug>/milestones/hook")
def keep_webhook(slug: str) -> ResponseReturnValue:
    """Save the webhook's URL; an empty one switches it off."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    form = Form.sent(request.form, WebhookPlan)
    plan = form.read(WebhookPlan)
    if plan is None:
        return _page(campaign, form), HTTPStatus.UNPROCESSABLE_ENTITY
    if milestones.keep_webhook(session, campaign, plan.webhook_url):
        record(
            session, Action.CHANGED_WEBHOOK, f"campaign {slug}", staff=staff, fields=("address",)
        )
    flash(
        _("Saved. We’ll notify your site at this address of the next milestone.")
        if campaign.webhook_url
        else _("Saved. We won’t notify your site of milestones.")
    )
    return _back(slug)


@blueprint.post("/staff/campaigns/<slug>/milestones/secret")
def change_secret(slug: str) -> ResponseReturnValue:
    """Create a new signing secret; the same form twice changes it once."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = lock_campaign(session, slug)
    if campaign.webhook_url and request.form.get("seen") == _seen(campaign):
        milestones.change_secret(campaign)
        record(session, Action.CHANGED_WEBHOOK, f"campaign {slug}", staff=staff, fields=("secret",))
    flash(_("There’s a new secret. Enter it on your site: we no longer sign with the old one."))
    return _back(slug)


@blueprint.post("/staff/campaigns/<slug>/milestones/trial")
def try_hook(slug: str) -> ResponseReturnValue:
    """Send a test webhook."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = find_campaign(session, slug)
    if campaign.webhook_url is None:
        raise UnprocessableError(_("Enter your site’s address first."))
    if error := milestones.try_hook(campaign):
        form = Form.blank(WebhookPlan, webhook_url=campaign.webhook_url)
        form.errors["webhook_url"] = labels.webhook_fault(error)
        return _page(campaign, form), HTTPStatus.UNPROCESSABLE_ENTITY
    record(session, Action.TRIED_WEBHOOK, f"campaign {slug}", staff=staff)
    flash(_("Your site received the test message."))
    return _back(slug)


@blueprint.post("/staff/campaigns/<slug>/milestones/<int:milestone_id>/telling")
def tell_again(slug: str, milestone_id: int) -> ResponseReturnValue:
    """Send a failed webhook again."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = find_campaign(session, slug)
    milestone = session.get(Milestone, min(milestone_id, LARGEST_KEY), with_for_update=True)
    if milestone is None or milestone.campaign_slug != slug:
        raise NotFoundError(_("We can’t find this milestone."))
    if campaign.webhook_url is None:
        raise UnprocessableError(_("Enter your site’s address first."))
    milestones.tell_again(session, milestone)
    flash(_("We’re notifying your site. Reload the page in a moment."))
    return _back(slug)


def _page(campaign: Campaign, form: Form) -> str:
    staff = signed_in_staff()
    may_change = may(staff, Permission.CHANGE_CAMPAIGN)
    return render_template(
        "dashboard/milestones.html",
        staff=staff,
        campaign=campaign,
        milestones=milestones.list_milestones(db.session(), campaign.slug, _MOST),
        name_of=milestones.name_of,
        form=form,
        may_change=may_change,
        secret=secret_of(campaign) if campaign.webhook_url and may_change else None,
        seen=_seen(campaign),
    )


def _seen(campaign: Campaign) -> str:
    return fingerprint({"secret": campaign.webhook_salt or ""})


def _back(slug: str) -> ResponseReturnValue:
    return redirect(url_for("milestone_pages.index", slug=slug), HTTPStatus.SEE_OTHER)
