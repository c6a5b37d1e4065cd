"""Subscriptions and their invoices: starting, renewing, failing, ending."""

from typing import Any

from simulator import ending
from simulator.due import DAY, HOUR, RETRY_DAYS
from simulator.events import emit, update
from simulator.objects import build_invoice, build_subscription, new_id
from simulator.payment_objects import build_invoice_payment
from simulator.payments import Outcome, confirm, judge, open_intent
from simulator.periods import next_end
from simulator.proration import with_balance
from simulator.shapes import Object
from simulator.world import World

ENDED = {"canceled", "incomplete_expired"}


def start(
    world: World,
    *,
    customer: Object,
    price: Object,
    method: Object | None,
    outcome: Outcome,
    at: int,
    quantity: int = 1,
    metadata: dict[str, str] | None = None,
    trial_end: int | None = None,
    own_method: bool = True,
) -> Object:
    """A new subscription with its first invoice, paid as the outcome says.

    `own_method`: whether later renewals name this method, or the customer's default of their day.
    It is active where the payment succeeded or is in process, else incomplete.
    """
    recurring = price["recurring"]
    end = trial_end or next_end(at, at, recurring["interval"], recurring["interval_count"])
    subscription = build_subscription(
        id=new_id("subscription"),
        customer=customer["id"],
        price=price,
        created=at,
        period_start=at,
        period_end=end,
        status="incomplete",
        quantity=quantity,
        payment_method=method["id"] if method and own_method else None,
        metadata=metadata,
    )
    if trial_end:
        subscription |= {
            "status": "trialing",
            "trial_start": at,
            "trial_end": trial_end,
            "billing_cycle_anchor": trial_end,
        }
        made = world.store.put(subscription)
        emit(world, "customer.subscription.created", made, at)
        return made
    invoice = world.store.put(
        build_invoice(
            id=new_id("invoice"),
            customer=customer,
            subscription=subscription,
            created=at,
            billing_reason="subscription_create",
        )
    )
    begun = outcome.status in {"succeeded", "processing"} or invoice["amount_due"] == 0
    subscription |= {
        "latest_invoice": invoice["id"],
        "status": "active" if begun else "incomplete",
    }
    made = world.store.put(subscription)
    emit(world, "invoice.created", invoice, at)
    emit(world, "customer.subscription.created", made, at)
    pay(world, finalize(world, invoice, at), method, outcome, at)
    return world.store.one(made["id"])


def finalize(world: World, invoice: Object, at: int) -> Object:
    """Close the draft: from now on it is to be paid."""
    transitions = {**invoice["status_transitions"], "finalized_at": at}
    customer = world.store.get(invoice["customer"])
    if customer:
        invoice = with_balance(invoice, customer)
        update(world, "customer.updated", customer, at, balance=invoice["ending_balance"])
    opened = world.store.put(
        {
            **invoice,
            "status": "open",
            "automatically_finalizes_at": None,
            "effective_at": at,
            "hosted_invoice_url": f"{world.base_url}/invoice/{invoice['id']}",
            "number": f"SIM{invoice['id'][-8:].upper()}-0001",
            "status_transitions": transitions,
        }
    )
    emit(world, "invoice.finalized", opened, at)
    return opened


