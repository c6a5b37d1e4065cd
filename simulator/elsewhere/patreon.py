"""A campaign's members by Patreon's API v2 and its webhooks. README.md has the sources."""

import hmac
import json
import math
import secrets
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, request

from simulator.elsewhere.faults import Faults, Window, as_json

JSON_API = "application/vnd.api+json"
PAGE = 1000
LIFE = 2_678_400  # seconds of an access token: 31 days
PATIENCE = 5  # seconds that a webhook's receiver has
NOTHING = {
    **dict.fromkeys(("email", "full_name", "last_charge_date", "last_charge_status")),
    **dict.fromkeys(("next_charge_date", "patron_status", "pledge_cadence")),
    **dict.fromkeys(("pledge_relationship_start",)),
    **dict.fromkeys(("campaign_lifetime_support_cents", "lifetime_support_cents"), 0),
    **dict.fromkeys(("currently_entitled_amount_cents", "will_pay_amount_cents"), 0),
    **dict.fromkeys(("is_follower", "is_free_trial", "is_gifted"), False),
    "note": "",
}


@dataclass
class Member:
    """``attributes`` are Patreon's; what isn't said is null, nought or false."""

    user: str
    attributes: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def shown(self, wanted: set[str], *, has_user: bool) -> dict[str, Any]:
        """Nothing but what was asked for comes."""
        whole = NOTHING | self.attributes
        found: dict[str, Any] = {
            "attributes": {name: whole[name] for name in sorted(wanted & set(whole))},
            "id": self.id,
            "type": "member",
        }
        if has_user:
            user = {"id": self.user, "type": "user"}
            found["relationships"] = {"user": {"data": user}}
        return found


@dataclass
class Hook:
    """A webhook: ``failed`` events wait until it is no longer paused."""

    uri: str
    secret: str
    id: str = "3955"
    paused: bool = False
    failures: int = 0
    waiting: deque[tuple[str, bytes]] = field(default_factory=deque)


