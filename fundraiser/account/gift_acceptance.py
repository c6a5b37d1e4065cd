"""Accept a gift: enter its code, prove an e-mail address, open the account.

Signed-in members need no proof. Each step checks the gift again, and the last one locks it. Until
then the giver may resend the e-mail.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import Blueprint, current_app, make_response, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.account.changes import Notice
from fundraiser.account.sessions import (
    asking_browser,
    begin_session,
    current_session,
    for_members,
    form_token,
    remember_browser,
    signed_in,
    signed_in_member,
)
from fundraiser.config import current_settings
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.forms import read_email
from fundraiser.incidents import Kind, note
from fundraiser.members.addresses import (
    MOST_TRIES,
    Purpose,
    ask,
    find_member_id,
    is_code,
    is_over,
    newest_check,
    take_try,
    use,
)
from fundraiser.members.counting import find_or_add_person
from fundraiser.members.forwarding import TooOftenError
from fundraiser.members.gifts import (
    Gift,
    begins_at,
    check_redeemable,
    check_tries,
    ends_at,
    find_by_code,
    giver_of,
    is_address_key,
    note_wrong_code,
    recipient_of,
    redeem,
    tell_again,
)
from fundraiser.members.models import Membership, fold_address
from fundraiser.payments.models import Tier
from fundraiser.security import (
    check_origin,
    cookieless,
    limit_by_network,
    network_hash,
    new_secret,
    public,
)
from fundraiser.texts import by_language, gettext as _, keep_language, language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from fundraiser.db import Database
    from fundraiser.members.addresses import AddressCheck
    from fundraiser.members.models import Member

blueprint = Blueprint("gift_acceptance", __name__)
blueprint.url_defaults(keep_language)

_DIGITS = re.compile(r"\d{6}")


@blueprint.get("/gift/redeem")
@public
def enter_code() -> ResponseReturnValue:
    """The form for the code, which an e-mailed link fills in from its fragment."""
    return _page("gift_code.html", code="", error=None)


@blueprint.post("/gift/redeem")
@cookieless
@limit_by_network()
def look_at_gift() -> ResponseReturnValue:
    """Show the gift of a code: with a button if signed in, otherwise with an address field."""
    check_origin()
    code = request.form.get("code", "")
    try:
        gift = _gift_of(code)
        if current_session():
            return _offer_to_member(gift, code)
        check_redeemable(gift)
    except UnprocessableError as error:
        return _refuse(error, code)
    if _is_for_newcomer(gift, key := request.form.get("key", "")):
        return _offer_to_newcomer(gift, code, key)
    return _page("gift_address.html", gift=gift, tier=_tier(gift), code=code, email="", error=None)


@blueprint.post("/gift/redeem/acceptance")
@for_members
@limit_by_network()
def accept() -> ResponseReturnValue:
    """Redeem the gift for the signed-in member; a second click is harmless."""
    code = request.form.get("code", "")
    try:
        gift = _gift_of(code)
        _accept(gift, signed_in_member())
    except UnprocessableError as error:
        db.session().rollback()
        return _refuse(error, code)
    signed_in().notice = Notice.GIFT
    return redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER)


@blueprint.post("/gift/redeem/e-mailed")
@cookieless
@limit_by_network()
def accept_from_email() -> ResponseReturnValue:
    """Redeem the gift for the address to which its e-mail went, and sign in."""
    check_origin()
    session, code, key = db.session(), request.form.get("code", ""), request.form.get("key", "")
    try:
        gift = _gift_of(code)
        check_redeemable(gift)
        if not _is_for_newcomer(gift, key):
            return _page(
                "gift_address.html", gift=gift, tier=_tier(gift), code=code, email="", error=None
            )
        # The gift is locked before the person, as its giver's settlement does.
        session.refresh(gift, with_for_update=True)
        email = gift.recipient_email or ""
        member = find_or_add_person(session, email, language=language())
        _accept(gift, member)
    except UnprocessableError as error:
        session.rollback()
        return _refuse(error, code)
    response = make_response(redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER))
    begin_session(session, member, response, by="gift").notice = Notice.GIFT
    return response


@blueprint.post("/gift/redeem/address")
@cookieless
@limit_by_network()
def ask_for_code() -> ResponseReturnValue:
    """E-mail six digits to the address."""
    check_origin()
    code, email = request.form.get("code", ""), request.form.get("email", "").strip()
    try:
        gift = _gift_of(code)
        check_redeemable(gift)
    except UnprocessableError as error:
        return _refuse(error, code)
    browser = asking_browser() or new_secret()
    try:
        read_email(email)
        ask(db.session(), Purpose.GIFT, email, browser, network=network_hash(), gift_id=gift.id)
    except (UnprocessableError, TooOftenError) as error:
        page = _page(
            "gift_address.html",
            gift=gift,
            tier=_tier(gift),
            code=code,
            email=email,
            error=error.sentence,
        )
        return page, error.status
    response = make_response(redirect(url_for(".enter_digits"), HTTPStatus.SEE_OTHER))
    remember_browser(response, browser)
    return response


@blueprint.get("/gift/redeem/proof")
@public
def enter_digits() -> ResponseReturnValue:
    """The form for the e-mailed digits."""
    check = _asked_here()
    if check is None:
        return redirect(url_for(".enter_code"), HTTPStatus.SEE_OTHER)
    return _digits_page(check)


@blueprint.post("/gift/redeem/proof")
@cookieless
@limit_by_network()
def check_digits() -> ResponseReturnValue:
    """Check the digits, redeem the gift and sign in."""
    check_origin()
    session, check = db.session(), _asked_here()
    if check is None:
        return redirect(url_for(".enter_code"), HTTPStatus.SEE_OTHER)
    if is_over(check):
        return _start_again(
            _("Your code has expired after ten minutes. Enter your gift code again.")
        )
    digits = "".join(request.form.get("digits", "").split())
    if not _DIGITS.fullmatch(digits):
        return _digits_page(check, _("Enter the six-digit code from our e-mail."))
    if not _try_is_free(check):
        note(Kind.LIMIT)
        return _start_again(_("Too many wrong codes. Enter your gift code again."))
    if not is_code(check, digits):
        note(Kind.MEMBER_CODE)
        return _digits_page(
            check, _("That isn’t the code in our latest e-mail. Check the six digits.")
        )
    if not use(session, check, asking_browser()):
        return _start_again(
            _("This six-digit code has already been used. Enter your gift code again.")
        )
    # The gift is locked before the person, as its giver's settlement does.
    gift = session.get_one(Gift, check.gift_id, with_for_update=True)
    try:
        member = find_or_add_person(session, check.email, language=language())
        _accept(gift, member)
    except UnprocessableError as error:
        session.rollback()
        return _start_again(str(error))
    response = make_response(redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER))
    begin_session(session, member, response, by="gift").notice = Notice.GIFT
    return response


@blueprint.route("/account/gifts/<int:gift_id>/email", methods=["GET", "POST"])
@for_members
@limit_by_network(methods=["POST"])
def tell(gift_id: int) -> ResponseReturnValue:
    """For the giver: e-mail the recipient now, even again or in place of the card."""
    session = db.session()
    gift = session.get(Gift, gift_id)
    if gift is None or gift.giver_id != signed_in().member_id:
        raise NotFoundError(_("We can’t find this gift in your account."))
    email, error = request.form.get("email", "").strip(), None
    status = HTTPStatus.OK
    if request.method == "POST":
        try:
            tell_again(session, gift, read_email(email))
        except (UnprocessableError, TooOftenError) as refused:
            session.rollback()
            error, status = refused.sentence, refused.status
        else:
            signed_in().notice = Notice.GIFT_TOLD
            return redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER)
    page = _page(
        "gift_email.html",
        recipient=recipient_of(gift),
        gift_id=gift_id,
        email=email or gift.recipient_email or "",
        token=form_token(),
        error=error,
    )
    return page, status


def _gift_of(code: str) -> Gift:
    """Find a code's gift; counts wrong codes even if the request fails.

    Raises:
        UnprocessableError: no gift has this code.
        TooManyCodesError: this network has tried too many.
    """
    database, network = cast("Database", current_app.extensions["database"]), network_hash()
    with database.transaction(beside=True) as own:
        check_tries(own, network)
        found = find_by_code(own, code)
        if found is None:
            note_wrong_code(own, network)
    if found is None:
        note(Kind.GIFT_CODE)
        raise UnprocessableError(
            _("That isn’t a gift code. Check it: a gift code has 16 characters."),
            field="code",
        )
    return db.session().get_one(Gift, found.id)


def _accept(gift: Gift, member: Member) -> None:
    """Redeem the gift, unless this person already has."""
    session = db.session()
    session.refresh(gift, with_for_update=True)
    if gift.recipient_id == member.id:
        return
    redeem(session, gift, member, current_settings().grace)
    member.name = member.name or gift.recipient_name


def _offer_to_member(gift: Gift, code: str) -> ResponseReturnValue:
    session, member = db.session(), signed_in_member()
    check_redeemable(gift, member)
    memberships = session.scalars(select(Membership).where(Membership.member_id == member.id)).all()
    begins = begins_at(memberships, current_settings().grace)
    return _page(
        "gift_offer.html",
        gift=gift,
        tier=_tier(gift),
        code=code,
        key="",
        email=member.email,
        action=url_for(".accept"),
        begins=begins if begins > db.now() else None,
        ends=ends_at(begins, gift.years),
        token=form_token(),
    )


def _is_for_newcomer(gift: Gift, key: str) -> bool:
    """Whether the key proves the address of somebody whom we don't know yet.

    A person who has an account proves the address anew: the e-mail may have been passed on.
    """
    if not is_address_key(gift, key):
        return False
    return find_member_id(db.session(), fold_address(gift.recipient_email or "")) is None


def _offer_to_newcomer(gift: Gift, code: str, key: str) -> str:
    return _page(
        "gift_offer.html",
        gift=gift,
        tier=_tier(gift),
        code=code,
        key=key,
        email=gift.recipient_email,
        action=url_for(".accept_from_email"),
        begins=None,
        ends=ends_at(db.now(), gift.years),
        token=None,
    )


def _asked_here() -> AddressCheck | None:
    browser = asking_browser()
    return newest_check(db.session(), Purpose.GIFT, browser) if browser else None


def _try_is_free(check: AddressCheck) -> bool:
    database = cast("Database", current_app.extensions["database"])
    with database.transaction(beside=True) as own:
        return take_try(own, check.id)


def _digits_page(check: AddressCheck, error: str | None = None) -> ResponseReturnValue:
    gift = db.session().get_one(Gift, check.gift_id)
    page = _page("gift_digits.html", gift=gift, tier=_tier(gift), email=check.email, error=error)
    return page, HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK


def _refuse(error: UnprocessableError, code: str) -> ResponseReturnValue:
    return _page("gift_code.html", code=code, error=error.sentence), error.status


def _start_again(error: str) -> ResponseReturnValue:
    page = _page("gift_code.html", code="", error=error)
    return page, HTTPStatus.UNPROCESSABLE_ENTITY


def _tier(gift: Gift) -> str:
    found = db.session().get(Tier, gift.tier)
    return by_language(found.names) if found else ""


def _page(name: str, **values: object) -> str:
    return render_template(f"account/{name}", tries=MOST_TRIES, giver_of=giver_of, **values)
