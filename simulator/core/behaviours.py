"""Named behaviours of Stripe that tests can switch off, and named choices of an account.

A behaviour is something that Stripe is known to do. All are on unless a test switches one off to
show that it would notice. A choice is an account's setting, or something that nobody knows for
sure, so that we can test the application with each answer. `simulator/README.md` has a row for
each: source, how sure, and the test.
"""

import json

from simulator.core.store import Store

# Keys, limits, webhooks: what every call meets.
_SURFACE = {
    "restricted_keys": "A restricted key is refused what it has no right to, before anything else.",
    "secret_told_once": "An endpoint's secret is told when it is made, and never again.",
    "endpoint_secrets": "Each endpoint's deliveries are signed with its own secret.",
    "endpoint_versions": "Events are rendered in the version of the endpoint that gets them.",
    "thin_events": "An endpoint of thin payloads gets events without their object.",
}
# Subscriptions, invoices, schedules, discounts.
_BILLING: dict[str, str] = {
    "cancel_at": "`cancel_at` ends a subscription on its day; until then it renews.",
    "currency_options": "A price has amounts in further currencies.",
    "discounts": "Discounts lower what invoices charge, for as long as they last.",
    "due_dates": "An invoice by mail is overdue after its day, and its subscription past due.",
    "ended_refuses_updates": "An ended subscription takes only metadata and cancellation details.",
    "last_period_prorated": "The period in which `cancel_at` lies is charged in part.",
    "most_amount": "Amounts over 99,999,999 are refused.",
    "pending_updates": "A change with `pending_if_incomplete` waits for its payment, for 23 hours.",
    "archived_prices": "A price that was archived can't be subscribed to.",
    "nothing_upcoming_after_the_end": "No preview of what follows a planned end: 404.",
    "open_after_the_end": "An invoice left open can be paid after its subscription has ended.",
    "out_of_band": "An invoice can be marked as paid outside Stripe, without a charge.",
    "portal_sets_cancel_at": "Cancelled in the portal, only `cancel_at` is set, and no flag.",
    "preview_has_no_ending_balance": "A preview's `ending_balance` is null.",
    "promotion_codes": "A reader types a promotion code in Checkout.",
    "prorations_by_default": "A changed amount is prorated with the next invoice, unless told not.",
    "sca_refuses_strict_changes": "A bank that asks refuses `error_if_incomplete` with a code.",
    "schedules_apply": "A schedule's next phase takes effect on its day.",
    "schedules_manage": "A subscription with a schedule refuses changes of its end.",
    "several_items": "A subscription has up to 20 items, in any order.",
    "trial_invoice": "A trial begins with an invoice over nothing, which is paid.",
    "unit_amount_null": "A price in parts of a penny has no `unit_amount`.",
    "void_is_passed_over": "A subscription's status goes by its newest invoice that isn't void.",
}
# Payments, methods, refunds, disputes, customers, Checkout, the portal.
_PAYMENTS = {
    "bank_redirects": "A payment by iDEAL or Bancontact leaves a SEPA debit for renewals.",
    "charges_without_intent": "Old invoices were paid by a charge that has no payment intent.",
    "expired_is_voided": "The invoice of a subscription that was never paid for is voided.",
    "inquiries": "A bank may only ask: no money moves, and the charge can be refunded.",
    "methods_without_card": "Link and PayPal are methods of their own, without a card.",
    "microdeposits": "A US bank account may wait for micro-deposits; Checkout is complete.",
    "payment_intent_processing": "A debit that begins is told by `payment_intent.processing`.",
    "portal_needs_configuration": "Portal sessions are refused until somebody configured it.",
    "refund_closes_inquiry": "A refund in full closes the inquiry over it.",
    "refunds_in_process": "The refund of a bank debit is pending for days.",
    "sca_off_session": "A renewal may need the payer's bank to be asked, when nobody is there.",
    "two_methods": "The portal sets the customer's method; a subscription's own goes on winning.",
    "won_dispute_refundable": "A charge whose dispute was won can be refunded.",
}
BEHAVIOURS: dict[str, str] = {**_SURFACE, **_BILLING, **_PAYMENTS}