def pay(world: World, invoice: Object, method: Object | None, outcome: Outcome, at: int) -> Object:
    """One try to collect an open invoice."""
    if invoice["amount_due"] == 0:
        return collected(world, invoice, None, at)
    intent, link = intent_of(world, invoice, at)
    confirm(world, intent, method, outcome, at)
    tried = {**invoice, "attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    if outcome.status == "succeeded":
        return collected(world, tried, link, at)
    if outcome.status == "processing":
        return world.store.put({**tried, "next_payment_attempt": None})
    return failed(world, tried, outcome, at)


def intent_of(world: World, invoice: Object, at: int) -> tuple[Object, Object]:
    """The invoice's payment intent and the link between the two; made when there is none."""
    links = world.store.find("invoice_payment", where={"parent": invoice["id"]}, limit=1)
    if links:
        return world.store.one(links[0]["payment"]["payment_intent"]), links[0]
    intent = open_intent(
        customer=invoice["customer"],
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        at=at,
        description=(
            "Subscription creation"
            if invoice["billing_reason"] == "subscription_create"
            else "Subscription update"
        ),
    )
    link = build_invoice_payment(
        id=new_id("invoice_payment"), invoice=invoice, payment_intent=intent["id"], created=at
    )
    return intent, world.store.put(link)


def collected(world: World, invoice: Object, link: Object | None, at: int) -> Object:
    if link:
        world.store.put(
            {
                **link,
                "amount_paid": invoice["amount_due"],
                "status": "paid",
                "status_transitions": {"canceled_at": None, "paid_at": at},
            }
        )
    paid = world.store.put(
        {
            **invoice,
            "status": "paid",
            "amount_paid": invoice["amount_due"],
            "amount_remaining": 0,
            "attempted": True,
            "auto_advance": False,
            "next_payment_attempt": None,
            "status_transitions": {**invoice["status_transitions"], "paid_at": at},
        }
    )
    emit(world, "invoice.paid", paid, at)
    subscription = subscription_of(world, paid)
    newest = subscription["latest_invoice"] == paid["id"]
    if newest and subscription["status"] in {"incomplete", "past_due", "unpaid"}:
        update(world, "customer.subscription.updated", subscription, at, status="active")
    return paid


def failed(world: World, invoice: Object, outcome: Outcome, at: int) -> Object:
    """A try failed: plan the next, or end as the account's settings say."""
    subscription = subscription_of(world, invoice)
    first = invoice["billing_reason"] == "subscription_create" and (
        subscription["status"] == "incomplete"
    )
    since = invoice.get("_failing_since") or at
    hard = outcome.decline is not None and outcome.decline.hard
    ahead = [since + day * DAY for day in RETRY_DAYS if since + day * DAY > at]
    over = first or not ahead or subscription["status"] in ENDED
    planned = None if over else (ahead[-1] if hard else ahead[0])
    unpaid = world.store.put(
        {
            **invoice,
            "auto_advance": not over,
            "next_payment_attempt": planned,
            "_failing_since": since,
            "_hard": hard,
        }
    )
    if outcome.status == "requires_action":
        emit(world, "invoice.payment_action_required", unpaid, at)
    emit(world, "invoice.payment_failed", unpaid, at)
    if first or subscription["status"] in ENDED:
        return unpaid
    if not over:
        if subscription["status"] == "active":
            update(world, "customer.subscription.updated", subscription, at, status="past_due")
    elif world.dunning_end == "cancel":
        cancel(world, subscription, at, "payment_failed")
    else:
        end = world.dunning_end
        update(world, "customer.subscription.updated", subscription, at, status=end)
    return unpaid


def subscription_of(world: World, invoice: Object) -> Object:
    return world.store.one(invoice["parent"]["subscription_details"]["subscription"])


def method_for(world: World, subscription: Object) -> Object | None:
    """What a renewal is charged on: the subscription's own method before the customer's."""
    own = world.named(subscription, "default_payment_method")
    if own:
        return own
    customer = world.store.get(subscription["customer"])
    return world.named(customer["invoice_settings"], "default_payment_method") if customer else None


def collect(world: World, invoice: Object, at: int) -> Object:
    """Try an open invoice once more, without the payer being there."""
    method = method_for(world, subscription_of(world, invoice))
    return pay(world, invoice, method, judge(method, off_session=True), at)


def renew(world: World, subscription: Object, at: int) -> None:
    """Begin the next period, with a draft invoice that is collected an hour later."""
    item = subscription["items"]["data"][0]
    recurring = item["price"]["recurring"]
    begin = item["current_period_end"]
    end = next_end(
        subscription["billing_cycle_anchor"],
        begin,
        recurring["interval"],
        recurring["interval_count"],
    )
    rolled = {
        **subscription,
        "items": with_item(subscription, current_period_start=begin, current_period_end=end),
    }
    customer = world.store.one(subscription["customer"])
    draft = build_invoice(
        id=new_id("invoice"),
        customer=customer,
        subscription=rolled,
        created=at,
        automatically_finalizes_at=at + HOUR,
    )
    draft["period_start"] = item["current_period_start"]
    paused = subscription["pause_collection"]
    if subscription["status"] == "unpaid" or (paused and paused["behavior"] == "keep_as_draft"):
        draft |= {"auto_advance": False, "automatically_finalizes_at": None}
    invoice = world.store.put(draft)
    emit(world, "invoice.created", invoice, at)
    status = "active" if subscription["status"] == "trialing" else subscription["status"]
    update(
        world,
        "customer.subscription.updated",
        subscription,
        at,
        items=rolled["items"],
        latest_invoice=invoice["id"],
        status=status,
    )
    if paused and paused["behavior"] != "keep_as_draft":
        close_unpaid(world, finalize(world, invoice, at), paused["behavior"], at)


def close_unpaid(world: World, invoice: Object, behavior: str, at: int) -> None:
    """Collection is paused: the invoice is given up at once."""
    void = behavior == "void"
    moment = "voided_at" if void else "marked_uncollectible_at"
    closed = world.store.put(
        {
            **invoice,
            "status": "void" if void else "uncollectible",
            "auto_advance": False,
            "next_payment_attempt": None,
            "status_transitions": {**invoice["status_transitions"], moment: at},
        }
    )
    emit(world, "invoice.voided" if void else "invoice.marked_uncollectible", closed, at)


def with_item(subscription: Object, **new: Any) -> Object:  # noqa: ANN401 - any of an item's fields
    """The subscription's list of items with some fields of its one item changed."""
    items = subscription["items"]
    return {**items, "data": [{**items["data"][0], **new}]}


def announce(world: World, subscription: Object, at: int) -> None:
    """Tell of the invoice to come, once for each period."""
    item = subscription["items"]["data"][0]
    end = item["current_period_end"]
    world.store.put({**subscription, "_announced": end})
    upcoming = build_invoice(
        id="upcoming",
        customer=world.store.one(subscription["customer"]),
        subscription=subscription,
        created=end,
        billing_reason="upcoming",
        next_payment_attempt=end + HOUR,
    )
    emit(world, "invoice.upcoming", upcoming, at)


def cancel(
    world: World,
    subscription: Object,
    at: int,
    reason: str = "cancellation_requested",
    details: dict[str, str] | None = None,
) -> Object:
    """End the subscription now, for good; what is open of its invoices is no longer tried."""
    for invoice in world.store.find("invoice", where={"parent": subscription["id"]}):
        if invoice["status"] in {"draft", "open"}:
            world.store.put(
                {
                    **invoice,
                    "auto_advance": False,
                    "automatically_finalizes_at": None,
                    "next_payment_attempt": None,
                }
            )
    told = {**subscription["cancellation_details"], **(details or {}), "reason": reason}
    ended = world.store.put(
        {
            **subscription,
            "status": "canceled",
            "canceled_at": subscription["canceled_at"] or at,
            "ended_at": at,
            "cancellation_details": told,
        }
    )
    emit(world, "customer.subscription.deleted", ended, at)
    return ended


def schedule_end(world: World, subscription: Object, *, stops: bool, at: int) -> Object:
    """Cancel at the period's end, as the portal and the dashboard do, or take that back.

    Under flexible billing they set the date alone, and leave `cancel_at_period_end` false.
    """
    flag = not world.on("portal_sets_cancel_at")
    fields = (
        ending.ends(subscription, ending.period_end(subscription), at, flag=flag)
        if stops
        else ending.goes_on(subscription)
    )
    return update(world, "customer.subscription.updated", subscription, at, **fields)
