"""Members' account pages: overview, and changes to a membership."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.account import changes, labels, methods, notices
from fundraiser.account.asked import say_asked
from fundraiser.account.changes import Notice, find_membership, pauses_of
from fundraiser.account.sessions import (
    for_members,
    form_token,
    form_token_here,
    sessions_of,
    signed_in,
    signed_in_member,
)
from fundraiser.campaigns.models import Campaign
from fundraiser.campaigns.progress import current_campaign
from fundraiser.config import current_settings
from fundraiser.db import checkpoint, current_database, now
from fundraiser.errors import NotFoundError, UnavailableError, UnprocessableError
from fundraiser.joining.offers import money, offers, symbol
from fundraiser.members.email_links import read_membership
from fundraiser.members.invitations import count_invited
from fundraiser.members.models import SOLD, Interval, Membership
from fundraiser.members.payment_methods import pays_by_card
from fundraiser.outbox import Topic, wants
from fundraiser.payments import BankRefusedError, Terms, allow_hosted_pages, lead_to, member_gateway
from fundraiser.payments.amounts import LONGEST_AMOUNT, read_amount
from fundraiser.payments.checkout import LEAST, Choice, offered_tiers, priced, tier_for
from fundraiser.payments.intents import IntentKind
from fundraiser.payments.models import Payment, Tier
from fundraiser.payments.products import our_products
from fundraiser.payments.queue import request_sync
from fundraiser.payments.settlement import settle
from fundraiser.payments.statement import read_statement, years_of
from fundraiser.payments.vat import vat_line
from fundraiser.security import check_origin, cookieless, new_nonce, public
from fundraiser.texts import LANGUAGES, Named, gettext as _, keep_language, language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.payments import Preview

blueprint = Blueprint("account", __name__)
blueprint.url_defaults(keep_language)


@blueprint.before_request
def _lead_to_the_portal() -> None:
    """Allow the forms of these pages to lead to Stripe's portal."""
    allow_hosted_pages(db.session())


_LATEST = 1 << 33  # seconds since 1970: the year 2242
_PREVIEW_HOLDS = timedelta(hours=1)
_LONGEST_COMMENT = 500


@blueprint.app_context_processor
def _in_templates() -> dict[str, object]:
    return {"member_form_token": form_token_here}


@blueprint.get("/account")
@for_members
def overview() -> ResponseReturnValue:
    """The account overview."""
    session, member, current = db.session(), signed_in_member(), signed_in()
    notice, current.notice = current.notice, None
    payments = session.scalars(
        select(Payment).where(Payment.member_id == member.id).order_by(Payment.paid_at.desc())
    ).all()
    return render_template(
        "account/overview.html",
        member=member,
        memberships=[labels.say(session, found) for found in changes.running(session, member)],
        payments=[labels.say_payment(found) for found in payments],
        years=years_of(session, member.id, current_settings().newsroom_timezone),
        gifts=labels.say_gifts(session, member),
        notice=_said(session, notice) if notice else None,
        notice_name=notice.partition(":")[0] if notice else None,
        asked=say_asked(session, member),
        token=form_token(),
        sessions=sessions_of(session, member),
        here=current.id,
        invited=count_invited(session, member),
        languages=LANGUAGES,
        supporters=labels.supporters(member),
        wants_news=wants(session, member.id, Topic.CAMPAIGN),
    )


@blueprint.get("/account/payments/<int:payment_id>")
@for_members
def receipt(payment_id: int) -> ResponseReturnValue:
    """Our own receipt to print, with a link to Stripe's if Stripe answers."""
    found = db.session().get(Payment, payment_id)
    if found is None or found.member_id != signed_in().member_id:
        raise NotFoundError(_("We can’t find this payment in your account."))
    checkpoint(db.session())
    try:
        at_stripe = member_gateway().receipt_address(found.charge_id)
    except (UnavailableError, NotFoundError):
        at_stripe = None
    return render_template(
        "account/receipt.html",
        member=signed_in_member(),
        payment=labels.say_payment(found),
        reference=found.charge_id,
        vat=vat_line(found),
        at_stripe=at_stripe,
    )


