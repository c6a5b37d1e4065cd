"""Public gift pages: buy a gift, thanks, and the card to print."""

from __future__ import annotations

import io
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import segno
from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import force_locale, ngettext

from fundraiser import db
from fundraiser.campaigns.progress import current_campaign, find_campaign
from fundraiser.config import current_settings
from fundraiser.errors import BadRequestError, NotFoundError, UnavailableError, UnprocessableError
from fundraiser.joining import views
from fundraiser.joining.gifts import (
    days_to_choose,
    gift_wish_of,
    read_gift,
)
from fundraiser.joining.join import switched
from fundraiser.joining.offers import Switch, currency_switches, gift_offers
from fundraiser.joining.proof_page import ask_first
from fundraiser.joining.thanks import came_back_unpaid, say_came_back
from fundraiser.members.gifts import YEARS, code_of, giver_of, read_card, recipient_of
from fundraiser.members.models import Interval
from fundraiser.newsroom.maintenance import closed_notice
from fundraiser.payments import allow_hosted_pages, current_gateway, lead_to
from fundraiser.payments.checkout import CURRENCIES, begin_gift, offered_tiers
from fundraiser.payments.models import Tier
from fundraiser.security import check_origin, cookieless, new_nonce, public
from fundraiser.texts import LANGUAGES, by_language, gettext as _, keep_language

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask.typing import ResponseReturnValue

    from fundraiser.campaigns.models import Campaign
    from fundraiser.joining.gifts import GiftWish

blueprint = Blueprint("gifts", __name__)
blueprint.url_defaults(keep_language)


@blueprint.get("/gift")
@public
def choose() -> ResponseReturnValue:
    """The gift page: yearly tiers and the recipient; ``canceled``: back from Stripe."""
    session = db.session()
    if name := request.args.get("canceled"):
        checkout = views.checkout_named(name)
        unpaid = came_back_unpaid(session, current_gateway(), checkout)
        if unpaid is False:
            return redirect(url_for(".thanks", session_id=checkout.session_id))
        found = find_campaign(session, checkout.campaign)
        return _page(found, gift_wish_of(checkout), notice=say_came_back(unpaid))
    slug = request.args.get("campaign")
    asked = find_campaign(session, slug) if slug else current_campaign(session)
    if asked is None:
        return render_template("joining/not_open.html")
    wish = read_gift(request.args, asked, offered_tiers(session, asked.tiers))
    status = HTTPStatus.UNPROCESSABLE_ENTITY if wish.errors else HTTPStatus.OK
    return _page(asked, wish), status


@blueprint.post("/gift")
@cookieless
def start_payment() -> ResponseReturnValue:
    """Redirect to Stripe Checkout, or show the form again: with errors, or after a switch."""
    check_origin()
    nonce = request.form.get("nonce", "")
    if len(nonce) not in views.NONCE_LENGTHS:
        raise BadRequestError(_("Part of this form is missing. Open the gift page again."))
    session = db.session()
    found = find_campaign(session, request.form.get("campaign", ""))
    tiers = offered_tiers(session, found.tiers)
    if "switch" in request.form:
        wish = read_gift(switched(request.form), found, tiers)
        wish.errors.clear()
        return _page(found, wish)
    wish = read_gift(request.form, found, tiers)
    choice = wish.as_choice()
    if not wish.errors:
        if page := ask_first(session):
            return page
        public_url = current_settings().public_url
        try:
            address = begin_gift(session, current_gateway(), choice, nonce, public_url)
            return lead_to(session, address)
        except UnprocessableError as error:
            wish.errors[error.field or "tier"] = error.sentence
        except UnavailableError as error:
            return _page(found, wish, notice=error.sentence), error.status
    return _page(found, wish), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.get("/gift/thanks")
@public
def thanks() -> ResponseReturnValue:
    """The result of the payment, with the code and card."""
    return views.thanks()


@blueprint.get("/gift/card/<key>")
@public
def card(key: str) -> ResponseReturnValue:
    """The card to print, by default in the recipient's language."""
    gift = read_card(db.session(), key)
    tier = db.session().get(Tier, gift.tier)
    chosen = request.args.get("lang")
    with force_locale(chosen if chosen in LANGUAGES else gift.language):
        return render_template(
            "joining/gift_card.html",
            gift=gift,
            giver=giver_of(gift),
            recipient=recipient_of(gift),
            code=code_of(gift),
            key=key,
            tier=by_language(tier.names) if tier else "",
            redeem_at=f"{current_settings().public_url}/gift/redeem".partition("://")[2],
        )


@blueprint.get("/gift/card/<key>/code.svg")
@public
def picture(key: str) -> ResponseReturnValue:
    """The code as a QR code that opens the redemption page with the code filled in."""
    code = code_of(read_card(db.session(), key))
    if code is None:
        raise NotFoundError(_("There’s no such picture."))
    image = io.BytesIO()
    address = f"{current_settings().public_url}/gift/redeem#{code}"
    segno.make(address, error="m").save(image, kind="svg", scale=4, border=0)
    return image.getvalue(), {"Content-Type": "image/svg+xml"}


def _page(found: Campaign, wish: GiftWish, *, notice: str | None = None) -> str:
    tiers = offered_tiers(db.session(), found.tiers)
    first, last = days_to_choose()
    allow_hosted_pages(db.session())

    def in_language(code: str) -> str:
        query: dict[str, Any] = wish.as_query() | {"lang": code}
        return url_for(".choose", **query)

    return render_template(
        "joining/gift.html",
        wish=wish,
        in_language=in_language,
        notice=notice or closed_notice(db.session()),
        offers=gift_offers(tiers, wish.years, wish.currency, wish.tier),
        years=[
            Switch(
                ngettext("%(num)s year", "%(num)s years", years),
                f"years={years}",
                years == wish.years,
            )
            for years in YEARS
        ],
        currencies=currency_switches(wish.currency, "currency={}".format, _sold_by_the_year(tiers)),
        hidden=wish.as_query() | {"nonce": new_nonce()},
        languages=LANGUAGES,
        first_day=first.isoformat(),
        last_day=last.isoformat(),
        **views.figures_of(found),
    )


def _sold_by_the_year(tiers: Sequence[Tier]) -> list[str]:
    sold = {
        price.currency for tier in tiers for price in tier.prices if price.interval is Interval.YEAR
    }
    return [currency for currency in CURRENCIES if currency in sold]
