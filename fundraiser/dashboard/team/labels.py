"""What staff did, as words for the trail, and what each role may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.newsroom.audit import Act
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


def act(name: str) -> str:
    """What somebody did."""
    known = {
        Act.SIGNED_IN: _("Signed in"),
        Act.SIGNED_OUT: _("Signed out"),
        Act.ADDED_STAFF: _("Added to the staff"),
        Act.INVITED_STAFF: _("Invited to the staff"),
        Act.TOOK_INVITATION: _("Took up the invitation"),
        Act.CHANGED_STAFF: _("Changed somebody’s account"),
        Act.CLOSED_STAFF: _("Closed an account"),
        Act.OPENED_STAFF: _("Opened an account again"),
        Act.ENDED_SESSION: _("Signed out in another browser"),
        Act.SIGNED_OUT_EVERYWHERE: _("Signed out everywhere"),
        Act.ASKED_FOR_PASSWORD: _("Asked for another password"),
        Act.CHANGED_PASSWORD: _("Chose another password"),
        Act.SECOND_FACTOR_ON: _("Turned the second factor on"),
        Act.ADDED_PASSKEY: _("Added a passkey"),
        Act.REMOVED_PASSKEY: _("Removed a passkey"),
        Act.MADE_RECOVERY_CODES: _("Made recovery codes"),
        Act.CHANGED_RULES: _("Changed the sign-in rules"),
        Act.SECOND_FACTOR_OFF: _("Turned the second factor off"),
        Act.RESET_PASSWORD: _("Was given another password"),
        Act.SETTLED_AGAIN: _("Settled a customer again"),
        Act.SETTLED_ALL_AGAIN: _("Settled all resting customers again"),
        Act.CHANGED_LOOK: _("Changed the widget’s look"),
        Act.ENTERED_RATE: _("Entered an exchange rate"),
        Act.EXPORTED_MEMBERS: _("Took the list of members as a file"),
        Act.GAVE_MEMBERSHIP: _("Gave a membership"),
        Act.ENDED_MEMBERSHIP: _("Ended a membership"),
        Act.REFUNDED: _("Paid money back"),
        Act.CHANGED_EMAIL: _("Changed an e-mail address"),
        Act.SENT_EMAIL_AGAIN: _("Sent a letter again"),
        Act.CHANGED_EMAIL_KIND: _("Changed a letter"),
        Act.ALLOWED_ADDRESS: _("Had an address written to again"),
        Act.CLOSED_ROSTER: _("Took a name off the public page"),
        Act.SHOWED_NAME: _("Let a name stand on the public page"),
        Act.OPENED_ROSTER: _("Left a name on the public page to its owner again"),
        Act.WROTE_NOTE: _("Wrote a note"),
        Act.CREATED_CAMPAIGN: _("Made a campaign"),
        Act.CHANGED_CAMPAIGN: _("Changed a campaign"),
        Act.SET_GOAL: _("Set a goal"),
        Act.ENDED_CAMPAIGN: _("Ended a campaign"),
        Act.ARCHIVED_CAMPAIGN: _("Put a campaign into the archive"),
        Act.RESTORED_CAMPAIGN: _("Took a campaign out of the archive"),
        Act.CHANGED_HOOK: _("Changed where the site is told of milestones"),
        Act.TRIED_HOOK: _("Told the site as a trial"),
        Act.CREATED_TIER: _("Made a membership to offer"),
        Act.CHANGED_TIER: _("Changed a membership on offer"),
        Act.MOVED_TIER: _("Moved a membership on offer"),
        Act.RETIRED_TIER: _("Took a membership off the offer"),
        Act.SWITCHED_GUARD: _("Set the check against card testing"),
        Act.RESTORED_TIER: _("Put a membership on offer again"),
        Act.EXPORTED_MONEY: _("Took movements of money as a file"),
    }
    texts: dict[str, str] = {kind.value: text for kind, text in known.items()}
    # The trail outlives the acts: one that is known no more keeps its name.
    return texts.get(name) or name.replace("_", " ").capitalize()


def field(name: str) -> str:
    """What was changed."""
    return {"role": _("role"), "password": _("password")}.get(name, name.replace("_", " "))
