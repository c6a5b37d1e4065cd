"""A code to change the address with: one goes to the old address, one to the new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Wording, compose
from fundraiser.emails.parts.codes import EXAMPLE_CODE, address_of_check, minted_of
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundraiser.members.addresses import Minted


def _body(minted: Minted) -> Body:
    return compose(
        _say,
        {"newsroom": current_settings().newsroom_name, "code": minted.code},
        _("You get this letter because somebody asked to change an address to or from it."),
    )


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your code to change your address: %(code)s", code=v["code"]),
        v["code"],
        [
            _(
                "Enter these six digits on the page where you asked to change your e-mail "
                "address. They work once, within ten minutes. Another code went to the other "
                "address: both are needed."
            ),
            _("If it was not you who asked, do nothing: the address stays as it is."),
        ],
    )


KIND = Kind(
    label=lambda: _("Change of address"),
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=lambda session, email: _body(minted_of(session, email)),
    example=lambda _session, _member: _body(EXAMPLE_CODE),
    address=address_of_check,
    always_on=True,
    needed_names=frozenset({"code"}),
)