@blueprint.get("/account/statements/<int:year>")
@for_members
def statement(year: int) -> ResponseReturnValue:
    """A year's payments, to print."""
    member, zone = signed_in_member(), current_settings().newsroom_timezone
    return render_template(
        "account/statement.html",
        member=member,
        statement=read_statement(db.session(), member.id, year, zone),
        said=labels.say_payment,
    )


@blueprint.route("/account/memberships/<int:membership_id>/cancellation", methods=["GET", "POST"])
@for_members
def cancellation(membership_id: int) -> ResponseReturnValue:
    """Cancel: one page, one question, an optional reason."""
    membership = _mine(membership_id)
    if request.method == "POST":
        return _note(_stop(membership))
    return _page(
        "cancellation.html",
        membership,
        reasons=labels.reasons(),
        action=url_for(".cancellation", membership_id=membership_id),
    )


@blueprint.post("/account/memberships/<int:membership_id>/resumption")
@for_members
def resumption(membership_id: int) -> ResponseReturnValue:
    """Undo a cancellation or a pause."""
    return _note(_resume(_mine(membership_id)))


@blueprint.route("/account/memberships/<int:membership_id>/pause", methods=["GET", "POST"])
@for_members
def pause(membership_id: int) -> ResponseReturnValue:
    """Pause payments for some months."""
    membership = _mine(membership_id)
    pauses = {months: _pause_until(membership, months) for months in pauses_of(membership)}
    if request.method == "GET":
        begins = membership.period_end
        return _page("pause.html", membership, months=pauses.items(), begins=begins)
    until = pauses.get(request.form.get("months", 0, type=int))
    if until is None:
        raise UnprocessableError(_("Choose how long to pause."))
    notice = changes.change(
        db.session(),
        member_gateway(),
        membership,
        request.form.get("seen", ""),
        kind=IntentKind.PAUSE,
        key=_key(),
        details={"until": int(until.timestamp())},
    )
    return _note(notice, membership)


@dataclass(slots=True)
class Wish:
    """The price that a member wants; ``typed`` is the amount as typed."""

    tier: str
    interval: Interval
    typed: str = ""


@blueprint.get("/account/memberships/<int:membership_id>/price")
@for_members
def price(membership_id: int) -> ResponseReturnValue:
    """Choose another tier, amount or interval, and preview the result."""
    membership = _mine(membership_id)
    wish = _wish(membership)
    if "tier" not in request.args:
        return _price_page(membership, wish)
    return _preview_page(membership, wish)


@blueprint.post("/account/memberships/<int:membership_id>/price")
@for_members
def change_price(membership_id: int) -> ResponseReturnValue:
    """Make the previewed change, with the preview's amounts."""
    membership = _mine(membership_id)
    wish = _wish(membership)
    seconds = request.form.get("at", 0, type=int)
    at = datetime.fromtimestamp(seconds if 0 <= seconds < _LATEST else 0, UTC)
    if not now() - _PREVIEW_HOLDS <= at <= now() + timedelta(minutes=1):
        return _preview_page(
            membership,
            wish,
            notice=_(
                "The figures you saw were over an hour old, so we haven’t changed anything. "
                "Here they are again."
            ),
        )
    try:
        terms = _terms(membership, wish)
        notice = changes.change(
            db.session(),
            member_gateway(),
            membership,
            request.form.get("seen", ""),
            kind=IntentKind.PRICE,
            key=_key(),
            details={"terms": terms.as_json(), "tier": wish.tier, "at": seconds},
        )
    except UnprocessableError as error:
        db.session().rollback()
        if isinstance(error, BankRefusedError) and not pays_by_card(membership):
            error = UnprocessableError(labels.refused())
        return _price_page(membership, wish, error=error), error.status
    if notice is Notice.CHANGED and not _is_paid_already(membership, terms, wish):
        # The payment waits for the bank, and the change for the payment.
        notice = Notice.TO_CONFIRM
    return _note(notice, membership)


