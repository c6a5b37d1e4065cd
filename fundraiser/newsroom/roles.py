"""What each role may do: the permission table."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from fundraiser.errors import ForbiddenError
from fundraiser.newsroom.models import Role
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from fundraiser.newsroom.models import Staff


class Permission(StrEnum):
    """A permission beyond reading."""

    SETTLE = "settle"
    READ_EMAILS = "read_emails"
    CHANGE_CAMPAIGN = "change_campaign"
    ENTER_RATES = "enter_rates"
    MANAGE_STAFF = "manage_staff"
    CHANGE_MEMBER = "change_member"
    REFUND = "refund"
    EXPORT = "export"
    IMPORT = "import"
    STOP = "stop"


ALLOWED = {
    Role.ADMIN: frozenset(Permission),
    Role.MANAGER: frozenset(Permission) - {Permission.MANAGE_STAFF},
    Role.SUPPORT: frozenset({Permission.SETTLE, Permission.READ_EMAILS, Permission.CHANGE_MEMBER}),
    Role.FINANCE: frozenset({Permission.EXPORT, Permission.ENTER_RATES}),
}


def may(staff: Staff, permission: Permission) -> bool:
    """Whether this person's role has the permission."""
    return permission in ALLOWED[staff.role]


def require(staff: Staff, permission: Permission) -> None:
    """Check that the role has the permission.

    Raises:
        ForbiddenError: it doesn't.
    """
    if not may(staff, permission):
        raise ForbiddenError(_("Your role doesn’t allow this. Ask an administrator."))
