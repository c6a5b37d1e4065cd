"""Members' invitation links: create, show who joined, switch off."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for

from fundraiser import db
from fundraiser.account.sessions import for_members, form_token, signed_in_member
from fundraiser.config import current_settings
from fundraiser.errors import ForbiddenError
from fundraiser.members.consents import is_given, note_consent
from fundraiser.members.invitations import count_invited, drop_link, make_link
from fundraiser.members.models import ConsentKind
from fundraiser.texts import gettext as _, keep_language

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("account_invitation", __name__)
blueprint.url_defaults(keep_language)


@blueprint.route("/account/invitation", methods=["GET", "POST"])
@for_members
def invitation() -> ResponseReturnValue:
    """The link and how many joined; a POST creates it and saves whether it may show a name."""
    session, member = db.session(), signed_in_member()
    consent = _("People who open my link can see my name.")
    if request.method == "POST":
        if member.number is None:
            raise ForbiddenError(_("Members can invite others. Join first."))
        session.refresh(member, with_for_update=True)
        make_link(member)
        agreed = request.form.get(ConsentKind.INVITER) == "yes"
        note_consent(session, member, ConsentKind.INVITER, consent, given=agreed)
        return redirect(url_for(".invitation"), HTTPStatus.SEE_OTHER)
    return render_template(
        "account/invitation.html",
        member=member,
        link=f"{current_settings().public_url}/?invite={member.invite_code}"
        if member.invite_code
        else None,
        joined=count_invited(session, member),
        consent=consent,
        consent_name=ConsentKind.INVITER,
        agreed=is_given(session, member, ConsentKind.INVITER),
        token=form_token(),
    )


@blueprint.post("/account/invitation/removal")
@for_members
def removal() -> ResponseReturnValue:
    """Switch the link off."""
    drop_link(signed_in_member())
    return redirect(url_for(".invitation"), HTTPStatus.SEE_OTHER)
