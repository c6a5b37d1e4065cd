"""The billing portal's configurations and sessions."""

from typing import Any

from simulator.api.calls import LIST, page, route
from simulator.core.errors import refused
from simulator.core.objects import new_id
from simulator.core.params import METADATA, Clearable, merged
from simulator.core.shapes import Object
from simulator.core.store import Store
from simulator.core.world import World

CONFIGURATION = "billing_portal.configuration"
PRORATIONS = ("always_invoice", "create_prorations", "none")
REASONS = (
    *("customer_service", "low_quality", "missing_features", "other", "switched_service"),
    *("too_complex", "too_expensive", "unused"),
)
FEATURES = {
    "customer_update": {
        "enabled!": bool,
        "allowed_updates": [("address", "email", "name", "phone", "shipping", "tax_id")],
    },
    "invoice_history": {"enabled!": bool},
    "payment_method_update": {"enabled!": bool},
    "subscription_cancel": {
        "enabled!": bool,
        "mode": ("at_period_end", "immediately"),
        "proration_behavior": PRORATIONS,
        "cancellation_reason": {"enabled!": bool, "options!": [REASONS]},
    },
    "subscription_update": {
        "enabled!": bool,
        "default_allowed_updates": [("price", "promotion_code", "quantity")],
        "proration_behavior": PRORATIONS,
        "products": [{"product!": str, "prices!": [str]}],
    },
}
SETTINGS = {
    "business_profile": {
        "headline": Clearable(str),
        "privacy_policy_url": str,
        "terms_of_service_url": str,
    },
    "default_return_url": Clearable(str),
    "login_page": {"enabled!": bool},
    "metadata": METADATA,
    "name": Clearable(str),
}
# What a configuration says of each feature that it was not told about.
UNTOLD: dict[str, Object] = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_update": {
        "default_allowed_updates": [],
        "enabled": False,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}
# What a person finds ticked in the dashboard who only presses "Save".
SAVED_BY_HAND: dict[str, Object] = {
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True},
}


def save_settings(store: Store, at: int) -> Object:
    """Save the account's default configuration, as a person does in Stripe's dashboard."""
    found = default_configuration(store)
    return found or store.put(_built({"features": SAVED_BY_HAND}, at, is_default=True))


def forget_settings(store: Store) -> None:
    """Be a new account again, on which nobody has saved the portal's settings."""
    found = default_configuration(store)
    if found:
        store.delete(found["id"])


def default_configuration(store: Store) -> Object | None:
    is_default = ("coalesce(json_extract(data, '$.is_default'), 0) = ?", 1)
    found = store.find(CONFIGURATION, clauses=[is_default], limit=1)
    return found[0] if found else None


def _built(params: Object, at: int, *, is_default: bool) -> Object:
    made: Object = {
        "id": new_id(CONFIGURATION),
        "object": CONFIGURATION,
        "created": at,
        "updated": at,
        "is_default": is_default,
    }
    return {**made, **_told(UNTOLD, params)}


def _told(before: dict[str, Object], params: Object) -> Object:
    told = {**params, "features": _features(before, params.get("features", {}))}
    if "business_profile" in params:
        told["business_profile"] = {**NO_PROFILE, **params["business_profile"]}
    if "login_page" in params:
        told["login_page"] = {"url": None, **params["login_page"]}
    return told


NO_PROFILE = dict.fromkeys(("headline", "privacy_policy_url", "terms_of_service_url"))


def _features(before: dict[str, Object], given: dict[str, Object]) -> Object:
    return {name: {**before[name], **given.get(name, {})} for name in UNTOLD}


@route("POST", "/v1/billing_portal/configurations", **SETTINGS, **{"features!": FEATURES})
def create_configuration(world: World, params: Object) -> Object:
    return world.store.put(_built(params, world.now(), is_default=False))