@blueprint.post("/account/memberships/<int:membership_id>/card")
@for_members
def card(membership_id: int) -> ResponseReturnValue:
    """Redirect to Stripe's page for a new payment method; we never see card numbers."""
    membership = _mine(membership_id)
    was, overdue = methods.before_the_portal(db.session(), member_gateway(), membership)
    path = url_for(".card_changed", membership_id=membership_id, was=was, overdue=overdue)
    back = current_settings().public_url + path
    checkpoint(db.session())
    portal = member_gateway().open_portal(membership.customer_id or "", back)
    return lead_to(db.session(), portal)


@blueprint.get("/account/memberships/<int:membership_id>/card")
@for_members
def card_changed(membership_id: int) -> ResponseReturnValue:
    """Back from Stripe's page: sync, so that the new method pays from now on."""
    membership = _mine(membership_id)
    visit = methods.Visit.began(db.session(), membership, request.args)
    grace, customer_id = current_settings().grace, membership.customer_id or ""
    checkpoint(db.session())
    try:
        settle(current_database(), member_gateway(), grace, customer_id, cause_ref="account")
    except UnavailableError:
        request_sync(db.session(), customer_id)
        return _note(Notice.UNKNOWN)
    return _note(methods.after_the_portal(db.session(), membership, visit), membership)


@blueprint.route("/account/letter/<key>", methods=["GET", "POST"])
@cookieless
def by_email(key: str) -> ResponseReturnValue:
    """Cancel or resume through an e-mailed link, without signing in; opening it does nothing."""
    membership = read_membership(db.session(), key)
    if request.method == "GET":
        return _page(
            "by_email.html",
            membership,
            reasons=labels.reasons(),
            action=url_for(".by_email", key=key),
        )
    check_origin()
    goes_on = request.form.get("what") == "resume"
    notice = _resume(membership) if goes_on else _stop(membership)
    return render_template(
        "account/done.html",
        notice=notices.notice(notice),
        notice_name=notice,
        membership=labels.say(db.session(), membership),
    )


@blueprint.get("/terms")
@public
def terms() -> ResponseReturnValue:
    """The terms of membership, and the right to withdraw."""
    return render_template("account/terms.html", mail_from=current_settings().mail_from)


def _mine(membership_id: int) -> Membership:
    return find_membership(db.session(), signed_in_member(), membership_id)


def _key() -> str:
    return request.form.get("key", "")[:100]


def _note(notice: Notice, membership: Membership | None = None) -> ResponseReturnValue:
    """Redirect to the overview with a notice, which may be about the membership."""
    is_about = membership and notice in notices.ABOUT_MEMBERSHIP
    signed_in().notice = f"{notice}:{membership.id}" if membership and is_about else notice
    return redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER)


def _said(session: Session, notice: str) -> str:
    name, _colon, membership_id = notice.partition(":")
    about = session.get(Membership, int(membership_id)) if membership_id else None
    what = Notice(name)
    return notices.notice_about(session, what, about) if about else notices.notice(what)


def _stop(membership: Membership) -> Notice:
    reason = request.form.get("reason", "")
    return changes.stop(
        db.session(),
        member_gateway(),
        membership,
        request.form.get("seen", ""),
        reason=reason if reason in labels.reasons() else None,
        comment=request.form.get("comment", "").strip()[:_LONGEST_COMMENT],
        key=_key(),
    )


def _resume(membership: Membership) -> Notice:
    return changes.resume(
        db.session(), member_gateway(), membership, request.form.get("seen", ""), key=_key()
    )


def _page(name: str, membership: Membership, **values: object) -> str:
    return render_template(
        f"account/{name}",
        membership=labels.say(db.session(), membership),
        hidden={"seen": changes.seen(membership), "key": new_nonce()},
        token=None if name == "by_email.html" else form_token(),
        **values,
    )


def _months_from(day: datetime, months: int) -> datetime:
    """The same day some months later, or that month's last day."""
    years, month = divmod(day.month - 1 + months, 12)
    last = monthrange(day.year + years, month + 1)[1]
    return day.replace(year=day.year + years, month=month + 1, day=min(day.day, last))


