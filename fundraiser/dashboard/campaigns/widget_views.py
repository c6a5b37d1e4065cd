"""The page where staff design the widget, preview it and copy its code."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.campaigns.models import Campaign
from fundraiser.campaigns.progress import current_campaign, find_campaign, read_progress
from fundraiser.campaigns.theme import (
    LEAST_FOR_SHAPES,
    LEAST_FOR_WORDS,
    Theme,
    change_look,
    contrast_of_bar,
    contrast_of_words,
    read_accent,
)
from fundraiser.config import current_settings
from fundraiser.errors import BadRequestError, UnprocessableError
from fundraiser.members.models import SOLD, Interval
from fundraiser.newsroom.audit import Action, record
from fundraiser.newsroom.roles import Permission, may, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.payments.checkout import CURRENCIES, offered_tiers
from fundraiser.texts import LANGUAGES, by_language, gettext as _
from fundraiser.widget.snippets import VARIANTS, Choice, snippets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.typing import ResponseReturnValue

    from fundraiser.payments.models import Tier

blueprint = Blueprint("widget_page", __name__)

_QUESTIONS = ("variant", "theme", "accent", "tier", "interval", "currency", "lang")


@blueprint.get("/staff/widget")
def current() -> ResponseReturnValue:
    """Redirect to the running campaign's page."""
    campaign = current_campaign(db.session())
    if campaign is None:
        return redirect(url_for("campaign_pages.index"))
    return redirect(url_for("widget_page.show", slug=campaign.slug))


@blueprint.get("/staff/campaigns/<slug>/widget")
def show(slug: str) -> ResponseReturnValue:
    """The options in the URL, with the widget and its code."""
    campaign = find_campaign(db.session(), slug)
    return _page(campaign, request.args)


@blueprint.post("/staff/campaigns/<slug>/widget/look")
def keep(slug: str) -> ResponseReturnValue:
    """Save theme and accent for the campaign and all its widgets."""
    session, staff = db.session(), signed_in_staff()
    require(staff, Permission.CHANGE_CAMPAIGN)
    campaign = find_campaign(session, slug)
    choice = _read_choice(request.form, campaign, offered_tiers(session, campaign.tiers))
    before = {"theme": Theme(campaign.theme).value, "accent": campaign.accent}
    after = {"theme": choice.theme.value, "accent": choice.accent}
    try:
        changed = change_look(session, slug, theme=choice.theme, accent=choice.accent)
    except UnprocessableError as error:
        return _page(campaign, request.form, error), HTTPStatus.UNPROCESSABLE_ENTITY
    if changed:
        record(
            session,
            Action.CHANGED_LOOK,
            f"campaign {slug}",
            staff=staff,
            changes={
                name: (old, after[name]) for name, old in before.items() if old != after[name]
            },
        )
        flash(_("Saved. Open pages will show the new look within a minute."), "look-kept")
    else:
        flash(_("The campaign already has this look."))
    chosen = {name: getattr(choice, name) for name in _QUESTIONS}
    return redirect(url_for("widget_page.show", slug=slug, **chosen), HTTPStatus.SEE_OTHER)


def _page(
    campaign: Campaign, asked: Mapping[str, str], error: UnprocessableError | None = None
) -> str:
    session, staff = db.session(), signed_in_staff()
    tiers = offered_tiers(session, campaign.tiers)
    choice = _read_choice(asked, campaign, tiers)
    progress = read_progress(session, campaign)
    return render_template(
        "dashboard/widget.html",
        staff=staff,
        campaign=campaign,
        campaigns=session.scalars(
            select(Campaign).where(Campaign.archived_at.is_(None)).order_by(Campaign.deadline)
        ).all(),
        choice=choice,
        attributes=choice.attributes(campaign),
        tiers={tier.slug: by_language(tier.names) for tier in tiers},
        variants=_variants(),
        themes=_themes(),
        intervals={Interval.MONTH: _("Monthly"), Interval.YEAR: _("Yearly")},
        currencies={currency: currency for currency in CURRENCIES},
        languages={"": _("Same as the page")} | LANGUAGES,
        words_contrast=contrast_of_words(choice.accent),
        bar_contrast=contrast_of_bar(choice.accent),
        least_for_words=LEAST_FOR_WORDS,
        least_for_shapes=LEAST_FOR_SHAPES,
        snippets=snippets(campaign, progress, choice, current_settings().public_url),
        may_keep=may(staff, Permission.CHANGE_CAMPAIGN),
        error=error,
    )


def _read_choice(asked: Mapping[str, str], campaign: Campaign, tiers: list[Tier]) -> Choice:
    """Parse the URL's options, with the campaign's settings as defaults.

    Raises:
        BadRequestError: an option is unknown.
        UnprocessableError: the accent is no colour.
    """

    def one_of(name: str, known: tuple[str, ...], otherwise: str) -> str:
        value = asked.get(name, otherwise)
        if value not in known and value != otherwise:
            raise BadRequestError(_("That option doesn’t exist. Reload the page and choose again."))
        return value

    return Choice(
        variant=one_of("variant", VARIANTS, "card"),
        theme=Theme(one_of("theme", tuple(Theme), campaign.theme)),
        accent=read_accent(asked.get("accent") or campaign.accent),
        tier=one_of("tier", tuple(tier.slug for tier in tiers), campaign.default_tier),
        interval=Interval(one_of("interval", SOLD, Interval.MONTH)),
        currency=one_of("currency", CURRENCIES, campaign.default_currency),
        lang=one_of("lang", tuple(LANGUAGES), ""),
    )


def _variants() -> dict[str, str]:
    return {
        "card": _("Card: the full widget, inside an article"),
        "bar": _("Bar: number, bar and link"),
        "compact": _("Compact: one line, above an article"),
        "counter": _("Counter: just the number, inside a sentence"),
    }


def _themes() -> dict[Theme, str]:
    return {
        Theme.AUTO: _("Same as the page"),
        Theme.LIGHT: _("Light"),
        Theme.DARK: _("Dark"),
    }
