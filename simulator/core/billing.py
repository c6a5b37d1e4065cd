"""Subscriptions and their invoices: start, renew, fail, end."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from simulator.core import discounts, ending, pending
from simulator.core.due import DAY, HOUR, RETRY_DAYS, period_end
from simulator.core.events import emit, update
from simulator.core.lines import Line, free, of_items
from simulator.core.objects import build_invoice, build_subscription, new_id
from simulator.core.payment_objects import build_invoice_payment
from simulator.core.payments import Outcome, cancel_intent, confirm, judge, open_intent
from simulator.core.periods import next_end
from simulator.core.proration import each_by_its_own, next_period, with_balance
from simulator.core.shapes import Object, full
from simulator.core.world import World

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
    more_items: Sequence[tuple[Object, int]] = (),
    **more: Any,  # noqa: ANN401 - any of a subscription's fields
) -> Object:
    """Create a subscription with its first invoice, paid as the outcome says.

    `own_method`: whether renewals use this method, or the customer's default at the time. It is
    active if the payment succeeded or is processing, otherwise incomplete.
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
        more_items=more_items,
    )
    if more_items and not trial_end:
        subscription["items"] = each_by_its_own(subscription["items"], at)
    subscription = full(subscription | more)
    if trial_end:
        subscription |= {
            "status": "trialing",
            "trial_start": at,
            "trial_end": trial_end,
            "billing_cycle_anchor": trial_end,
        }
    if trial_end and not world.on("trial_invoice"):
        made = world.store.put(subscription)
        emit(world, "customer.subscription.created", made, at)
        return made
    invoice = draft(
        world,
        subscription,
        customer,
        at,
        reason="subscription_create",
        lines=free(subscription) if trial_end else None,
    )
    return _begun(world, subscription, invoice, (method, outcome), at)


def _begun(
    world: World,
    subscription: Object,
    invoice: Object,
    payment: tuple[Object | None, Outcome],
    at: int,
) -> Object:
    """Emit a new subscription's events, and collect its first invoice."""
    method, outcome = payment
    waits = subscription["collection_method"] == "send_invoice"
    begun = outcome.status in {"succeeded", "processing"} or invoice["amount_due"] == 0 or waits
    if subscription["status"] == "incomplete" and begun:
        subscription["status"] = "active"
    made = world.store.put({**subscription, "latest_invoice": invoice["id"]})
    discounts.belong(world, made["discounts"], made["id"])
    emit(world, "invoice.created", invoice, at)
    emit(world, "customer.subscription.created", made, at)
    if waits and invoice["amount_due"] > 0:
        world.store.put({**invoice, "automatically_finalizes_at": at + HOUR})
    else:
        pay(world, finalize(world, invoice, at), method, outcome, at)
    return world.store.one(made["id"])


def draft(
    world: World,
    subscription: Object,
    customer: Object,
    at: int,
    *,
    reason: str = "subscription_cycle",
    lines: list[Line] | None = None,
    **more: Any,  # noqa: ANN401 - any of an invoice's fields
) -> Object:
    """Create a draft invoice with these lines, or the current period, and all pending items."""
    waiting = pending.waiting(world, subscription)
    told = of_items(subscription) if lines is None else lines
    made = build_invoice(
        id=new_id("invoice"),
        customer=customer,
        subscription=subscription,
        created=at,
        billing_reason=reason,
        lines=[*map(pending.line_of, waiting), *told],
        discounts=discounts.in_force(world, subscription, at),
        **more,
    )
    pending.attach(world, waiting, made["id"])
    return world.store.put(made)


def finalize(world: World, invoice: Object, at: int) -> Object:
    """Finalise the draft, so that it can be paid."""
    transitions = {**invoice["status_transitions"], "finalized_at": at}
    customer = world.store.get(invoice["customer"])
    if customer:
        invoice = with_balance(invoice, customer)
        left = invoice["total"] + invoice["starting_balance"] - invoice["amount_due"]
        invoice["ending_balance"] = left
        # Stripe sets the currency with the first subscription; whether it tells of that is unknown.
        currency = customer["currency"] or (invoice["currency"] if left else None)
        update(world, "customer.updated", customer, at, balance=left, currency=currency)
    if invoice["collection_method"] == "send_invoice" and invoice["due_date"] is None:
        days = subscription_of(world, invoice)["days_until_due"] or 0
        invoice = {**invoice, "due_date": at + days * DAY}
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