# What may be chosen; the first value is the default, and an empty tuple takes any text.
_SURFACE_CHOICES: dict[str, tuple[str, ...]] = {
    "rate_limits": ("off", "live", "sandbox"),
    "account": (),
    "account_api_version": (),
    "checkout_domain": (),
}
_BILLING_CHOICES: dict[str, tuple[str, ...]] = {
    # Whether `cancel_at_period_end=false` takes back a `cancel_at` that was set without the flag.
    "cancel_at_taken_back_by_false": ("no", "yes"),
    # What ends a dunning; unless chosen, `--dunning-end`.
    "dunning_end": ("cancel", "unpaid", "past_due"),
    # Whether a subscription with a schedule takes an update of its items.
    "schedule_items": ("taken", "refused"),
    # What a subscription is whose newest invoice was marked uncollectible.
    "uncollectible_status": ("active", "past_due"),
}
_PAYMENTS_CHOICES: dict[str, tuple[str, ...]] = {
    "balance_for_refunds": ("enough", "short", "waits"),
    # How lists by a deleted customer answer; `known`: 400 for payment methods, else `as before`.
    "deleted_customer_lists": ("known", "400", "empty", "as before"),
    # How long a subscription is incomplete while its payer's bank account is verified.
    "microdeposits_wait": ("10 days", "23 hours"),
}
CHOICES: dict[str, tuple[str, ...]] = {
    **_SURFACE_CHOICES,
    **_BILLING_CHOICES,
    **_PAYMENTS_CHOICES,
}

_LONGEST = 200


class Behaviours:
    """The switched-off behaviours and the choices, stored and read at each call."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def on(self, name: str) -> bool:
        """Whether a behaviour is on; an unregistered name is an error."""
        if name not in BEHAVIOURS:
            raise KeyError(f"{name} is not registered in simulator/core/behaviours.py.")
        return name not in self._kept("behaviours_off")

    def choice(self, name: str, default: str | None = None) -> str:
        """The chosen value, or `default`, or else the first value."""
        if name not in CHOICES:
            raise KeyError(f"{name} is not registered in simulator/core/behaviours.py.")
        first = CHOICES[name][0] if CHOICES[name] else ""
        return self._kept("choices").get(name, first if default is None else default)

    def switch(self, changes: dict[str, object]) -> None:
        """Switch behaviours on or off; raises ValueError with a sentence."""
        off = self._kept("behaviours_off")
        for name, is_on in changes.items():
            if name not in BEHAVIOURS:
                raise ValueError(_unknown("behaviour", name, list(BEHAVIOURS)))
            if not isinstance(is_on, bool):
                raise ValueError(  # noqa: TRY004 - one kind of error for all that is said wrongly
                    f"'{name}' is switched by true or false, not by {is_on!r}."
                )
            off.pop(name, None)
            if not is_on:
                off[name] = "off"
        self.store.set_setting("behaviours_off", json.dumps(off))

    def choose(self, changes: dict[str, object]) -> None:
        """Set choices; null resets one. Raises ValueError with a sentence."""
        chosen = self._kept("choices")
        for name, value in changes.items():
            if name not in CHOICES:
                raise ValueError(_unknown("choice", name, list(CHOICES)))
            if value is None:
                chosen.pop(name, None)
                continue
            allowed = CHOICES[name]
            if not isinstance(value, str) or len(value) > _LONGEST:
                raise ValueError(f"'{name}' has to be a short text.")
            if allowed and value not in allowed:
                raise ValueError(f"'{name}' is one of {', '.join(allowed)}, not '{value}'.")
            chosen[name] = value
        self.store.set_setting("choices", json.dumps(chosen))

    def switched(self) -> dict[str, bool]:
        """Every behaviour, and whether it is on."""
        off = self._kept("behaviours_off")
        return {name: name not in off for name in BEHAVIOURS}

    def chosen(self) -> dict[str, str]:
        """Every choice and its value."""
        return {name: self.choice(name) for name in CHOICES}

    def _kept(self, setting: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.store.setting(setting, "{}"))
        return found


def _unknown(kind: str, name: str, known: list[str]) -> str:
    return f"There is no {kind} called '{name}'; there are {', '.join(known) or 'none yet'}."
