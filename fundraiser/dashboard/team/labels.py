"""What staff did, as words for the audit log, and what each role may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.campaigns.forms import Plan, TierPlan
from fundraiser.forms import Form
from fundraiser.newsroom.audit import Action
from fundraiser.newsroom.models import Role
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from fundraiser.newsroom.models import Staff


def role(value: Role) -> str:
    """A role's name."""
    match value:
        case Role.ADMIN:
            return _("Administrator")
        case Role.MANAGER:
            return _("Manager")
        case Role.SUPPORT:
            return _("Support")
        case Role.FINANCE:
            return _("Finance")


def role_may(value: Role) -> str:
    """What a role may do, in a sentence."""
    match value:
        case Role.ADMIN:
            return _("Everything, the staff among it.")
        case Role.MANAGER:
            return _("Everything but the staff.")
        case Role.SUPPORT:
            return _(
                "Helps members: ends and gives memberships, changes addresses, reads letters and "
                "sends them again, settles customers again. Pays nothing back."
            )
        case Role.FINANCE:
            return _(
                "Reads the figures, takes them away as files, and changes nothing; sees no letters."
            )


def status_label(staff: Staff) -> str:
    """How an account stands."""
    if staff.deactivated_at:
        return _("Closed")
    if staff.password_hash is None:
        return _("Invited")
    return _("Signs in with a second step") if staff.has_second_step else _("Signs in")


def action(name: str) -> str:
    """What somebody did."""
    known = {
        Action.SIGNED_IN: _("Signed in"),
        Action.SIGNED_OUT: _("Signed out"),
        Action.ADDED_STAFF: _("Added to the staff"),
        Action.INVITED_STAFF: _("Invited to the staff"),
        Action.TOOK_INVITATION: _("Took up the invitation"),
        Action.CHANGED_STAFF: _("Changed somebody’s account"),
        Action.CLOSED_STAFF: _("Closed an account"),
        Action.OPENED_STAFF: _("Opened an account again"),
        Action.ENDED_SESSION: _("Signed out in another browser"),
        Action.ENDED_MEMBER_SESSIONS: _("Signed a member out everywhere"),
        Action.SIGNED_OUT_EVERYWHERE: _("Signed out everywhere"),
        Action.ASKED_FOR_PASSWORD: _("Asked for another password"),
        Action.CHANGED_PASSWORD: _("Chose another password"),
        Action.SECOND_FACTOR_ON: _("Turned the second factor on"),
        Action.ADDED_PASSKEY: _("Added a passkey"),
        Action.REMOVED_PASSKEY: _("Removed a passkey"),
        Action.MADE_RECOVERY_CODES: _("Made recovery codes"),
        Action.CHANGED_RULES: _("Changed the sign-in rules"),
        Action.SECOND_FACTOR_OFF: _("Turned the second factor off"),
        Action.RESET_PASSWORD: _("Was given another password"),
        Action.SETTLED_AGAIN: _("Settled a customer again"),
        Action.SETTLED_ALL_AGAIN: _("Settled all resting customers again"),
        Action.CHANGED_LOOK: _("Changed the widget’s look"),
        Action.ENTERED_RATE: _("Entered an exchange rate"),
        Action.EXPORTED_MEMBERS: _("Took the list of members as a file"),
        Action.GAVE_MEMBERSHIP: _("Gave a membership"),
        Action.ENDED_MEMBERSHIP: _("Ended a membership"),
        Action.REFUNDED: _("Paid money back"),
        Action.CHANGED_EMAIL: _("Changed an e-mail address"),
        Action.SENT_EMAIL_AGAIN: _("Sent a letter again"),
        Action.CHANGED_EMAIL_KIND: _("Changed a letter"),
        Action.ALLOWED_ADDRESS: _("Had an address written to again"),
        Action.HID_NAME: _("Took a name off the public page"),
        Action.SHOWED_NAME: _("Let a name stand on the public page"),
        Action.RESTORED_NAME: _("Left a name on the public page to its owner again"),
        Action.WROTE_NOTE: _("Wrote a note"),
        Action.CREATED_CAMPAIGN: _("Made a campaign"),
        Action.CHANGED_CAMPAIGN: _("Changed a campaign"),
        Action.SET_GOAL: _("Set a goal"),
        Action.ENDED_CAMPAIGN: _("Ended a campaign"),
        Action.ARCHIVED_CAMPAIGN: _("Put a campaign into the archive"),
        Action.RESTORED_CAMPAIGN: _("Took a campaign out of the archive"),
        Action.CHANGED_WEBHOOK: _("Changed where the site is told of milestones"),
        Action.TRIED_WEBHOOK: _("Told the site as a trial"),
        Action.CREATED_TIER: _("Made a membership to offer"),
        Action.CHANGED_TIER: _("Changed a membership on offer"),
        Action.MOVED_TIER: _("Moved a membership on offer"),
        Action.RETIRED_TIER: _("Took a membership off the offer"),
        Action.SWITCHED_GUARD: _("Set the check against card testing"),
        Action.UPLOADED_LIST: _("Uploaded a list of members"),
        Action.APPLIED_LIST: _("Brought in a list of members"),
        Action.UNDID_LIST: _("Undid a list of members"),
        Action.ASKED_SOURCE: _("Asked a source for its members"),
        Action.PAUSED_SOURCE: _("Paused a source"),
        Action.DECIDED_ROW: _("Decided about a row of a list"),
        Action.ADDED_MEMBER: _("Added a member by hand"),
        Action.MERGED_MEMBERS: _("Merged two members"),
        Action.SEPARATED_MEMBERS: _("Separated two members again"),
        Action.RESTORED_TIER: _("Put a membership on offer again"),
        Action.EXPORTED_MONEY: _("Took movements of money as a file"),
    }
    texts: dict[str, str] = {kind.value: text for kind, text in known.items()}
    # The audit log outlives the acts: one that is known no more keeps its name.
    return texts.get(name) or name.replace("_", " ").capitalize()


def field(name: str) -> str:
    """What was changed."""
    known = {
        "role": _("role"),
        "password": _("password"),
        "passkey": _("passkey"),
        "authenticator": _("authenticator code"),
        "recovery_code": _("recovery code"),
    }
    inputs = Form.blank(TierPlan, Plan).inputs
    return inputs[name].label if name in inputs else known.get(name, name.replace("_", " "))
