"""Patreon's API v2: a campaign's members, and its renewable tokens (docs.patreon.com)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fundraiser.sources.formats.patreon_api import key_of
from fundraiser.sources.live.calls import CallError, GoneError, Trouble, ask
from fundraiser.sources.live.pages import Page
from fundraiser.sources.live.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.config import PatreonAccess

# Only what is asked for comes.
FIELDS = (
    *("campaign_lifetime_support_cents", "currently_entitled_amount_cents", "email", "full_name"),
    *("is_free_trial", "is_gifted", "last_charge_date", "last_charge_status", "next_charge_date"),
    *("patron_status", "pledge_cadence", "pledge_relationship_start"),
)
_WANTED = {"fields[member]": ",".join(FIELDS), "include": "user"}
_PAGE = "1000"
_USUAL_LIFE = 31 * 86_400  # seconds
_LONGEST_LIFE = 10 * 366 * 86_400


class Patreon:
    """Client for a Patreon campaign; the caller keeps the token."""

    name = "patreon"
    label = "Patreon"

    def __init__(self, access: PatreonAccess) -> None:
        self.access = access
        self.currency = access.currency

    def look(self, tokens: Tokens | None, cursor: str | None) -> Page:
        """Fetch a page of the campaign's members."""
        query = _WANTED | {"page[count]": _PAGE} | ({"page[cursor]": cursor} if cursor else {})
        campaign = quote(self.access.campaign, safe="")
        try:
            found = self._get(tokens, f"campaigns/{campaign}/members", query)
        except GoneError:
            raise CallError(Trouble.UNKNOWN) from None
        members = found.get("data")
        if not isinstance(members, list):
            raise CallError(Trouble.MALFORMED)
        pagination = _step(_step(found, "meta"), "pagination")
        following = _step(pagination, "cursors").get("next")
        total = pagination.get("total")
        kept = [_checked(one) for one in members]
        return Page(
            kept,
            [key_of(one) or "" for one in kept],
            following if isinstance(following, str) and following else None,
            total if isinstance(total, int) else None,
        )

    def find(self, tokens: Tokens | None, references: Sequence[str]) -> list[dict[str, Any]]:
        """Fetch these members, by Patreon's membership IDs."""
        found = []
        for reference in references:
            try:
                answer = self._get(tokens, f"members/{quote(reference, safe='')}", _WANTED)
            except GoneError:
                continue  # deleted: only of somebody who never paid
            found.append(_checked(answer.get("data")))
        return found

    def check(self, tokens: Tokens | None) -> None:
        """Fetch the campaign, to check that Patreon accepts the tokens."""
        try:
            self._get(tokens, f"campaigns/{quote(self.access.campaign, safe='')}", {})
        except GoneError:
            raise CallError(Trouble.UNKNOWN) from None

    def renew(self, tokens: Tokens) -> tuple[Tokens, timedelta]:
        """Get new tokens and their lifetime; this invalidates the old ones.

        Raises:
            CallError: Patreon doesn't give any.
        """
        try:
            found = ask(
                "POST",
                f"{self.access.api}/api/oauth2/token",
                data={
                    "grant_type": "refresh_token",
                    "refresh_token": tokens.refresh,
                    "client_id": self.access.client_id,
                    "client_secret": self.access.client_secret,
                },
                headers={"User-Agent": "fundraiser"},
            )
        except GoneError:
            raise CallError(Trouble.UNKNOWN) from None
        access, refresh, life = (
            found.get(name) for name in ("access_token", "refresh_token", "expires_in")
        )
        if not isinstance(access, str) or not access:
            raise CallError(Trouble.MALFORMED)
        if not isinstance(life, int) or isinstance(life, bool) or life <= 0:
            life = _USUAL_LIFE
        kept = refresh if isinstance(refresh, str) and refresh else tokens.refresh
        return Tokens(access, kept), timedelta(seconds=min(life, _LONGEST_LIFE))

    def resume_webhook(self, tokens: Tokens | None, uri: str) -> bool:
        """Resume our webhook if Patreon has paused it; False if there was nothing to do."""
        try:
            return self._resume(tokens, uri)
        except (CallError, GoneError):
            return False  # a token without that right; the nightly listing does without

    def _resume(self, tokens: Tokens | None, uri: str) -> bool:
        found = self._get(tokens, "webhooks", {"fields[webhook]": "paused,uri"})
        hooks = found.get("data")
        for hook in hooks if isinstance(hooks, list) else ():
            attributes = _step(hook, "attributes")
            if attributes.get("uri") != uri or attributes.get("paused") is not True:
                continue
            name = str(hook.get("id"))
            changed = {"data": {"id": name, "type": "webhook", "attributes": {"paused": False}}}
            ask(
                "PATCH",
                f"{self.access.api}/api/oauth2/v2/webhooks/{quote(name, safe='')}",
                json=changed,
                headers=_headers(tokens),
            )
            return True
        return False

    def _get(self, tokens: Tokens | None, path: str, query: dict[str, str]) -> dict[str, Any]:
        return ask(
            "GET",
            f"{self.access.api}/api/oauth2/v2/{path}",
            params=query,
            headers=_headers(tokens),
        )


def _headers(tokens: Tokens | None) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {tokens.access if tokens else ''}",
        "User-Agent": "fundraiser",
    }


def _checked(member: object) -> dict[str, Any]:
    """A member, reduced to the fields that we asked for.

    Raises:
        CallError: fields are missing, so nobody would seem to pay.
    """
    if not isinstance(member, dict) or "patron_status" not in _step(member, "attributes"):
        raise CallError(Trouble.MALFORMED)
    attributes = _step(member, "attributes")
    user = _step(_step(member, "relationships"), "user")
    return {
        "id": member.get("id"),
        "type": "member",
        "attributes": {name: attributes[name] for name in FIELDS if name in attributes},
        "relationships": {"user": {"data": {"id": _step(user, "data").get("id")}}},
    }


def _step(found: object, name: str) -> dict[str, Any]:
    inside = found.get(name) if isinstance(found, dict) else None
    return inside if isinstance(inside, dict) else {}