def advance(world: World, invoice: Object, at: int) -> None:
    """Finalise a draft after an hour, and charge or send it."""
    opened = finalize(world, invoice, at)
    if opened["collection_method"] == "charge_automatically" or opened["amount_due"] == 0:
        collect(world, opened, at)
    else:
        emit(world, "invoice.sent", opened, at)


def pay(world: World, invoice: Object, method: Object | None, outcome: Outcome, at: int) -> Object:
    """Make one attempt to collect an open invoice."""
    if invoice["amount_due"] == 0:
        return collected(world, invoice, None, at)
    intent, link = intent_of(world, invoice, at)
    confirm(world, intent, method, outcome, at)
    tried = {**invoice, "attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    if outcome.status == "succeeded":
        return collected(world, tried, link, at)
    if outcome.status == "processing":
        return world.store.put({**tried, "next_payment_attempt": None})
    if outcome.status == "verifying":
        emit(world, "invoice.payment_action_required", invoice, at)
        return invoice
    return failed(world, tried, outcome, at)


def intent_of(world: World, invoice: Object, at: int) -> tuple[Object, Object]:
    """The invoice's payment intent and their link; created if needed."""
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
    waited = paid.get("_pending_update")
    if waited:
        kind = "customer.subscription.pending_update_applied"
        update(world, kind, subscription_of(world, paid), at, **waited, pending_update=None)
    subscription = discounts.use_once(world, subscription_of(world, paid), paid, at)
    if subscription["status"] == "incomplete" and subscription["latest_invoice"] == paid["id"]:
        update(world, "customer.subscription.updated", subscription, at, status="active")
    else:
        follow(world, subscription, at)
    return paid


def follow(world: World, subscription: Object, at: int) -> Object:
    """Set the subscription's status from its latest invoice that isn't void."""
    if subscription["status"] not in {"active", "past_due", "unpaid"}:
        return subscription
    clauses: list[tuple[str, Any]] = [("status NOT IN (?, ?)", ("draft", "void"))]
    if not world.on("void_is_passed_over"):
        clauses = [("status != ?", "draft")]
    clauses.append(("json_extract(data, '$._pending_update') IS NULL", ()))
    where = {"parent": subscription["id"]}
    newest = world.store.find("invoice", where=where, clauses=clauses, limit=1)
    status = _status_by(world, newest[0], subscription["status"], at) if newest else None
    if status is None:
        return subscription
    return update(world, "customer.subscription.updated", subscription, at, status=status)


def _status_by(world: World, invoice: Object, now: str, at: int) -> str | None:
    if invoice["status"] == "paid":
        return "active"
    if invoice["status"] == "uncollectible":
        return world.choice("uncollectible_status")
    if now == "unpaid" or invoice["status"] != "open":
        return None
    if invoice["collection_method"] == "send_invoice":
        return "past_due" if (invoice["due_date"] or at) <= at else "active"
    return "past_due" if invoice.get("_failing_since") else None


def paid_elsewhere(world: World, invoice: Object, at: int) -> Object:
    """Mark the invoice as paid outside Stripe, without a charge."""
    paid = collected(world, {**invoice, "amount_paid_off_stripe": invoice["amount_due"]}, None, at)
    return world.store.put({**paid, "attempted": invoice["attempted"]})


def overdue(world: World, invoice: Object, at: int) -> None:
    """The due date of an e-mailed invoice has passed."""
    late = world.store.put({**invoice, "_overdue": True})
    if not world.on("due_dates"):
        return
    emit(world, "invoice.overdue", late, at)
    follow(world, subscription_of(world, late), at)


def failed(world: World, invoice: Object, outcome: Outcome, at: int) -> Object:
    """After a failed attempt, plan the next, or end as the account's settings say."""
    if invoice.get("_pending_update"):
        emit(world, "invoice.payment_failed", invoice, at)
        return world.store.put(invoice)
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
    elif (end := world.choice("dunning_end", world.dunning_end)) == "cancel":
        cancel(world, subscription, at, "payment_failed")
    else:
        update(world, "customer.subscription.updated", subscription, at, status=end)
    return unpaid


def subscription_of(world: World, invoice: Object) -> Object:
    return world.store.one(invoice["parent"]["subscription_details"]["subscription"])


def method_for(world: World, subscription: Object) -> Object | None:
    """The method for a renewal: the subscription's own before the customer's."""
    own = world.named(subscription, "default_payment_method")
    if own:
        return own
    customer = world.store.get(subscription["customer"])
    return world.named(customer["invoice_settings"], "default_payment_method") if customer else None


def collect(world: World, invoice: Object, at: int) -> Object:
    """Try an open invoice again without the payer."""
    method = method_for(world, subscription_of(world, invoice))
    asks = world.on("sca_off_session")
    return pay(world, invoice, method, judge(method, confirmed=not asks, off_session=True), at)


def intent_for(world: World, invoice: Object) -> Object | None:
    """The payment intent for the invoice, if it exists."""
    links = world.store.find("invoice_payment", where={"parent": invoice["id"]}, limit=1)
    return world.named(links[0]["payment"], "payment_intent") if links else None


def renew(world: World, subscription: Object, at: int) -> None:
    """Start the next period, with a draft invoice that is collected an hour later."""
    item = subscription["items"]["data"][0]
    rolled, lines = next_period(subscription)
    invoice = draft(
        world,
        rolled,
        world.store.one(subscription["customer"]),
        at,
        lines=_of_last_period(world, rolled, lines),
        period_start=item["current_period_start"],
        automatically_finalizes_at=at + HOUR,
    )
    paused = subscription["pause_collection"]
    if subscription["status"] == "unpaid" or (paused and paused["behavior"] == "keep_as_draft"):
        kept = {"auto_advance": False, "automatically_finalizes_at": None}
        invoice = world.store.put({**invoice, **kept})
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


def _of_last_period(world: World, subscription: Object, lines: list[Line]) -> list[Line]:
    """The period's lines; if the subscription ends within it, for the days until then."""
    ends = subscription["cancel_at"]
    if ends is None or not world.on("last_period_prorated"):
        return lines
    return [
        replace(
            line,
            amount=line.amount * (ends - line.start) // (line.end - line.start),
            end=ends,
        )
        if line.start < ends < line.end
        else line
        for line in lines
    ]


def close_unpaid(world: World, invoice: Object, behavior: str, at: int) -> None:
    """While collection is paused, mark the invoice as uncollectible or void at once."""
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
    intent = intent_for(world, invoice)
    if void and intent:
        cancel_intent(world, intent, at)
    emit(world, "invoice.voided" if void else "invoice.marked_uncollectible", closed, at)


def with_item(subscription: Object, **new: Any) -> Object:  # noqa: ANN401 - any of an item's fields
    """The subscription's items with changed fields of its single item."""
    items = subscription["items"]
    return {**items, "data": [{**items["data"][0], **new}]}


def announce(world: World, subscription: Object, at: int) -> None:
    """Emit `invoice.upcoming`, once for each period."""
    end = period_end(subscription)
    world.store.put({**subscription, "_announced": end})
    upcoming = build_invoice(
        id="upcoming",
        customer=world.store.one(subscription["customer"]),
        subscription=subscription,
        created=end,
        billing_reason="upcoming",
        lines=[
            *map(pending.line_of, pending.waiting(world, subscription)),
            *next_period(subscription)[1],
        ],
        discounts=discounts.in_force(world, subscription, end),
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
    """End the subscription now; its open invoices are no longer collected."""
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
    ending.end_schedule(world, ended, at)
    return ended


def schedule_end(world: World, subscription: Object, *, stops: bool, at: int) -> Object:
    """Cancel at the period's end, as the portal and the dashboard do, or undo that.

    Under flexible billing they set only the date, and leave `cancel_at_period_end` false.
    """
    flag = not world.on("portal_sets_cancel_at")
    fields = (
        ending.ends(subscription, period_end(subscription), at, flag=flag)
        if stops
        else ending.goes_on(subscription)
    )
    return update(world, "customer.subscription.updated", subscription, at, **fields)
