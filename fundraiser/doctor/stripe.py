"""The Stripe checks of ``fundraiser doctor``: rights, endpoint, clock, portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fundraiser.errors import FundraiserError
from fundraiser.payments import API_VERSION, May, StripeKeyError, WebhookReason, is_as_it_should_be
from fundraiser.webhooks.inbox import HANDLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.config import Settings
    from fundraiser.payments import AccountGateway, Endpoint

_A_CLOCK_OFF = 30  # seconds; beyond 300 webhooks are refused
_MOST_NAMED = 5
SET_UP = "run fundraiser stripe set-up"


class Finding(NamedTuple):
    """The result for one part; ``sentence`` says what to do if there is a problem."""

    is_well: bool
    sentence: str


def examine_stripe(gateway: AccountGateway, settings: Settings) -> Iterator[Finding]:
    """Check everything at Stripe that we can see from here."""
    try:
        gateway.check_key()
        rights = gateway.try_rights() if settings.stripe_api_key.startswith("rk_") else []
    except StripeKeyError as error:
        yield Finding(False, f"{error.detail} Check STRIPE_API_KEY.")
        return
    except FundraiserError as error:
        yield Finding(False, f"{error} Check STRIPE_API_KEY and the network.")
        return
    yield _of_rights([(right.name, right.writes, may) for right, may in rights])
    for look in (_of_account, _of_clock, _of_endpoints, _of_portal):
        try:
            yield from look(gateway, settings)
        except FundraiserError as error:
            reason = error.detail if isinstance(error, StripeKeyError) else str(error)
            part = look.__name__.removeprefix("_of_")
            yield Finding(False, f"The {part} at Stripe can't be told: {reason}")


def _of_rights(tried: list[tuple[str, bool, May]]) -> Finding:
    unread = [name for name, writes, may in tried if may is May.NO and not writes]
    unwritten = [name for name, writes, may in tried if may is May.NO and writes]
    lacks = " and ".join(
        [f"may not read {', '.join(unread)}"] * bool(unread)
        + [f"may not write {', '.join(unwritten)}"] * bool(unwritten)
    )
    if lacks:
        return Finding(
            False,
            f"STRIPE_API_KEY {lacks}: give the key these rights at Stripe "
            "(docs/going-live.md says what each is for).",
        )
    untold = [
        f"{'write' if writes else 'read'} {name}"
        for name, writes, may in tried
        if may is May.UNKNOWN
    ]
    if untold:
        return Finding(
            False, f"Stripe takes the key; whether it may {', '.join(untold)} can't be told."
        )
    return Finding(True, "Stripe answers, takes the key, and lets it do what is needed.")


def _of_account(gateway: AccountGateway, settings: Settings) -> Iterator[Finding]:
    account = gateway.fetch_account()
    if account and settings.livemode and not account.charges_enabled:
        yield Finding(False, f"Stripe lets {account.id} charge nobody yet: finish its activation.")


def _of_clock(gateway: AccountGateway, _settings: Settings) -> Iterator[Finding]:
    ahead = gateway.seconds_ahead()
    if abs(ahead) < _A_CLOCK_OFF:
        yield Finding(True, "This machine's clock agrees with Stripe's.")
        return
    where = "behind" if ahead > 0 else "ahead of"
    yield Finding(
        False,
        f"This machine's clock is {abs(ahead):.0f} seconds {where} Stripe's: set it by NTP. "
        "Beyond 300 seconds webhooks are refused.",
    )


def _of_endpoints(gateway: AccountGateway, _settings: Settings) -> Iterator[Finding]:
    address = gateway.webhook_address
    listed = gateway.list_endpoints()
    here = [one for one in listed if one.url.rstrip("/") == address]
    ours = [one for one in here if not one.is_thin]
    for thin in here:
        if thin.is_thin and thin.is_enabled:
            yield Finding(
                False,
                f"{thin.id} sends us thin payloads, which we refuse: delete it at Stripe.",
            )
    if not ours:
        elsewhere = sorted({one.url for one in listed if one.url.endswith("/webhooks/stripe")})
        hint = f" Stripe calls {', '.join(elsewhere[:_MOST_NAMED])} instead." if elsewhere else ""
        yield Finding(False, f"Stripe has no endpoint for {address}: {SET_UP}.{hint}")
        return
    enabled = [one for one in ours if one.is_enabled]
    if not enabled:
        yield Finding(False, f"Stripe's endpoint for {address} is disabled: {SET_UP}.")
        return
    if len(enabled) > 1:
        names = ", ".join(one.id for one in enabled)
        yield Finding(
            False,
            f"Stripe sends each event {len(enabled)} times to {address}: keep one of {names}.",
        )
    yield from _of_endpoint(enabled[0], address)


def _of_endpoint(endpoint: Endpoint, address: str) -> Iterator[Finding]:
    lacking = endpoint.lacks(HANDLED)
    if lacking:
        named = ", ".join(lacking[:_MOST_NAMED])
        more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
        yield Finding(False, f"Stripe's endpoint is not sent {named}{more}: {SET_UP}.")
        return
    version = endpoint.version or "the account's own version"
    note = "" if endpoint.version == API_VERSION else f", in {version}, which will do"
    yield Finding(True, f"Stripe sends what is needed to {address}{note}.")


def _of_portal(gateway: AccountGateway, settings: Settings) -> Iterator[Finding]:
    found = gateway.find_portal()
    if found is None:
        yield Finding(False, f"Stripe's portal is not configured for us: {SET_UP}.")
    elif not is_as_it_should_be(found, settings.public_url):
        yield Finding(False, f"{found['id']}, our portal at Stripe, was changed: {SET_UP}.")
    else:
        yield Finding(True, "Stripe's portal is configured.")


WHAT_TO_DO = {
    WebhookReason.SIGNATURE.value: "STRIPE_WEBHOOK_SECRET is not the endpoint's",
    WebhookReason.TOO_OLD.value: "this machine's clock is ahead",
    WebhookReason.TOO_NEW.value: "this machine's clock is behind",
    WebhookReason.THIN.value: "an endpoint sends thin payloads",
    WebhookReason.OTHER_MODE.value: "an endpoint of the other mode, test or live, calls here",
    WebhookReason.NOT_AN_EVENT.value: "something signed that is no event",
    WebhookReason.NO_SIGNATURE.value: "somebody else calls here",
}


def tell_refusals(webhooks: dict[str, int], calls: list[str]) -> Iterator[Finding]:
    """Report recent refusals, by us and by Stripe."""
    alarming = {
        reason: count
        for reason, count in webhooks.items()
        if reason != WebhookReason.NO_SIGNATURE.value
    }
    if alarming:
        reasons = "; ".join(f"{count} times {WHAT_TO_DO[name]}" for name, count in alarming.items())
        yield Finding(False, f"Webhooks are refused since the last accepted one: {reasons}.")
    else:
        yield Finding(True, "No webhook of Stripe's was refused since the last accepted one.")
    if calls:
        yield Finding(
            False, f"Within a day Stripe refused calls for want of {', '.join(calls)} in the key."
        )
