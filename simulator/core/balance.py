"""The account's balance: transactions and payouts.

Funds that become available on a day are paid out at its start (UTC), one payout for each currency.
Also builds these objects for the demonstration's bulk data.
"""

from simulator.core.due import DAY
from simulator.core.errors import refused
from simulator.core.events import emit, update
from simulator.core.objects import new_id
from simulator.core.shapes import Object, public
from simulator.core.world import World

ARRIVES_AFTER = 2 * DAY
# By the kind of what moves the balance: the transaction's `type`, and its `reporting_category`.
KINDS = {
    "charge": ("charge", "charge"),
    "payment": ("payment", "charge"),
    "refund": ("refund", "refund"),
    "payment_refund": ("payment_refund", "refund"),
    "refund_failure": ("refund_failure", "refund_failure"),
    "dispute": ("adjustment", "dispute"),
    "dispute_reversal": ("adjustment", "dispute_reversal"),
    "payout": ("payout", "payout"),
    "payout_failure": ("payout_failure", "payout_reversal"),
    "stripe_fee": ("stripe_fee", "fee"),
}
# In thousandths and in the smallest unit; any other currency costs what the first does.
CARD_FEES = {"eur": (15, 25), "gbp": (15, 20), "usd": (29, 30)}
DEBIT_FEE = 35
DISPUTE_FEES = {"eur": 2000, "gbp": 2000, "usd": 1500}
SETTLES_AFTER_DAYS = 3


def fee_of(amount: int, currency: str, kind: str = "charge") -> int:
    """Stripe's fee for a payment, rounded up."""
    if kind == "payment":
        return DEBIT_FEE
    share, fixed = CARD_FEES.get(currency, CARD_FEES["eur"])
    return (amount * share + 999) // 1000 + fixed


def available_on(created: int, kind: str) -> int:
    """When funds become available: payments some mornings later, refunds at once."""
    if kind in {"charge", "payment"}:
        return created // DAY * DAY + SETTLES_AFTER_DAYS * DAY
    return created


def build_balance_transaction(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    source: str | None,
    amount: int,
    currency: str,
    created: int,
    kind: str = "charge",
    fee: int | None = None,
    description: str | None = None,
) -> Object:
    """Build the balance transaction of a charge, refund, dispute, fee or payout."""
    if fee is None:
        fee = fee_of(amount, currency, kind) if kind in {"charge", "payment"} else 0
    name, category = KINDS[kind]
    made = {
        "id": id,
        "object": "balance_transaction",
        "created": created,
        "available_on": available_on(created, kind),
        "amount": amount,
        "currency": currency,
        "fee": fee,
        "net": amount - fee,
        "reporting_category": category,
        "source": source,
        "type": name,
    }
    return {**made, "description": description} if description else made


def build_payout(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    transaction: str,
    amount: int,
    currency: str,
    created: int,
    status: str = "in_transit",
) -> list[Object]:
    """Build a payout and its balance transaction."""
    taken = build_balance_transaction(
        id=transaction,
        source=id,
        amount=-amount,
        currency=currency,
        created=created,
        kind="payout",
        description="STRIPE PAYOUT",
    )
    payout = {
        "id": id,
        "object": "payout",
        "created": created,
        "amount": amount,
        "arrival_date": created + ARRIVES_AFTER,
        "balance_transaction": transaction,
        "currency": currency,
        "status": status,
    }
    return [{**taken, "_payout": id}, payout]


def fail_objects(payout: Object, transaction: str, created: int) -> Object:
    """Mark a payout as failed; returns the transaction that restores the funds."""
    payout |= {
        "status": "failed",
        "failure_balance_transaction": transaction,
        "failure_code": "account_closed",
        "failure_message": "The bank account has been closed.",
    }
    return build_balance_transaction(
        id=transaction,
        source=payout["id"],
        amount=payout["amount"],
        currency=payout["currency"],
        created=created,
        kind="payout_failure",
        description="STRIPE PAYOUT FAILURE",
    )


def enter(
    world: World,
    kind: str,
    *,
    source: str | None,
    amount: int,
    currency: str,
    at: int,
    fee: int | None = None,
    description: str | None = None,
) -> Object:
    """Store a balance transaction and return it."""
    return world.store.put(
        build_balance_transaction(
            id=new_id("balance_transaction"),
            source=source,
            amount=amount,
            currency=currency,
            created=at,
            kind=kind,
            fee=fee,
            description=description,
        )
    )


def pay_out(world: World, first: Object, at: int) -> None:
    """Pay out all available funds in this transaction's currency, if there are any."""
    due = world.store.find(
        "balance_transaction",
        clauses=[("due <= ?", at), ("json_extract(data, '$.currency') = ?", first["currency"])],
    )
    amount = sum(found["net"] for found in due)
    if amount <= 0:  # what was given back is more: the next payout is smaller
        for found in due:
            world.store.put({**found, "_held_until": at + DAY})
        return
    taken, payout = build_payout(
        id=new_id("payout"),
        transaction=new_id("balance_transaction"),
        amount=amount,
        currency=first["currency"],
        created=at,
    )
    for found in (*({**one, "_payout": payout["id"]} for one in due), taken):
        world.store.put(found)
    made = world.store.put(payout)
    emit(world, "payout.created", made, at)
    emit(world, "payout.reconciliation_completed", made, at)


def arrive(world: World, payout: Object, at: int) -> None:
    """Mark a payout as arrived at the bank."""
    update(world, "payout.paid", payout, at, status="paid")


def fail_payout(world: World, payout: Object, at: int) -> Object:
    """The bank returns a payout; its funds wait for the next one."""
    if payout["status"] == "failed":
        raise refused(f"Payout {payout['id']} has failed already.")
    failed = dict(payout)
    world.store.put(fail_objects(failed, new_id("balance_transaction"), at))
    return update(world, "payout.failed", payout, at, **failed)


def shown(world: World, transaction: Object) -> Object:
    """A transaction as the API shows it, with its current availability and fee details."""
    available = transaction["available_on"] <= world.now()
    is_dispute = transaction["reporting_category"] == "dispute"
    details = {
        "amount": transaction["fee"],
        "application": None,
        "currency": transaction["currency"],
        "description": "Dispute fee" if is_dispute else "Stripe processing fees",
        "type": "stripe_fee",
    }
    return public(
        {
            **transaction,
            "fee_details": [details] if transaction["fee"] else [],
            "status": "available" if available else "pending",
        }
    )


def amounts(world: World, *, available: bool) -> list[Object]:
    """The balance by currency, available and pending."""
    sign = "<=" if available else ">"
    rows = world.store.execute(
        "SELECT json_extract(data, '$.currency'), sum(json_extract(data, '$.net')) FROM objects"  # noqa: S608 - a sign
        f" WHERE object = 'balance_transaction' AND json_extract(data, '$.available_on') {sign} ?"
        " GROUP BY 1 ORDER BY 1",
        (world.now(),),
    )
    return [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in rows
    ]