@route("GET", "/v1/billing_portal/configurations/<configuration>")
def retrieve_configuration(world: World, params: Object, configuration: str) -> Object:
    del params
    return world.must(CONFIGURATION, configuration)


@route(
    "POST",
    "/v1/billing_portal/configurations/<configuration>",
    **SETTINGS,
    active=bool,
    features=FEATURES,
)
def update_configuration(world: World, params: Object, configuration: str) -> Object:
    found = world.must(CONFIGURATION, configuration)
    if found["is_default"] and params.get("active") is False:
        raise refused("You cannot deactivate the default portal configuration.", "active")
    metadata = merged(found["metadata"], params.get("metadata"))
    told = _told(found["features"], params)
    return world.store.put({**found, **told, "metadata": metadata, "updated": world.now()})


@route("GET", "/v1/billing_portal/configurations", **LIST, active=bool, is_default=bool)
def list_configurations(world: World, params: Object) -> Object:
    clauses = [
        (f"coalesce(json_extract(data, '$.{name}'), {int(usual)}) = ?", int(params[name]))
        for name, usual in (("active", True), ("is_default", False))
        if name in params
    ]
    return page(world, CONFIGURATION, params, "/v1/billing_portal/configurations", clauses=clauses)


FLOWS = {
    "payment_method_update": "payment_method_update",
    "subscription_cancel": "subscription_cancel",
    "subscription_update": "subscription_update",
}


@route(
    "POST",
    "/v1/billing_portal/sessions",
    **{
        "customer!": str,
        "return_url": str,
        "locale": str,
        "configuration": str,
        "flow_data": {
            "type!": tuple(FLOWS),
            "subscription_cancel": {"subscription!": str},
            "subscription_update": {"subscription!": str},
            "after_completion": {
                "type!": ("hosted_confirmation", "portal_homepage", "redirect"),
                "redirect": {"return_url!": str},
            },
        },
    },
)
def create_portal_session(world: World, params: Object) -> Object:
    world.must("customer", params["customer"], "customer")
    configuration = _configuration(world, params.get("configuration"))
    flow = params.get("flow_data")
    if flow and not configuration["features"][FLOWS[flow["type"]]]["enabled"]:
        raise refused(
            f"The flow `{flow['type']}` is not enabled in the portal configuration"
            f" {configuration['id']}.",
            "flow_data[type]",
        )
    identity = new_id("billing_portal.session")
    return world.store.put(
        {
            "id": identity,
            "object": "billing_portal.session",
            "created": world.now(),
            "configuration": configuration["id"],
            "customer": params["customer"],
            "flow": _flow(flow) if flow else None,
            "locale": params.get("locale"),
            "return_url": params.get("return_url") or configuration["default_return_url"],
            "url": f"{world.hosted_url}/portal/{identity}",
        }
    )


def _configuration(world: World, named: str | None) -> Object:
    """The configuration that a session goes by, or Stripe's refusal where there is none yet."""
    if named:
        found = world.must(CONFIGURATION, named, "configuration")
        if not found["active"]:
            raise refused(f"The portal configuration {named} is not active.", "configuration")
        return found
    default = default_configuration(world.store)
    if default is None and not world.on("portal_needs_configuration"):
        default = save_settings(world.store, world.now())
    if default is None:
        raise refused(
            "You can’t create a portal session in test mode until you save your customer portal"
            " settings in test mode at https://dashboard.stripe.com/test/settings/billing/portal."
        )
    return default


def _flow(given: Object) -> Object:
    after: dict[str, Any] = {"type": "portal_homepage", **given.get("after_completion", {})}
    flow: Object = {
        "type": given["type"],
        "after_completion": {"hosted_confirmation": None, "redirect": None, **after},
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
    }
    for name in ("subscription_cancel", "subscription_update"):
        if name in given:
            flow[name] = {**EMPTY[name], **given[name]}
    return flow


EMPTY: dict[str, Object] = {"subscription_cancel": {"retention": None}, "subscription_update": {}}