class Patreon:
    """A campaign with its members, and one client with its tokens."""

    def __init__(self, campaign: str = "123456") -> None:
        self.campaign = campaign
        self.client = ("client-of-the-campaign", "secret-of-the-client")
        self.access, self.refresh = (
            f"access-{secrets.token_hex(8)}",
            f"refresh-{secrets.token_hex(8)}",
        )
        self.ends = time.monotonic() + LIFE
        self.life = LIFE
        self.members: dict[str, Member] = {}
        self.page = PAGE
        self.limit = Window(100, 60)
        self.tells_wait = True
        self.cursors: dict[str, int] = {}
        self.faults = Faults()
        self.hook: Hook | None = None
        self.calls: list[str] = []
        self.lock = threading.RLock()

    # What the campaign's people do.

    def put(self, user: str, **attributes: Any) -> Member:  # noqa: ANN401 - Patreon's own
        """Add a member, or change what is said of them; the webhook tells of it."""
        with self.lock:
            known = next((one for one in self.members.values() if one.user == user), None)
            if known:
                known.attributes |= attributes
            else:
                known = Member(user, attributes)
                self.members[known.id] = known
        return known

    def tell(self, trigger: str, member: Member) -> int:
        """Send the event by the webhook; the status of the answer, 0 where it isn't sent."""
        body = {
            "data": member.shown(set(NOTHING), has_user=True),
            "included": [],
            "links": {"self": f"https://www.patreon.com/api/oauth2/v2/members/{member.id}"},
        }
        campaign = {"data": {"id": self.campaign, "type": "campaign"}}
        body["data"]["relationships"]["campaign"] = campaign  # type: ignore[index] # a member
        if self.hook is None:
            return 0
        self.hook.waiting.append((trigger, json.dumps(body).encode()))
        return self.deliver()

    def deliver(self) -> int:
        """Send what waits, in its order, until one fails: then the webhook pauses."""
        status, hook = 0, self.hook
        while hook and hook.waiting and not hook.paused:
            trigger, body = hook.waiting[0]
            status = self._post(hook, trigger, body)
            if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's good ones
                hook.failures += 1
                hook.paused = True
                break
            hook.failures = 0
            hook.waiting.popleft()
        return status

    @staticmethod
    def _post(hook: Hook, trigger: str, body: bytes) -> int:
        signed = hmac.new(hook.secret.encode(), body, "md5").hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Patreon-Event": trigger,
            "X-Patreon-Signature": signed,
        }
        sent = urllib.request.Request(hook.uri, body, headers, method="POST")  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(sent, timeout=PATIENCE) as answer:  # noqa: S310 - ours
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    # What the API answers.

    def refused(self) -> Response | None:
        """Why a call isn't answered: its token, or too many."""
        sent = request.headers.get("Authorization", "")
        if sent != f"Bearer {self.access}" or time.monotonic() > self.ends:
            return failure(401, "Unauthorized", "The server could not verify that you are allowed.")
        if wait := self.limit.wait():
            more = {"retry_after_seconds": math.ceil(wait)} if self.tells_wait else {}
            return failure(429, "RequestThrottled", "You have made too many attempts.", **more)
        return None

    def list(self, campaign: str) -> Response:
        assert campaign == self.campaign  # noqa: S101 - looked at before
        cursor = request.args.get("page[cursor]")
        if cursor is not None and cursor not in self.cursors:
            return failure(400, "ParameterInvalidOnType", "Invalid value for parameter cursor.")
        begin = self.cursors.get(cursor, 0) if cursor else 0
        count = request.args.get("page[count]", str(self.page))
        size = min(int(count) if count.isdigit() and int(count) else self.page, self.page)
        listed = list(self.members.values())
        page = listed[begin : begin + size]
        following = None
        if begin + size < len(listed):
            following = secrets.token_hex(8)
            self.cursors[following] = begin + size
        if self.faults.drops:
            page = [one for place, one in enumerate(page, 1) if place % self.faults.drops]
        pagination: dict[str, Any] = {"total": len(listed), "cursors": {"next": following}}
        return as_json(
            {"data": [self.shown(one) for one in page], "meta": {"pagination": pagination}},
            mimetype=JSON_API,
        )

    def shown(self, member: Member) -> dict[str, Any]:
        wanted = (
            set() if self.faults.fields else set(request.args.get("fields[member]", "").split(","))
        )
        return member.shown(wanted, has_user="user" in request.args.get("include", "").split(","))

    def renew(self) -> Response:
        """Both tokens are replaced, and the old ones are worth nothing from then on."""
        form = request.form
        if (form.get("client_id"), form.get("client_secret")) != self.client:
            return as_json({"error": "invalid_client"}, 401)
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self.refresh:
            return as_json({"error": "invalid_grant"}, 401)
        self.access, self.refresh = (
            f"access-{secrets.token_hex(8)}",
            f"refresh-{secrets.token_hex(8)}",
        )
        self.ends = time.monotonic() + self.life
        return as_json(
            {
                "access_token": self.access,
                "refresh_token": self.refresh,
                "expires_in": self.life,
                "scope": "campaigns campaigns.members campaigns.members[email]",
                "token_type": "Bearer",
            }
        )

    def show(self, campaign: str) -> Response:
        found = {"attributes": {}, "id": campaign, "type": "campaign"}
        return as_json({"data": found}, mimetype=JSON_API)

    def find(self, member_id: str) -> Response:
        found = self.members.get(member_id)
        if found is None:
            return failure(404, "ResourceMissing", "Member was not found.")
        return as_json({"data": self.shown(found), "included": []}, mimetype=JSON_API)

    def list_hooks(self) -> Response:
        return as_json({"data": [_hook(self.hook)] if self.hook else []}, mimetype=JSON_API)

    def change_hook(self, hook_id: str) -> Response:
        hook = self.hook
        if hook is None or hook.id != hook_id:
            return failure(404, "ResourceMissing", "Webhook was not found.")
        changes = request.get_json(force=True)["data"]["attributes"]
        if "paused" in changes:
            hook.paused = str(changes["paused"]).lower() == "true"
            threading.Thread(target=self.deliver, daemon=True).start()
        return as_json({"data": _hook(hook)}, mimetype=JSON_API)

    def view(self, make: Callable[..., Response]) -> Callable[..., Response]:
        """A route's answer, with what any call meets before it."""

        def checked(ids: dict[str, str]) -> Response:
            with self.lock:
                if refused := self.refused():
                    return refused
                if ids.get("campaign", self.campaign) != self.campaign:
                    return failure(404, "ResourceMissing", "Campaign was not found.")
                return make(**ids)

        def answered(**ids: str) -> Response:
            self.calls.append(make.__name__)
            return self.faults.answer(lambda: checked(ids))

        return answered


def failure(status: int, name: str, title: str, **more: Any) -> Response:  # noqa: ANN401 - Patreon's
    error = {
        "code": None,
        "code_name": name,
        "detail": title,
        "id": str(uuid.uuid4()),
        "status": str(status),
        "title": title,
        **more,
    }
    return as_json({"errors": [error]}, status, JSON_API)


def api(patreon: Patreon) -> Blueprint:
    """The routes, below whatever prefix."""
    routes = Blueprint("patreon", __name__)

    @routes.post("/api/oauth2/token")
    def token() -> Response:
        patreon.calls.append("token")
        with patreon.lock:
            return patreon.faults.answer(patreon.renew)

    for path, method, make in (
        ("campaigns/<campaign>", "GET", patreon.show),
        ("campaigns/<campaign>/members", "GET", patreon.list),
        ("members/<member_id>", "GET", patreon.find),
        ("webhooks", "GET", patreon.list_hooks),
        ("webhooks/<hook_id>", "PATCH", patreon.change_hook),
    ):
        routes.add_url_rule(
            f"/api/oauth2/v2/{path}",
            endpoint=path.replace("/", " "),
            view_func=patreon.view(make),
            methods=[method],
        )
    return routes


def _hook(hook: Hook) -> dict[str, Any]:
    return {
        "attributes": {
            "num_consecutive_times_failed": hook.failures,
            "paused": hook.paused,
            "uri": hook.uri,
        },
        "id": hook.id,
        "type": "webhook",
    }
