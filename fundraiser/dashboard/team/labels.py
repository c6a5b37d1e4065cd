"""Labels for the audit log, roles and accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_babel import format_decimal, ngettext

from fundraiser.campaigns.forms import Plan, TierPlan
from fundraiser.forms import Form
from fundraiser.money import Money, format_exact
from fundraiser.newsroom.audit import Action
from fundraiser.newsroom.models import Role
from fundraiser.texts import gettext as _, language

if TYPE_CHECKING:
    from collections.abc import Mapping

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
            return _("Full access, including staff accounts.")
        case Role.MANAGER:
            return _("Full access, except staff accounts.")
        case Role.SUPPORT:
            return _(
                "Helps members: can give and end memberships, change e-mail "
                "addresses, read and resend e-mails, and sync with Stripe. Can’t "
                "refund."
            )
        case Role.FINANCE:
            return _("Can see the figures and download them. Can’t change anything or see e-mails.")


def status_label(staff: Staff) -> str:
    """An account's status."""
    if staff.deactivated_at:
        return _("Closed")
    if staff.password_hash is None:
        return _("Invited")
    return _("Can sign in, with two steps") if staff.has_second_step else _("Can sign in")


def action(name: str) -> str:
    """An action's label."""
    known = {
        Action.SIGNED_IN: _("Signed in"),
        Action.SIGNED_OUT: _("Signed out"),
        Action.ADDED_STAFF: _("Added a staff account"),
        Action.INVITED_STAFF: _("Invited a colleague"),
        Action.TOOK_INVITATION: _("Accepted the invitation"),
        Action.CHANGED_STAFF: _("Changed a staff account"),
        Action.CLOSED_STAFF: _("Closed a staff account"),
        Action.OPENED_STAFF: _("Reopened a staff account"),
        Action.ENDED_SESSION: _("Signed out in another browser"),
        Action.ENDED_MEMBER_SESSIONS: _("Signed a member out everywhere"),
        Action.SIGNED_OUT_EVERYWHERE: _("Signed out everywhere"),
        Action.ASKED_FOR_PASSWORD: _("Asked for a new password"),
        Action.CHANGED_PASSWORD: _("Changed the password"),
        Action.SECOND_FACTOR_ON: _("Added an authenticator app"),
        Action.ADDED_PASSKEY: _("Added a passkey"),
        Action.REMOVED_PASSKEY: _("Removed a passkey"),
        Action.MADE_RECOVERY_CODES: _("Made new recovery codes"),
        Action.CHANGED_RULES: _("Changed the sign-in rules"),
        Action.SECOND_FACTOR_OFF: _("Turned off an authenticator app or two-step sign-in"),
        Action.RESET_PASSWORD: _("Reset a password"),
        Action.SETTLED_AGAIN: _("Synced a customer with Stripe"),
        Action.SETTLED_ALL_AGAIN: _("Retried all failed syncs with Stripe"),
        Action.CHANGED_LOOK: _("Changed the widget’s look"),
        Action.ENTERED_RATE: _("Entered an exchange rate"),
        Action.EXPORTED_MEMBERS: _("Exported the list of members as CSV"),
        Action.GAVE_MEMBERSHIP: _("Gave a complimentary membership"),
        Action.ENDED_MEMBERSHIP: _("Ended a membership"),
        Action.REFUNDED: _("Refunded a payment"),
        Action.CHANGED_EMAIL: _("Changed an e-mail address"),
        Action.SENT_EMAIL_AGAIN: _("Resent an e-mail"),
        Action.CHANGED_EMAIL_KIND: _("Changed an e-mail’s text or switch"),
        Action.ALLOWED_ADDRESS: _("Allowed e-mails to an address again"),
        Action.HID_NAME: _("Hid a name from the supporters page"),
        Action.SHOWED_NAME: _("Showed a name on the supporters page"),
        Action.RESTORED_NAME: _("Allowed a name on the supporters page again"),
        Action.WROTE_NOTE: _("Added a note"),
        Action.CREATED_CAMPAIGN: _("Created a campaign"),
        Action.CHANGED_CAMPAIGN: _("Changed a campaign"),
        Action.SET_GOAL: _("Set a goal"),
        Action.ENDED_CAMPAIGN: _("Ended a campaign"),
        Action.ARCHIVED_CAMPAIGN: _("Archived a campaign"),
        Action.RESTORED_CAMPAIGN: _("Restored a campaign from the archive"),
        Action.CHANGED_WEBHOOK: _("Changed the address for milestone notifications"),
        Action.TRIED_WEBHOOK: _("Sent a test notification to the site"),
        Action.CREATED_TIER: _("Created a tier"),
        Action.CHANGED_TIER: _("Changed a tier"),
        Action.MOVED_TIER: _("Moved a tier"),
        Action.RETIRED_TIER: _("Stopped offering a tier"),
        Action.SWITCHED_GUARD: _("Changed the protection against card testing"),
        Action.STOPPED: _("Stopped a part of the service"),
        Action.RESUMED: _("Resumed a part of the service"),
        Action.UPLOADED_LIST: _("Uploaded a list of members"),
        Action.APPLIED_LIST: _("Imported a list of members"),
        Action.UNDID_LIST: _("Undid an import"),
        Action.ASKED_SOURCE: _("Updated a source"),
        Action.PAUSED_SOURCE: _("Paused a source"),
        Action.DECIDED_ROW: _("Decided on a row of an import"),
        Action.ADDED_MEMBER: _("Added a member by hand"),
        Action.LABELLED: _("Labelled a member"),
        Action.UNLABELLED: _("Removed a label from a member"),
        Action.RENAMED_LABEL: _("Renamed a label"),
        Action.DELETED_LABEL: _("Deleted a label"),
        Action.CHANGED_MANY: _("Changed many members at once"),
        Action.UNDID_MANY: _("Undid a change of many members"),
        Action.MERGED_MEMBERS: _("Merged two people’s records"),
        Action.SEPARATED_MEMBERS: _("Separated two people’s records again"),
        Action.RESTORED_TIER: _("Put a tier back on offer"),
        Action.EXPORTED_MONEY: _("Exported transactions as CSV"),
    }
    texts: dict[str, str] = {kind.value: text for kind, text in known.items()}
    # The audit log outlives the acts: one that is known no more keeps its name.
    return texts.get(name) or name.replace("_", " ").capitalize()


