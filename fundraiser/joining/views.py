"""Public pages: campaign, join, thanks, and how we count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote
from uuid import UUID

import structlog
from flask import (
    Blueprint,
    after_this_request,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import force_locale
from sqlalchemy.exc import OperationalError, TimeoutError as NoConnectionError

from fundraiser import db
from fundraiser.addresses import read_url
from fundraiser.campaigns.chart import line_chart
from fundraiser.campaigns.models import Campaign, CampaignStatus, Counts
from fundraiser.campaigns.picture import find_picture
from fundraiser.campaigns.progress import (
    current_campaign,
    find_campaign,
    read_progress,
)
from fundraiser.campaigns.public_progress import read_milestones, read_series, thinned
from fundraiser.config import current_settings
from fundraiser.errors import BadRequestError, NotFoundError, UnavailableError, UnprocessableError
from fundraiser.joining.how_we_count import rule_in_words
from fundraiser.joining.join import (
    Wish,
    led_back,
    one_later,
    read_utm,
    read_wish,
    return_address,
    site_alone,
    switched,
    wish_of,
)
from fundraiser.joining.offers import (
    currencies_sold,
    currency_switches,
    fee_examples,
    interval_switches,
    keep_short_words,
    money,
    offers,
    suggestions,
    symbol,
)
from fundraiser.joining.proof_page import ask_first
from fundraiser.joining.reminders import remember_join
from fundraiser.joining.states import message_after, state_of
from fundraiser.joining.thanks import (
    Outcome,
    came_back_unpaid,
    find_confirmation,
    find_outcome,
    say_came_back,
    say_thanks,
)
from fundraiser.members.consents import MOST_COUNTED, count_named, read_named
from fundraiser.members.eligibility import RULE
from fundraiser.members.invitations import find_inviter, name_of_inviter
from fundraiser.members.ledger import joined_since, read_balance
from fundraiser.members.models import Interval
from fundraiser.money import CARD_FEES, decimals
from fundraiser.newsroom.maintenance import Stopped, closed_notice, is_stopped
from fundraiser.payments import allow_hosted_pages, current_gateway, lead_to
from fundraiser.payments.checkout import (
    CURRENCIES,
    LEAST,
    begin_checkout,
    begun_checkout,
    find_checkout,
    offered_tiers,
)
from fundraiser.payments.models import Checkout, CheckoutKind
from fundraiser.security import check_origin, cookieless, network_hash, new_nonce, public
from fundraiser.sources.overview import count_by_source
from fundraiser.texts import (
    LANGUAGES,
    Named,
    by_language,
    date,
    date_and_time,
    gettext as _,
    keep_language,
    language,
)

if TYPE_CHECKING:
    from flask import Response
    from flask.typing import ResponseReturnValue

log = structlog.get_logger()
blueprint = Blueprint("campaigns", __name__)
blueprint.add_app_template_filter(keep_short_words)
blueprint.url_defaults(keep_language)

NONCE_LENGTHS = range(16, 65)
_MOST_LOOKS = 20
_SOON, _LATER = 3, 60  # seconds until the thanks page looks again
_NAMES = 240  # on one page
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@blueprint.get("/")
@public
def home() -> ResponseReturnValue:
    found = current_campaign(db.session())
    return _campaign_page(found) if found else _not_open()


@blueprint.get("/campaigns")
@public
def campaigns() -> ResponseReturnValue:
    """Where whoever cuts a campaign's address short gets: to the current one."""
    return redirect(url_for(".home", lang=request.args.get("lang")))


@blueprint.get("/campaigns/<slug>")
@public
def campaign(slug: str) -> ResponseReturnValue:
    return _campaign_page(find_campaign(db.session(), slug))


@blueprint.get("/campaigns/<slug>/members")
@public
def public_progress(slug: str) -> ResponseReturnValue:
    """The curve, the milestones, and the supporters' names.

    Browsers and caches keep it but ask each time, so a withdrawn name disappears at the next
    request.
    """
    session = db.session()
    found = find_campaign(session, slug)
    figures = figures_of(found)
    progress = figures["progress"]
    zone = current_settings().newsroom_timezone
    series = read_series(session, zone, found, progress)
    names, more = read_named(session, _read_moment(request.args.get("before")), _NAMES)
    response = make_response(
        render_template(
            "joining/progress.html",
            chart=line_chart(series, end=found.deadline, goal=progress.goal, projected=None)
            if series
            else None,
            gained=series[-1][1] - series[0][1] if series else 0,
            table=thinned(series),
            milestones=read_milestones(session, found, progress) if series else None,
            names=names,
            named=count_named(session),
            most_counted=MOST_COUNTED,
            older_url=url_for(
                ".public_progress", slug=slug, before=_write_moment(more), _anchor="names"
            )
            if more
            else None,
            is_first="before" not in request.args,
            **figures,
        )
    )
    response.vary.add("Accept-Language")
    response.add_etag()
    return response.make_conditional(request)


