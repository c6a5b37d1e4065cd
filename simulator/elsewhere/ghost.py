"""Ghost's Admin API, as far as members go. README.md has the sources."""

import base64
import hmac
import json
import re
import secrets
import time
from typing import Any

from flask import Blueprint, Response, request

from simulator.elsewhere.faults import Faults, as_json

USUAL, MOST = 15, 100
LONGEST_LIFE = 300  # seconds of a token
_FILTER = re.compile(r"status:(\w+)|id:\[([0-9a-f,]*)\]")


class Ghost:
    """A site with its members and one integration's key."""

    def __init__(self) -> None:
        self.id, self.secret = secrets.token_hex(12), secrets.token_hex(32)
        self.members: list[dict[str, Any]] = []
        self.faults = Faults()
        self.calls: list[str] = []

    @property
    def key(self) -> str:
        return f"{self.id}:{self.secret}"

    def put(self, email: str, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - Ghost's own
        """Add a member, or change one."""
        known = next((one for one in self.members if one["email"] == email), None)
        if known is None:
            known = {
                "id": secrets.token_hex(12),
                "email": email,
                "name": None,
                "status": "free",
                "note": None,
                "subscriptions": [],
                "tiers": [],
                "newsletters": [],
            }
            self.members.append(known)
        known |= values
        return known

    def why_not(self) -> str | None:
        """Why a token isn't taken."""
        scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Ghost":
            return 'Authorization header format is "Authorization: Ghost [token]"'
        try:
            head, body, signature = token.split(".")
            header, claims = _decoded(head), _decoded(body)
        except ValueError:
            return "Invalid token: jwt malformed"
        if header.get("kid") != self.id:
            return "Unknown Admin API Key"
        made = hmac.new(bytes.fromhex(self.secret), f"{head}.{body}".encode(), "sha256").digest()
        if header.get("alg") != "HS256" or not hmac.compare_digest(_encoded(made), signature):
            return "Invalid token: invalid signature"
        if claims.get("aud") != "/admin/":
            return "Invalid token: jwt audience invalid. expected: /admin/"
        if claims.get("exp", 0) <= time.time():
            return "Invalid token: jwt expired"
        if claims["exp"] - claims.get("iat", 0) > LONGEST_LIFE:
            return "Invalid token: maxAge exceeded"
        return None

    def browse(self) -> Response:
        found = self.members
        if wanted := request.args.get("filter"):
            match = _FILTER.fullmatch(wanted)
            if match is None:
                return _failure(400, "BadRequestError", "Error parsing filter")
            if match[1]:
                found = [one for one in found if one["status"] == match[1]]
            else:
                found = [one for one in found if one["id"] in match[2].split(",")]
        limit = min(_number("limit", USUAL), MOST)
        page = _number("page", 1)
        if request.args.get("order") == "created_at desc" or "order" not in request.args:
            found = found[::-1]
        pages = max(-(-len(found) // limit), 1)
        shown = found[(page - 1) * limit : page * limit]
        if self.faults.drops:
            shown = [one for place, one in enumerate(shown, 1) if place % self.faults.drops]
        if self.faults.fields:
            shown = [{"id": one["id"], "email": one["email"]} for one in shown]
        pagination = {
            "page": page,
            "limit": limit,
            "pages": pages,
            "total": len(found),
            "next": page + 1 if page < pages else None,
            "prev": page - 1 or None,
        }
        return as_json({"members": shown, "meta": {"pagination": pagination}})


def _decoded(part: str) -> dict[str, Any]:
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(found, dict):
        raise ValueError  # noqa: TRY004 - as its caller expects
    return found


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _number(name: str, usual: int) -> int:
    written = request.args.get(name, "")
    return max(int(written), 1) if written.isdigit() else usual


def _failure(status: int, kind: str, message: str) -> Response:
    return as_json({"errors": [{"message": message, "type": kind, "context": None}]}, status)


def api(ghost: Ghost) -> Blueprint:
    """The routes, below whatever prefix."""
    routes = Blueprint("ghost", __name__)

    @routes.get("/ghost/api/admin/members/")
    def members() -> Response:
        ghost.calls.append("members")

        def make() -> Response:
            if why := ghost.why_not():
                return _failure(401, "UnauthorizedError", why)
            return ghost.browse()

        return ghost.faults.answer(make)

    return routes
