"""Ghost's Admin API: paying members (docs.ghost.org/admin-api)."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from fundraiser.sources.live.calls import CallError, GoneError, Trouble, ask
from fundraiser.sources.live.pages import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundraiser.config import GhostAccess
    from fundraiser.sources.live.tokens import Tokens

_PAGE = "100"  # Ghost gives no more
_LIFE = 240  # seconds of a token: Ghost takes five minutes, and clocks differ
_MEMBER = ("id", "email", "name", "status")
_SUBSCRIPTION = (
    *("id", "status", "start_date", "current_period_end", "cancel_at_period_end"),
    "default_payment_card_last4",
)
_PRICE = ("amount", "interval", "currency")


class Ghost:
    """Client for a Ghost site, with the key of a custom integration."""

    name = "ghost"
    label = "Ghost"
    currency: str | None = None

    def __init__(self, access: GhostAccess) -> None:
        self.access = access

    def look(self, tokens: Tokens | None, cursor: str | None) -> Page:
        """Fetch a page of paid members, in an order that new members don't shift."""
        del tokens
        return self._browse("status:paid", cursor or "1")

    def find(self, tokens: Tokens | None, references: Sequence[str]) -> list[dict[str, Any]]:
        """Fetch these members, paid or not."""
        del tokens
        names = [one for one in references if one.isalnum() and one.isascii()]
        return self._browse(f"id:[{','.join(names)}]", "1").members if names else []

    def check(self, tokens: Tokens | None) -> None:
        """Fetch one member, to check that the site accepts the key."""
        del tokens
        self._browse("status:paid", "1", limit="1")

    def _browse(self, wanted: str, page: str, limit: str = _PAGE) -> Page:
        try:
            found = ask(
                "GET",
                f"{self.access.url}/ghost/api/admin/members/",
                params={
                    "filter": wanted,
                    "limit": limit,
                    "page": page,
                    "order": "created_at asc",
                },
                headers={
                    "Authorization": f"Ghost {self._token()}",
                    "Accept-Version": "v5.0",
                    "User-Agent": "fundraiser",
                },
            )
        except GoneError:
            raise CallError(Trouble.UNKNOWN) from None
        members = found.get("members")
        if not isinstance(members, list):
            raise CallError(Trouble.MALFORMED)
        meta = found.get("meta")
        pagination = meta.get("pagination") if isinstance(meta, dict) else None
        if not isinstance(pagination, dict):
            raise CallError(Trouble.MALFORMED)
        following, total = pagination.get("next"), pagination.get("total")
        kept = [_checked(one) for one in members]
        return Page(
            kept,
            [str(one["id"]) for one in kept],
            str(following) if isinstance(following, int) and following > int(page) else None,
            total if isinstance(total, int) else None,
        )

    def _token(self) -> str:
        """A JSON Web Token (RFC 7519) signed with the integration's key."""
        at = int(time.time())
        head = _part({"alg": "HS256", "kid": self.access.key_id, "typ": "JWT"})
        body = _part({"aud": "/admin/", "exp": at + _LIFE, "iat": at})
        signature = hmac.new(self.access.secret, f"{head}.{body}".encode(), "sha256").digest()
        return f"{head}.{body}.{_encoded(signature)}"


def _part(content: dict[str, object]) -> str:
    return _encoded(json.dumps(content, separators=(",", ":")).encode())


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _checked(member: object) -> dict[str, Any]:
    """A member, reduced to the fields that we need.

    Raises:
        CallError: subscriptions are missing, so nobody would seem to pay.
    """
    subscriptions = member.get("subscriptions") if isinstance(member, dict) else None
    if not isinstance(member, dict) or not member.get("id") or not isinstance(subscriptions, list):
        raise CallError(Trouble.MALFORMED)
    return {name: member.get(name) for name in _MEMBER} | {
        "subscriptions": [_subscription(one) for one in subscriptions if isinstance(one, dict)]
    }


def _subscription(one: dict[str, Any]) -> dict[str, Any]:
    price, metadata = one.get("price"), one.get("metadata")
    moved = metadata.get("ghost_migrated_to") if isinstance(metadata, dict) else None
    return {name: one.get(name) for name in _SUBSCRIPTION} | {
        "price": {name: price.get(name) for name in _PRICE} if isinstance(price, dict) else None,
        "metadata": {"ghost_migrated_to": moved} if moved else {},
    }