@blueprint.get("/campaigns/<slug>/pictures/<name>.jpg")
@public
def picture(slug: str, name: str) -> ResponseReturnValue:
    """The campaign's picture, whose address changes with it."""
    found = find_picture(db.session(), slug)
    if found is None or found.name != name:
        raise NotFoundError(_("There’s no such picture."))
    return found.content, {"Content-Type": "image/jpeg"}


@blueprint.get("/join")
@public
def join() -> ResponseReturnValue:
    """The join page with the URL's choices; ``canceled``: back from Stripe."""
    session = db.session()
    if name := request.args.get("canceled"):
        checkout = checkout_named(name)
        unpaid = came_back_unpaid(session, current_gateway(), checkout)
        if unpaid is False:
            return redirect(url_for(".thanks", session_id=checkout.session_id))
        found = find_campaign(session, checkout.campaign)
        wish = wish_of(checkout, offered_tiers(session, found.tiers))
        return _join_page(found, wish, notice=say_came_back(unpaid))
    slug = request.args.get("campaign")
    asked = find_campaign(session, slug) if slug else current_campaign(session)
    if asked is None:
        return _not_open()
    values = led_back(request.args, asked, request.referrer)
    wish = read_wish(values, asked, offered_tiers(session, asked.tiers))
    _forget_unknown_inviter(wish)
    if wish.is_astray:
        return _astray(asked, wish)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if wish.errors else HTTPStatus.OK
    return _join_page(asked, wish), status


@blueprint.post("/join")
@cookieless
def start_payment() -> ResponseReturnValue:
    """Redirect to Stripe Checkout, or show the form again: with errors, or after a switch.

    A switch (monthly, yearly; currency) sends the whole form, so that nothing typed is lost. It
    is a POST because the form has an e-mail address, which may stand in no URL.
    """
    check_origin()
    nonce = request.form.get("nonce", "")
    if len(nonce) not in NONCE_LENGTHS:
        raise BadRequestError(_("Part of this form is missing. Open the join page again."))
    session = db.session()
    found = find_campaign(session, request.form.get("campaign", ""))
    tiers = offered_tiers(session, found.tiers)
    if "switch" in request.form:
        wish = read_wish(switched(request.form), found, tiers)
        _forget_unknown_inviter(wish)
        wish.errors.clear()
        return _join_page(found, wish)
    wish = read_wish(request.form, found, tiers)
    _forget_unknown_inviter(wish)
    if wish.is_astray:
        return _astray(found, wish)
    choice = wish.as_choice(tiers)
    if not wish.errors:
        if page := ask_first(session):
            return page
        public_url = current_settings().public_url
        try:
            address = begin_checkout(session, current_gateway(), choice, nonce, public_url)
            if wish.write_to_me and wish.interval:
                begun = begun_checkout(session, choice, nonce)
                remember_join(session, begun, wish.email, network_hash())
            return lead_to(session, address)
        except UnprocessableError as error:
            wish.errors[error.field or "amount"] = error.sentence
        except UnavailableError as error:
            return _join_page(found, wish, notice=error.sentence), error.status
    return _join_page(found, wish), HTTPStatus.UNPROCESSABLE_ENTITY


@blueprint.get("/join/thanks")
@public
def thanks() -> ResponseReturnValue:
    """The result of the payment; while it is unknown, the page reloads itself.

    Everybody here may have just paid. So no error says that nothing happened, or asks them to pay
    again.
    """
    try:
        return _thanks_page()
    except NotFoundError as error:
        raise NotFoundError(_unknown_payment()) from error
    except Exception as error:
        if not isinstance(error, (OperationalError, NoConnectionError)):
            log.exception("thanks_failed")
        after_this_request(_look_again)
        raise UnavailableError(
            Named(
                "dont-pay-again",
                _(
                    "We can’t look up your payment at the moment. Don’t pay again: if "
                    "you’ve paid, your payment isn’t lost, and we’ll e-mail you. This "
                    "page checks again automatically."
                ),
            )
        ) from error


