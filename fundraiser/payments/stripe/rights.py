"""The rights that a restricted key needs, why, and the call that tests each.

We test reading by reading, and writing by changing something that doesn't exist: Stripe checks the
key's rights before it looks for the object, so 403 means a missing right, and 404 or 400 an
existing one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# No object at Stripe has this ID.
_NOBODY = "fundraiser_doctor"


class May(StrEnum):
    """The result of trying one of the key’s rights."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Right:
    """A right of a restricted key: ``name`` as in Stripe's API, ``needed_for`` in our words."""

    name: str
    writes: bool
    needed_for: str
    path: str
    params: dict[str, str] = field(default_factory=dict)


def _read(name: str, needed_for: str, path: str | None = None) -> Right:
    return Right(name, False, needed_for, path or f"/v1/{name}")


def _write(name: str, needed_for: str, path: str, **params: str) -> Right:
    return Right(name, True, needed_for, f"/v1/{path}", params)


RIGHTS = (
    _read("customers", "who pays"),
    _write("customers", "a new e-mail address or name; erasure", f"customers/cus_{_NOBODY}"),
    _read("subscriptions", "what runs"),
    _write("subscriptions", "cancel, pause, change the amount", f"subscriptions/sub_{_NOBODY}"),
    _write(
        "subscription_schedules",
        "cancel a membership that a schedule manages",
        f"subscription_schedules/sub_sched_{_NOBODY}/release",
    ),
    _read("invoices", "what was paid and what is due"),
    _write("invoices", "previews; paying with a new card", f"invoices/in_{_NOBODY}/pay"),
    _read("invoice_payments", "which charge paid which invoice"),
    _read(
        "payment_intents",
        "whether a bank waits for its payer",
        f"/v1/payment_intents/pi_{_NOBODY}",
    ),
    _read("charges", "payments, receipts"),
    _read("refunds", "what was refunded"),
    _write("refunds", "refunds by staff; a second membership", "refunds", charge=f"ch_{_NOBODY}"),
    _read("disputes", "disputes and how they ended"),
    _read("payment_methods", "the card or account", f"/v1/payment_methods/pm_{_NOBODY}"),
    _read("events", "what no webhook brought"),
    _read("products", "the memberships on offer"),
    _write("products", "the memberships on offer", f"products/prod_{_NOBODY}"),
    _read("prices", "what they cost"),
    _write("prices", "what they cost", f"prices/price_{_NOBODY}"),
    _read("checkout_sessions", "who has paid", "/v1/checkout/sessions"),
    _write("checkout_sessions", "joining", f"checkout/sessions/cs_test_{_NOBODY}/expire"),
    _read("billing_portal", "Stripe's portal", "/v1/billing_portal/configurations"),
    _write(
        "billing_portal",
        "a new card, in Stripe's portal",
        "billing_portal/sessions",
        customer=f"cus_{_NOBODY}",
    ),
    _read("balance", "the month's books"),
    _read("balance_transactions", "the month's books"),
    _read("payouts", "the month's books"),
    _read("webhook_endpoints", "doctor: whether Stripe calls us"),
)
