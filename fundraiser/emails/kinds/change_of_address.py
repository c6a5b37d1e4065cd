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
        _(
            "You’re getting this e-mail because somebody asked to change an e-mail "
            "address to this one or from it."
        ),
    )


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your code to change your e-mail address: %(code)s", code=v["code"]),
        v["code"],
        [
            _(
                "Enter these six digits on the page where you asked to change your "
                "e-mail address. They work once, within ten minutes. We’ve sent a "
                "different code to the other address: you need both."
            ),
            _("If you didn’t ask for this, there’s nothing to do: the address stays as it is."),
        ],
    )


KIND = Kind(
    label=lambda: _("Code to change the e-mail address"),
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=lambda session, email: _body(minted_of(session, email)),
    example=lambda _session, _member: _body(EXAMPLE_CODE),
    address=address_of_check,
    always_on=True,
    needed_names=frozenset({"code"}),
)
