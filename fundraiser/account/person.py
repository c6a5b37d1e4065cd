"""Members' pages for name, address, language, consents, download and erasure."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import (
    Blueprint,
    current_app,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)

from fundraiser import db
from fundraiser.account.changes import Notice
from fundraiser.account.download import everything_about
from fundraiser.account.erasure import erase
from fundraiser.account.labels import supporters
from fundraiser.account.sessions import (
    begin_session,
    for_members,
    forget_member,
    form_token,
    signed_in,
    signed_in_member,
)
from fundraiser.config import current_settings
from fundraiser.errors import UnavailableError, UnprocessableError
from fundraiser.forms import read_email
from fundraiser.members.addresses import (
    AddressCheck,
    Purpose,
    ask,
    is_code,
    is_over,
    newest_check,
    take_try,
    use,
)
from fundraiser.members.consents import is_given, note_consent
from fundraiser.members.forwarding import TooOftenError
from fundraiser.members.models import (
    Cause,
    ConsentKind,
    fold_address,
)
from fundraiser.members.names import read_name, refusal_of_name
from fundraiser.outbox import Topic, choose_emails, wants
from fundraiser.payments import StripeUnavailableError, member_gateway
from fundraiser.payments.changes import Change, change_details, change_email
from fundraiser.payments.intents import find_intent
from fundraiser.security import network_hash, new_nonce, public
from fundraiser.texts import LANGUAGES, gettext as _, keep_language

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.typing import ResponseReturnValue

    from fundraiser.db import Database
    from fundraiser.members.models import Member

blueprint = Blueprint("account_person", __name__)
blueprint.url_defaults(keep_language)


@blueprint.route("/account/details", methods=["GET", "POST"])
@for_members
def details() -> ResponseReturnValue:
    """The form for name, e-mail language and each consent."""
    if request.method == "GET":
        return _details(signed_in_member())
    session, member = db.session(), signed_in_member()
    name = read_name(request.form.get("name", ""))
    language = request.form.get("language", "")
    if error := refusal_of_name(name) if name else _("Enter your name."):
        return _details(member, sent=request.form, error=error), HTTPStatus.UNPROCESSABLE_ENTITY
    if language not in LANGUAGES:
        language = member.language
    for kind, text in _consents(member).items():
        note_consent(session, member, kind, text, given=request.form.get(kind) == "yes")
    for topic, text, ticked_is_yes in _emails():
        ticked = request.form.get(topic) == "yes"
        choose_emails(session, member.id, topic, wanted=ticked is ticked_is_yes, text=text)
    if (name, language) != (member.name, member.language):
        how = _by_member(f"details-{member.id}-{request.form.get('key') or new_nonce()}"[:200])
        try:
            change_details(session, how, member, name=name, language=language)
        except UnavailableError:
            return _note(_is_noted(how))
    return _note(Notice.SAVED)


@blueprint.route("/account/email", methods=["GET", "POST"])
@for_members
def email() -> ResponseReturnValue:
    """Request a new address: codes go to the old and the new one."""
    member = signed_in_member()
    if request.method == "GET":
        return _email_page(member)
    typed = request.form.get("email", "").strip()
    wanted, error = None, None
    try:
        wanted = read_email(typed)
    except UnprocessableError as refused:
        error = refused.sentence
    if wanted and fold_address(wanted) == member.address:
        error = _("That’s the address we already have.")
    if wanted is None or error:
        page = _email_page(member, wanted=typed, error=error)
        return page, HTTPStatus.UNPROCESSABLE_ENTITY
    session, browser = db.session(), signed_in().token_hash
    try:
        for purpose, address in (
            (Purpose.LEAVE_ADDRESS, member.email or ""),
            (Purpose.NEW_ADDRESS, wanted),
        ):
            ask(session, purpose, address, browser, network=network_hash(), member_id=member.id)
    except TooOftenError as refused:
        session.rollback()
        return _email_page(member, wanted=typed, error=refused.sentence), refused.status
    return redirect(url_for(".confirm_email"), HTTPStatus.SEE_OTHER)


@blueprint.route("/account/email/codes", methods=["GET", "POST"])
@for_members
def confirm_email() -> ResponseReturnValue:
    """Check both codes, and change the address here and at Stripe."""
    session, member, browser = db.session(), signed_in_member(), signed_in().token_hash
    leave = newest_check(session, Purpose.LEAVE_ADDRESS, browser)
    enter = newest_check(session, Purpose.NEW_ADDRESS, browser)
    if leave is None or enter is None or leave.email != member.address:
        return redirect(url_for(".email"), HTTPStatus.SEE_OTHER)
    if request.method == "GET":
        return _codes_page(member, enter)
    error = _wrong(leave, "old") or _wrong(enter, "new")
    if error is None:

        def use_both() -> None:
            use(session, leave, browser)
            use(session, enter, browser)

        how = replace(_by_member(f"account-{enter.id}"), note=use_both)
        try:
            change_email(session, how, member, enter.email)
        except UnavailableError:
            return _note(_is_noted(how))
        except UnprocessableError as refused:
            session.rollback()
            error = str(refused)
    if error is not None:
        return _codes_page(member, enter, error=error), HTTPStatus.UNPROCESSABLE_ENTITY
    # The change has ended this session as well.
    response = make_response(redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER))
    begin_session(session, member, response, by="new_address").notice = Notice.EMAIL
    return response


@blueprint.get("/account/download")
@for_members
def download() -> ResponseReturnValue:
    """All data that we keep about this person, as JSON."""
    member = signed_in_member()
    response = jsonify(everything_about(db.session(), member))
    response.headers["Content-Disposition"] = "attachment; filename=my-membership.json"
    return response


@blueprint.route("/account/erasure", methods=["GET", "POST"])
@for_members
def erasure() -> ResponseReturnValue:
    """Erase the account, after showing what goes and what stays."""
    member, error = signed_in_member(), None
    if request.method == "POST":
        if request.form.get("sure") == "yes":
            try:
                erase(db.session(), member_gateway(), member)
            except StripeUnavailableError as away:
                raise UnavailableError(
                    _(
                        "We’ve noted that you want your account deleted, but Stripe, "
                        "our payment service, isn’t answering. We’ll keep trying and "
                        "delete it as soon as we can. You don’t need to do anything."
                    )
                ) from away
            response = make_response(redirect(url_for(".erased"), HTTPStatus.SEE_OTHER))
            forget_member(response)
            return response
        error = _("Tick the box if you’re sure.")
    page = render_template("account/erasure.html", token=form_token(), error=error)
    return page, HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK


@blueprint.get("/account/erased")
@public
def erased() -> ResponseReturnValue:
    """The page after an erasure."""
    return render_template("account/erased.html")


def _by_member(key: str) -> Change:
    return Change(member_gateway(), current_settings().grace, key, Cause.STRIPE, "account")


def _is_noted(how: Change) -> Notice:
    """What to say where Stripe does not answer: it is done later, or was not noted."""
    return Notice.UNKNOWN if find_intent(db.session(), how.key) else Notice.WAITING


def _consents(member: Member) -> dict[ConsentKind, str]:
    """The consents to ask for, without the public name if staff have hidden it."""
    if member.supporter_closed_at:
        return {}
    return {ConsentKind.SUPPORTERS: _("Show my name on the campaign’s supporters page.")}


def _emails() -> list[tuple[Topic, str, bool]]:
    """The e-mail topics, and whether a tick asks for them or declines them."""
    return [
        (
            Topic.CAMPAIGN,
            _("E-mail me when the campaign reaches a milestone, and in its last days."),
            True,
        ),
        (Topic.RETURN, _("If I cancel, don’t e-mail me about rejoining."), False),
    ]


def _details(
    member: Member, *, sent: Mapping[str, str] | None = None, error: str | None = None
) -> str:
    """The form as stored, or as ``sent``."""
    session = db.session()

    def ticked(name: str, *, stored: bool) -> bool:
        return stored if sent is None else sent.get(name) == "yes"

    return render_template(
        "account/details.html",
        member=member,
        name=member.name or "" if sent is None else sent.get("name", ""),
        chosen=member.language if sent is None else sent.get("language"),
        languages=LANGUAGES,
        consents=[
            (kind, text, ticked(kind, stored=is_given(session, member, kind)))
            for kind, text in _consents(member).items()
        ],
        closed=supporters(member) if member.supporter_closed_at else None,
        topics=[
            (
                topic,
                text,
                ticked(topic, stored=wants(session, member.id, topic) is ticked_is_yes),
            )
            for topic, text, ticked_is_yes in _emails()
        ],
        token=form_token(),
        key=new_nonce(),
        error=error,
    )


def _email_page(member: Member, *, wanted: str = "", error: str | None = None) -> str:
    return render_template(
        "account/email.html",
        member=member,
        wanted=wanted,
        token=form_token(),
        error=error,
        mail_from=current_settings().mail_from,
    )


def _codes_page(member: Member, enter: AddressCheck, *, error: str | None = None) -> str:
    return render_template(
        "account/email_codes.html",
        member=member,
        wanted=enter.email,
        token=form_token(),
        error=error,
    )


def _wrong(check: AddressCheck, field: str) -> str | None:
    """The message for a wrong code; the attempt stays counted."""
    if is_over(check):
        return _("This code has expired or has already been used. Ask for a new one.")
    database = cast("Database", current_app.extensions["database"])
    with database.transaction(beside=True) as own:
        is_free = take_try(own, check.id)
    if not is_free:
        return _("Too many wrong codes. Ask for a new one.")
    if is_code(check, "".join(request.form.get(field, "").split())):
        return None
    if field == "old":
        return _("That isn’t the code we e-mailed to your old address.")
    return _("That isn’t the code we e-mailed to your new address.")


def _note(notice: Notice) -> ResponseReturnValue:
    signed_in().notice = notice
    return redirect(url_for("account.overview"), HTTPStatus.SEE_OTHER)
