"""The balance, what moved it, and payouts."""

from simulator.api.calls import LIST, page, route
from simulator.core.balance import amounts, shown
from simulator.core.params import RANGE
from simulator.core.shapes import Object
from simulator.core.world import World


@route("GET", "/v1/balance")
def retrieve_balance(world: World, params: Object) -> Object:
    del params
    return {
        "object": "balance",
        "available": amounts(world, available=True),
        "livemode": False,
        "pending": amounts(world, available=False),
    }


@route("GET", "/v1/balance_transactions/<transaction>")
def retrieve_transaction(world: World, params: Object, transaction: str) -> Object:
    del params
    return shown(world, world.must("balance_transaction", transaction))


@route("GET", "/v1/balance_transactions", **LIST, payout=str, source=str, type=str, currency=str)
def list_transactions(world: World, params: Object) -> Object:
    """Of a payout: all that it contains, and the transaction of the payout itself."""
    clauses = [
        (f"json_extract(data, '$.{name}') = ?", params[name])
        for name in ("type", "currency")
        if name in params
    ]
    if "payout" in params:
        world.must("payout", params["payout"], "payout")
    where = {"parent": params.get("source"), "key": params.get("payout")}
    url = "/v1/balance_transactions"
    found = page(world, "balance_transaction", params, url, where=where, clauses=clauses)
    return {**found, "data": [shown(world, one) for one in found["data"]]}


@route("GET", "/v1/payouts/<payout>")
def retrieve_payout(world: World, params: Object, payout: str) -> Object:
    del params
    return world.must("payout", payout)


@route("GET", "/v1/payouts", **LIST, arrival_date=RANGE, status=str)
def list_payouts(world: World, params: Object) -> Object:
    where = {"status": params.get("status")}
    return page(world, "payout", params, "/v1/payouts", where=where)