def _pause_until(membership: Membership, months: int) -> datetime:
    """The end of a pause that starts when what is paid for ends: a day before a payment."""
    return _months_from(membership.period_end or now(), months) - timedelta(days=1)


def _wish(membership: Membership) -> Wish:
    values = request.form if request.method == "POST" else request.args
    interval = values.get("interval", "")
    return Wish(
        tier=values.get("tier") or membership.tier or "",
        interval=Interval(interval) if interval in SOLD else membership.interval or Interval.MONTH,
        typed=values.get("amount", "").strip()[: 2 * LONGEST_AMOUNT],
    )


def _terms(membership: Membership, wish: Wish) -> Terms:
    """The chosen price in Stripe's terms.

    Raises:
        UnprocessableError: it isn't available.
    """
    amount = read_amount(wish.typed, membership.currency) if wish.typed else None
    tiers = _offered(membership)
    tier, found, amount = priced(
        db.session(),
        Choice(
            campaign=membership.campaign or "",
            tier=tier_for(tiers, wish.tier, wish.interval, membership.currency, amount),
            interval=wish.interval,
            currency=membership.currency,
            amount=amount,
            cover_fee=False,
            language=language(),
            ref=None,
            return_url=None,
        ),
    )
    if tier.product_id is None:
        raise UnprocessableError(_("Choose one of the memberships on offer."), field="tier")
    return Terms(
        product_id=tier.product_id,
        price_id=found.stripe_id if found else None,
        amount=amount,
        currency=membership.currency,
        interval=wish.interval,
        # Less is paid from the next payment on: nothing is taken for it, and nothing is lost.
        at_once=wish.interval != membership.interval or amount > _listed(membership),
        ours=frozenset(our_products(db.session())),
        discounted=_listed(membership) != membership.amount,
    )


def _offered(membership: Membership) -> list[Tier]:
    session = db.session()
    campaign = session.get(Campaign, membership.campaign) if membership.campaign else None
    campaign = campaign or current_campaign(session)
    return offered_tiers(session, campaign.tiers if campaign else [])


def _listed(membership: Membership) -> int:
    """The price before discounts."""
    return membership.amount if membership.price is None else membership.price


def _is_paid_already(membership: Membership, terms: Terms, wish: Wish) -> bool:
    return (terms.amount, terms.interval, wish.tier) == (
        _listed(membership),
        membership.interval,
        membership.tier,
    )


def _price_page(
    membership: Membership,
    wish: Wish,
    *,
    error: UnprocessableError | None = None,
    notice: str | None = None,
    preview: Preview | None = None,
    terms: Terms | None = None,
    at: datetime | None = None,
) -> str:
    tiers = _offered(membership)
    intervals = {Interval.MONTH: _("Monthly"), Interval.YEAR: _("Yearly")}
    return _page(
        "price.html",
        membership,
        wish=wish,
        error=error,
        notice=notice,
        intervals=intervals,
        offers=offers(tiers, wish.interval, membership.currency, wish.tier),
        symbol=symbol(membership.currency),
        least=money(LEAST[wish.interval], membership.currency),
        change=labels.say_change(membership, terms, preview) if terms and preview else None,
        at=int(at.timestamp()) if at else None,
        membership_id=membership.id,
    )


def _preview_page(
    membership: Membership, wish: Wish, *, notice: str | None = None
) -> ResponseReturnValue:
    at = now().replace(microsecond=0)
    try:
        terms = _terms(membership, wish)
        if _is_paid_already(membership, terms, wish):
            sentence = Named("paid-already", _("You already pay this. Choose something else."))
            error = UnprocessableError(sentence, field="amount")
            return _price_page(membership, wish, error=error), error.status
        checkpoint(db.session())
        preview = member_gateway().preview(membership.reference, terms, at)
    except UnprocessableError as error:
        return _price_page(membership, wish, error=error), error.status
    except UnavailableError as error:
        return _price_page(membership, wish, notice=str(error)), error.status
    return _price_page(membership, wish, notice=notice, preview=preview, terms=terms, at=at)
