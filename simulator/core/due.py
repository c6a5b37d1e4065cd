"""When each object next changes with time: the engine's schedule."""

from collections.abc import Callable

from simulator.core.shapes import Object

HOUR = 3600
DAY = 24 * HOUR
UPCOMING_BEFORE = 7 * DAY
TRIAL_TOLD_BEFORE = 3 * DAY
INCOMPLETE_FOR = 23 * HOUR
CHECKOUT_OPEN_FOR = DAY
EVENTS_KEPT_FOR = 30 * DAY
DEBIT_SETTLES_AFTER = 3 * DAY
DEPOSITS_ARRIVE_AFTER = 2 * DAY
DEPOSITS_WAIT_FOR = 10 * DAY
REFUND_FAILS_AFTER = HOUR
REFUND_SETTLES_AFTER = 3 * DAY
# Stripe's default: eight further tries within two weeks of the first failure.
RETRY_DAYS = (1, 2, 3, 5, 7, 9, 11, 14)
RENEWING = {"active", "past_due", "unpaid", "trialing"}


def due(whole: Object) -> int | None:
    """The time (seconds since 1970) of the object's next change, if any."""
    rule = RULES.get(whole["object"])
    return rule(whole) if rule else None


def period_end(subscription: Object) -> int:
    """When the next period starts; with several intervals, the earliest."""
    return min(int(item["current_period_end"]) for item in subscription["items"]["data"])


def _subscription(subscription: Object) -> int | None:
    status = subscription["status"]
    if status == "incomplete":
        until = subscription.get("_incomplete_until")
        return int(until or subscription["created"] + INCOMPLETE_FOR)
    if status not in RENEWING:
        return None
    end = period_end(subscription)
    ends = subscription.get("cancel_at")
    resumes = (subscription.get("pause_collection") or {}).get("resumes_at")
    unpaid = (subscription.get("pending_update") or {}).get("expires_at")
    further = (ends, resumes, unpaid, subscription.get("_discount_ends"))
    moments = [end, *(int(one) for one in further if one is not None)]
    stops = subscription.get("cancel_at_period_end") or (ends is not None and int(ends) <= end)
    if status == "active" and not stops and subscription.get("_announced") != end:
        moments.append(end - UPCOMING_BEFORE)
    if status == "trialing" and not stops and not subscription.get("_trial_told"):
        moments.append(end - TRIAL_TOLD_BEFORE)
    return min(moments)


def _invoice(invoice: Object) -> int | None:
    if invoice.get("status", "draft") == "draft":
        return invoice.get("automatically_finalizes_at")
    if invoice["status"] != "open":
        return None
    sent = invoice.get("collection_method") == "send_invoice" and not invoice.get("_overdue")
    return invoice.get("next_payment_attempt") or (invoice.get("due_date") if sent else None)


def _session(session: Object) -> int | None:
    return int(session["expires_at"]) if session.get("status", "open") == "open" else None


def _transaction(transaction: Object) -> int | None:
    """The morning of its payout."""
    if transaction.get("_payout") is not None:
        return None
    held, available = transaction.get("_held_until"), int(transaction["available_on"])
    return int(held) if held else -(-available // DAY) * DAY


def _payout(payout: Object) -> int | None:
    status = payout.get("status", "in_transit")
    return int(payout["arrival_date"]) if status == "in_transit" else None


def _schedule(schedule: Object) -> int | None:
    phase = schedule.get("current_phase")
    return (
        int(phase["end_date"]) if phase and schedule.get("status", "active") == "active" else None
    )


RULES: dict[str, Callable[[Object], int | None]] = {
    "subscription": _subscription,
    "subscription_schedule": _schedule,
    "invoice": _invoice,
    "checkout.session": _session,
    "payment_intent": lambda intent: intent.get("_settles_at"),
    "charge": lambda charge: charge.get("_disputed_at"),
    "refund": lambda refund: refund.get("_fails_at") or refund.get("_settles_at"),
    "balance_transaction": _transaction,
    "payout": _payout,
}