def _look_again(response: Response) -> Response:
    response.headers["Refresh"] = str(_LATER // 4)
    return response


def _thanks_page() -> str:
    session = db.session()
    checkout = find_checkout(session, request.args.get("session_id", ""))
    grace = current_settings().grace
    outcome = find_outcome(session, current_gateway(), grace, checkout)
    confirm_url = None
    if outcome is Outcome.WAITING:
        found_out = find_confirmation(session, current_gateway(), checkout)
        confirm_url = found_out.address
        if confirm_url:
            outcome = Outcome.CONFIRM
        elif found_out.has_failed:
            outcome = Outcome.NOT_PAID
    looks = min(request.args.get("looks", 0, type=int), _MOST_LOOKS)
    again = outcome in {Outcome.NOT_PAID, Outcome.ENDED}
    found = find_campaign(session, checkout.campaign)
    chosen = request.args.get("lang")
    with force_locale(chosen if chosen in LANGUAGES else checkout.language):
        return render_template(
            "joining/thanks.html",
            thanks=say_thanks(session, checkout, outcome),
            confirm_url=confirm_url,
            again_url=_again(found, checkout) if again else None,
            back_url=return_address(
                checkout, joined=outcome in {Outcome.JOINED, Outcome.IN_PROCESS}
            ),
            back_site=site_alone(checkout),
            look_again_url=url_for(
                request.endpoint or "", session_id=checkout.session_id, looks=looks + 1
            )
            if outcome is Outcome.WAITING
            else None,
            look_again_after=_SOON if looks < _MOST_LOOKS else _LATER,
            **figures_of(found),
        )


@blueprint.get("/how-we-count")
@public
def how_we_count() -> ResponseReturnValue:
    session = db.session()
    balance = read_balance(session)
    found = current_campaign(session)
    return render_template(
        "joining/how_we_count.html",
        rule=RULE,
        rule_in_words=rule_in_words(current_settings().grace_days),
        members=balance.members,
        version=balance.version,
        sources=count_by_source(session, current_settings()),
        as_of=date_and_time(balance.changed_at),
        **(figures_of(found) if found else {}),
    )


def _not_open() -> ResponseReturnValue:
    """The page before the first campaign, or when all are archived."""
    return render_template("joining/not_open.html")


def checkout_named(name: str) -> Checkout:
    """Find the checkout whose ID is in Stripe's return URL.

    Raises:
        NotFoundError: it isn't ours.
    """
    try:
        found = db.session().get(Checkout, UUID(hex=name))
    except ValueError:
        found = None
    if found is None:
        raise NotFoundError(_unknown_payment())
    return found


def _unknown_payment() -> str:
    return Named(
        "payment-not-found",
        _(
            "We can’t find a payment at this address. If you’ve paid, your payment isn’t lost, and "
            "we’ll e-mail you. Don’t pay again; write to us if no e-mail arrives."
        ),
    )


def _campaign_page(found: Campaign) -> str:
    values = led_back(request.args, found, request.referrer)
    wish = read_wish({name: values.get(name, "") for name in ("invite", "return")}, found, [])
    _forget_unknown_inviter(wish)
    wish.utm = read_utm(values)
    if values.get("interval") == Interval.YEAR:
        wish.interval = Interval.YEAR
    if (wanted := values.get("currency")) in CARD_FEES:
        wish.currency = wanted
    interval = wish.interval or Interval.MONTH
    tiers = offered_tiers(db.session(), found.tiers)

    def here(**changed: str) -> str:
        query: dict[str, Any] = {"interval": interval, "currency": wish.currency}
        query |= {"invite": wish.invite, "utm": wish.utm, "return": wish.return_url, **changed}
        return url_for(request.endpoint or ".home", **(request.view_args or {}), **query)

    def join_address(**changed: str) -> str:
        return _join_address(wish, changed)

    public_url = current_settings().public_url
    canonical = f"{public_url}/campaigns/{found.slug}"
    shared = f"{canonical}?lang={language()}"
    return render_template(
        "joining/campaign.html",
        interval=interval,
        offers=offers(tiers, interval, wish.currency, found.default_tier),
        intervals=interval_switches(interval, lambda to: here(interval=to), tiers, with_once=False),
        currencies=currency_switches(
            wish.currency, lambda to: here(currency=to), currencies_sold(tiers)
        ),
        picture=find_picture(db.session(), found.slug),
        caption=by_language(found.captions) if found.captions else "",
        reasons=by_language(found.reasons).splitlines() if found.reasons else [],
        join_address=join_address,
        # What the address says, but for the tier: the form's own fields replace its query.
        join_query=[
            pair for pair in parse_qsl(read_url(join_address()).query) if pair[0] != "tier"
        ],
        canonical=canonical,
        shared=shared,
        invited_by=_inviter_in_words(wish),
        oembed=f"{public_url}/oembed?url={quote(shared, safe='')}&format=json",
        **figures_of(found),
    )


def _join_page(found: Campaign, wish: Wish, *, notice: str | None = None) -> str:
    interval = wish.interval or Interval.MONTH
    tiers = offered_tiers(db.session(), found.tiers)
    allow_hosted_pages(db.session())
    offered = offers(tiers, interval, wish.currency, wish.tier)
    hidden = {
        name: value
        for name, value in wish.as_query().items()
        if name != "tier" or wish.interval is None
    }
    least = LEAST[wish.interval]

    return render_template(
        "joining/join.html",
        wish=wish,
        in_language=lambda code: _join_address(wish, {"lang": code}),
        notice=notice or closed_notice(db.session()),
        invited_by=_inviter_in_words(wish),
        once=wish.interval is None,
        interval=interval,
        offers=offered,
        suggested=suggestions(tiers, wish.interval, wish.currency),
        hidden=hidden | {"nonce": new_nonce()},
        intervals=interval_switches(wish.interval, "interval={}".format, tiers, with_once=True),
        # Who gives once has no price to choose by, and may give in each of them.
        currencies=currency_switches(
            wish.currency,
            "currency={}".format,
            currencies_sold(tiers) if wish.interval else CURRENCIES,
        ),
        symbol=symbol(wish.currency),
        digits=decimals(wish.currency),
        least=least,
        least_money=money(least, wish.currency),
        fee_rate=CARD_FEES[wish.currency],
        fee_hint=fee_examples([offer.amount for offer in offered], wish.currency),
        next_payment=_next_payment(interval),
        **figures_of(found),
    )


def _forget_unknown_inviter(wish: Wish) -> None:
    """Drop an unknown or disabled invitation from the request."""
    if find_inviter(db.session(), wish.invite) is None:
        wish.invite = None


def _inviter_in_words(wish: Wish) -> str | None:
    """The inviter, by name if that member agreed."""
    inviter = find_inviter(db.session(), wish.invite)
    if inviter is None:
        return None
    name = name_of_inviter(db.session(), inviter)
    return (
        _("%(name)s invites you to become a member.", name=name)
        if name
        else Named("unnamed", _("A member invites you to join."))
    )


def _write_moment(at: datetime) -> int:
    """Format a time for a URL, to the microsecond."""
    return (at - _EPOCH) // _MICROSECOND


def _read_moment(text: str | None) -> datetime | None:
    try:
        return _EPOCH + int(text) * _MICROSECOND if text else None
    except (ValueError, OverflowError):
        return None


def _astray(found: Campaign, wish: Wish) -> ResponseReturnValue:
    """The join page with a notice: we can't lead the reader back to an unlisted site."""
    notice = Named(
        "astray",
        _(
            "You can continue here. We can’t bring you back afterwards, because the "
            "site you came from isn’t on this campaign’s list."
        ),
    )
    return _join_page(found, wish, notice=notice), HTTPStatus.BAD_REQUEST


def _join_address(wish: Wish, changed: dict[str, str]) -> str:
    query: dict[str, Any] = wish.as_query() | changed
    return url_for(".join", **query)


def _again(found: Campaign, checkout: Checkout) -> str:
    if checkout.kind is CheckoutKind.GIFT:
        return url_for("gifts.choose", canceled=checkout.id.hex)
    wish = wish_of(checkout, offered_tiers(db.session(), found.tiers))
    return _join_address(wish, {"amount": wish.amount} if wish.amount else {})


def _next_payment(interval: Interval) -> str:
    following = one_later(db.now().astimezone(current_settings().newsroom_timezone), interval)
    return date(following, "d MMMM" if interval is Interval.MONTH else "long")


def figures_of(found: Campaign) -> dict[str, Any]:
    """The figures for every page with the number."""
    session = db.session()
    progress = read_progress(session, found)
    counts_now = progress.status in {CampaignStatus.RUNNING, CampaignStatus.REACHED}
    return {
        "headline": by_language(found.headlines),
        # The newsroom's own message asks for help to reach the goal.
        "message": message_after(found, progress) or by_language(found.messages),
        "campaign_state": state_of(found, progress),
        "progress": progress,
        "new_only": found.counts is Counts.NEW,
        "is_checked": is_stopped(session, Stopped.NUMBER),
        "starts_at": found.starts_at,
        "ends_at": found.deadline,
        "joined_day": joined_since(session, db.now() - timedelta(days=1)) if counts_now else None,
        "joined_week": joined_since(session, db.now() - timedelta(days=7)) if counts_now else None,
    }
