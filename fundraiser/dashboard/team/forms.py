"""The forms for invitations and sign-in rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from markupsafe import Markup

from fundraiser.dashboard.team import labels
from fundraiser.errors import UnprocessableError
from fundraiser.forms import Field
from fundraiser.newsroom.models import Role
from fundraiser.texts import N_, gettext as _

_LARGEST_REFUND = 10**6


def read_role(text: str) -> Role:
    """Parse a role.

    Raises:
        UnprocessableError: there is none of this name.
    """
    try:
        return Role(text)
    except ValueError as error:
        raise UnprocessableError(_("Choose a role."), field="role") from error


def _read_roles(text: str) -> list[Role]:
    return [role for role in Role if role.value in text.split()]


def _read_refund(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(_LARGEST_REFUND))):
        raise UnprocessableError(_("Enter a whole number, like 100."))
    return int(text)


def _roles() -> list[tuple[str, str]]:
    return [(role.value, labels.role(role)) for role in Role]


def _what_roles_may() -> str:
    each = [Markup("{}: {}").format(labels.role(role), labels.role_may(role)) for role in Role]
    return Markup("<br>").join(each)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A person to invite to the staff."""

    email: Annotated[str, Field(label=N_("E-mail address"), type="email", part="invitation")]
    name: Annotated[str, Field(label=N_("Name"), part="invitation")]
    role: Annotated[
        Role,
        Field(
            label=N_("Role"),
            hint=_what_roles_may,
            kind="select",
            options=_roles,
            read=read_role,
            part="invitation",
        ),
    ]


@dataclass(frozen=True, slots=True)
class SignInRules:
    """Which roles need two-step sign-in, and which refunds need confirmation."""

    second_step_roles: Annotated[
        list[Role],
        Field(
            label=N_("Who needs two-step sign-in"),
            hint=N_("They have a week to set it up, starting the next time they sign in."),
            kind="checkboxes",
            options=_roles,
            read=_read_roles,
            write=" ".join,
            part="rules",
        ),
    ]
    large_refund: Annotated[
        int,
        Field(
            label=N_("Ask for the password again for refunds above"),
            hint=N_("A whole number, in the currency of the payment"),
            mode="numeric",
            read=_read_refund,
            part="rules",
        ),
    ]