def value(name: str, text: str) -> str:
    """An old or a new value of a changed field."""
    if name == "role" and text in set(Role):
        return role(Role(text))
    if name == "goal" and text.isdecimal():
        return str(format_decimal(int(text)))
    if name == "switch":
        return _("on") if text == "on" else _("off")
    return text or "–"


def sums(details: Mapping[str, Any]) -> str:
    """The amount, the end or the number of people of an action, if it has one."""
    if "amount" in details and "currency" in details:
        return format_exact(Money(details["amount"], details["currency"]), language())
    if "people" in details:
        shown = format_decimal(details["people"])
        return str(
            ngettext("%(count)s member", "%(count)s members", details["people"], count=shown)
        )
    if "until" in details:
        return str(_("until %(date)s", date=details["until"]))
    return ""


def field(name: str) -> str:
    """A changed field's label."""
    known = {
        "role": _("role"),
        "password": _("password"),
        "passkey": _("passkey"),
        "authenticator": _("authenticator code"),
        "recovery_code": _("recovery code"),
        "goal": _("goal"),
        "rate": _("exchange rate"),
        "theme": _("theme"),
        "accent": _("accent colour"),
        "mode": _("setting"),
        "switch": _("switch"),
        "subject": _("subject"),
        "heading": _("heading"),
        "text": _("text"),
        "second_step_roles": _("roles that need two-step sign-in"),
        "large_refund": _("refund that needs confirmation"),
    }
    inputs = Form.blank(TierPlan, Plan).inputs
    return inputs[name].label if name in inputs else known.get(name, name.replace("_", " "))
