"""A code and a link to sign in with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fundraiser.config import current_settings
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, Wording, compose
from fundraiser.emails.parts.codes import EXAMPLE_CODE, address_of_check, minted_of
from fundraiser.outbox import OncePer
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundraiser.members.addresses import Minted


def _body(minted: Minted) -> Body:
    values = {"newsroom": current_settings().newsroom_name, "code": minted.code}
    link = f"{current_settings().public_url}/account/sign-in/link#{minted.token}"
    return replace(
        compose(
            _say,
            values,
            _("You’re getting this e-mail because somebody asked to sign in with your address."),
        ),
        link=Link(_("Sign in"), link),
    )


def _say(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your code for %(newsroom)s: %(code)s", newsroom=v["newsroom"], code=v["code"]),
        v["code"],
        [
            _(
                "Enter these six digits in the browser where you asked for them, or "
                "use the button below in that same browser. Both work once, within "
                "ten minutes."
            ),
            _(
                "If you didn’t ask for this, there’s nothing to do: nobody can sign in "
                "without the code."
            ),
        ],
    )


KIND = Kind(
    label=lambda: _("Sign-in"),
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=lambda session, email: _body(minted_of(session, email)),
    example=lambda _session, _member: _body(EXAMPLE_CODE),
    address=address_of_check,
    always_on=True,
    despite_complaint=True,
    needed_names=frozenset({"code"}),
)
