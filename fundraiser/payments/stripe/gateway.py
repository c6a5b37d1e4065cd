"""The gateway: the calls to Stripe that syncing and joining need; returns plain types."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import stripe
from flask import current_app

from fundraiser.db import now
from fundraiser.errors import NotFoundError
from fundraiser.payments.models import CheckoutKind
from fundraiser.payments.stripe.calls import API_VERSION
from fundraiser.payments.stripe.catalogue import CatalogueCalls
from fundraiser.payments.stripe.errors import (
    BankRefusedError,
    ConfirmationNeededError,
    Doing,
    StripeKeyError,
    StripeRefusedError,
    StripeUnavailableError,
    UnusablePriceError,
)
from fundraiser.payments.stripe.parsers import (
    read_charge,
    read_invoice,
    read_method,
    read_subscription,
)
from fundraiser.payments.stripe.portal import is_ours, portal_settings
from fundraiser.payments.stripe.reconciliation import ReconcileCalls
from fundraiser.payments.stripe.signatures import ForgedWebhookError, read_webhook
from fundraiser.payments.stripe.types import (
    PAID_BY_KEY,
    Confirmation,
    CustomerState,
    Invoice,
    SessionState,
    StripeEvent,
    Subscription,
    name_of,
)

if TYPE_CHECKING:
    from datetime import datetime

    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.measures import Measures
    from fundraiser.payments.models import Checkout

__all__ = [  # names that other modules import from here
    "API_VERSION",
    "BankRefusedError",
    "ConfirmationNeededError",
    "ForgedWebhookError",
    "Gateway",
    "StripeKeyError",
    "StripeRefusedError",
    "StripeUnavailableError",
    "UnusablePriceError",
]

CHECKOUT_KEY = "fundraiser_checkout"
SECOND_KEY = "fundraiser_second_to"
INTENT_KEY = "fundraiser_intent"
_DEPOSITS = "verify_with_microdeposits"
_DEFAULT_METHOD = "invoice_settings.default_payment_method"


class Gateway(CatalogueCalls, ReconcileCalls):
    """The calls to Stripe that syncing and joining need."""

    def __init__(
        self, settings: Settings, database: Database, measures: Measures | None = None
    ) -> None:
        super().__init__(settings, database, measures)
        self._secrets = settings.stripe_webhook_secrets
        self._public_url = settings.public_url
        self._portal: str | None = None

    # What a sync fetches

    def fetch_customer(self, customer_id: str) -> CustomerState:
        """Fetch a customer's state: pages of three lists, and a call for each disputed charge.

        The customer comes with the subscriptions. A customer without any, or with a discount, needs
        a separate call: a discount's coupon would be five levels deep, and Stripe expands four.

        Raises:
            NotFoundError: Stripe knows no such customer.
            StripeUnavailableError: Stripe doesn't answer.
        """
        subscriptions = self._subscriptions(customer_id)
        customer = subscriptions[0]["customer"] if subscriptions else None
        if not isinstance(customer, dict) or customer.get("discount"):
            customer = self._get(
                f"/v1/customers/{customer_id}", expand=[_DEFAULT_METHOD, "discount.source.coupon"]
            )
        deleted = bool(customer.get("deleted"))
        invoices = self._of_customer("/v1/invoices", customer_id, expand=["data.payments"])
        charges = self._of_customer("/v1/charges", customer_id, expand=["data.refunds"])
        discount = customer.get("discount")
        return CustomerState(
            id=customer_id,
            deleted=deleted,
            email=customer.get("email"),
            name=customer.get("name"),
            country=(customer.get("address") or {}).get("country"),
            subscriptions=tuple(
                read_subscription(found, orphaned=deleted, discount=discount)
                for found in subscriptions
                if found["items"]["data"]
            ),
            invoices=self._read_invoices(invoices),
            charges=tuple(read_charge(found, self._dispute(found)) for found in charges),
            method=read_method(
                (customer.get("invoice_settings") or {}).get("default_payment_method")
            ),
            credit=max(0, -(customer.get("balance") or 0)),
            currency=(customer.get("currency") or "").upper(),
        )

    def _subscriptions(self, customer_id: str) -> list[dict[str, Any]]:
        """A customer's subscriptions and the customer; without the customer if deleted."""
        expand = ["data.default_payment_method", "data.discounts.source.coupon"]
        of_customer = f"data.customer.{_DEFAULT_METHOD}"
        try:
            return self._of_customer(
                "/v1/subscriptions", customer_id, status="all", expand=[*expand, of_customer]
            )
        except StripeRefusedError:
            # A deleted customer has no fields to expand.
            return self._of_customer("/v1/subscriptions", customer_id, status="all", expand=expand)

    def _read_invoices(self, newest_first: list[dict[str, Any]]) -> tuple[Invoice, ...]:
        """Parse the invoices; for each subscription's latest, whether it waits for the payer.

        Only the payment intent says that, and lists can't expand it.
        """
        read = [read_invoice(found) for found in newest_first]
        latest: dict[str | None, Invoice] = {}
        for invoice in read:
            if invoice.status == "open" and invoice.attempted:
                latest.setdefault(invoice.subscription_id, invoice)
        waiting = {
            invoice.id
            for invoice in latest.values()
            for intent in invoice.intents
            if self._waits(intent)
        }
        return tuple(replace(one, to_confirm=one.id in waiting) for one in read)

    def _waits(self, intent_id: str) -> bool:
        try:
            intent = self._get(f"/v1/payment_intents/{intent_id}")
        except (NotFoundError, StripeKeyError):
            return False  # a sync works without this right of a restricted key
        return bool(intent["status"] == "requires_action")

    def _of_customer(self, path: str, customer_id: str, **params: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - Stripe's own
        """All pages of a customer's list; for a deleted customer Stripe may refuse."""
        try:
            return list(self._each(path, customer=customer_id, **params))
        except NotFoundError:
            return []

    def fetch_subscription(self, subscription_id: str) -> Subscription | None:
        """Fetch one subscription; None if Stripe doesn't know it, or if it has no items left."""
        try:
            found = self._get(
                f"/v1/subscriptions/{subscription_id}",
                expand=["default_payment_method", "discounts.source.coupon", "customer"],
            )
        except NotFoundError:
            return None
        return read_subscription(found) if found["items"]["data"] else None

    def customer_of_charge(self, charge_id: str) -> str | None:
        """The customer of a charge, if any."""
        return name_of(self._get(f"/v1/charges/{charge_id}")["customer"])

    def _dispute(self, charge: dict[str, Any]) -> dict[str, Any] | None:
        """The latest dispute of a charge."""
        if not charge["disputed"]:
            return None
        found = self._get("/v1/disputes", charge=charge["id"], limit=1)["data"]
        return found[0] if found else None

    # Joining

    def create_session(
        self,
        checkout: Checkout,
        *,
        product_id: str,
        price_id: str | None,
        success_url: str,
        cancel_url: str,
        email: str | None = None,
        attempt: int = 1,
    ) -> tuple[str, str]:
        """Create a Checkout session; returns its ID and the payment page's URL.

        ``price_id`` is None for the reader's own amount, which gets an inline price on the product.
        ``email`` is filled in on the payment page. Stripe repeats a refusal for the same
        ``attempt``.

        Raises:
            UnusablePriceError: the price or product is archived or deleted at Stripe.
            StripeUnavailableError: Stripe doesn't answer; nobody was charged.
        """
        metadata = {CHECKOUT_KEY: checkout.id.hex}
        years = checkout.gift["years"] if checkout.gift else 1
        item: dict[str, Any] = {"quantity": years}
        if price_id:
            item["price"] = price_id
        else:
            item["price_data"] = {
                "currency": checkout.currency.lower(),
                "product": product_id,
                "unit_amount": checkout.amount // years,
            }
            if checkout.interval:
                item["price_data"]["recurring"] = {"interval": checkout.interval.value}
        params: dict[str, Any] = {
            "mode": "subscription" if checkout.interval else "payment",
            "line_items": [item],
            "client_reference_id": checkout.id.hex,
            "metadata": metadata,
            "success_url": success_url,
            "cancel_url": cancel_url,
            "locale": "auto",
        }
        if email:
            params["customer_email"] = email
        if checkout.interval:
            params["subscription_data"] = {"metadata": metadata}
        else:
            params["customer_creation"] = "always"
            is_gift = checkout.kind is CheckoutKind.GIFT
            params["submit_type"] = "pay" if is_gift else "donate"
            params["payment_intent_data"] = {"metadata": metadata}
        # After a session expires we create another, with its own key.
        key = f"checkout-{checkout.key}-{price_id or f'inline-{attempt}'}"
        made = self._make_session(params, f"{key}-{checkout.session_id or 'first'}")
        if made.expires_at <= now().timestamp():
            # Stripe repeated a day-old answer that we had lost.
            made = self._make_session(params, f"{key}-{made.id}")
        if made.url is None:
            raise StripeUnavailableError(Doing.BEGIN.without_answer)
        return made.id, made.url

    def _make_session(self, params: dict[str, Any], key: str) -> Any:  # noqa: ANN401 - Stripe's own
        with self._call("checkout", Doing.BEGIN):
            return self._prompt.v1.checkout.sessions.create(
                cast("Any", params), {"idempotency_key": key}
            )

    def fetch_session(self, session_id: str) -> SessionState:
        """Fetch a Checkout session.

        Raises:
            NotFoundError: Stripe knows no such session.
        """
        with self._call("checkout", Doing.LOOK):
            found = self._prompt.v1.checkout.sessions.retrieve(session_id)
        return SessionState(found.id, found.status or "open", name_of(found.customer))

    def find_confirmation(self, customer_id: str) -> Confirmation:
        """Whether this customer's latest payment waits for the confirmation of a bank account."""
        intents = self._get("/v1/payment_intents", customer=customer_id, limit=1)["data"]
        if not intents:
            return Confirmation()
        wanted = intents[0].get("next_action") or {}
        if intents[0]["status"] == "requires_action" and _DEPOSITS in wanted:
            return Confirmation(address=wanted[_DEPOSITS].get("hosted_verification_url"))
        is_over = intents[0]["status"] in {"requires_payment_method", "canceled"}
        return Confirmation(has_failed=is_over and bool(intents[0]["last_payment_error"]))

    # A second membership of one person

    def mark_second(self, subscription_id: str, first: str) -> None:
        """Mark this subscription at Stripe as a second one, before anything else."""
        with self._call("subscriptions"):
            self._client.v1.subscriptions.update(subscription_id, {"metadata": {SECOND_KEY: first}})

    def cancel(self, subscription_id: str) -> None:
        """End a subscription now, without further invoices."""
        with self._call("subscriptions"):
            self._client.v1.subscriptions.cancel(
                subscription_id, {"invoice_now": False, "prorate": False}
            )

    def refund(self, charge_id: str) -> None:
        """Refund a charge in full; safe to repeat.

        Uses no idempotency key: Stripe would repeat a refusal for a day, and it never refunds more
        than was paid.

        Raises:
            StripeRefusedError: the balance is too low, or the charge can't be refunded.
        """
        with self._call("refunds"):
            try:
                self._client.v1.refunds.create({"charge": charge_id, "reason": "duplicate"})
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise

    # Another payment method

    def use_method(self, subscription_id: str, method_id: str) -> None:
        """Charge a subscription with this payment method from now on."""
        with self._call("subscriptions"):
            self._client.v1.subscriptions.update(
                subscription_id, {"default_payment_method": method_id}
            )

    def pay_invoice(self, invoice_id: str, method_id: str) -> None:
        """Try to collect an open invoice with this payment method; repeating it makes one attempt.

        Raises:
            BankRefusedError: the bank refused it, or wants the payer to confirm it.
        """
        with self._call("invoices"):
            self._client.v1.invoices.pay(
                invoice_id,
                {"payment_method": method_id},
                {"idempotency_key": f"pay-{invoice_id}-{method_id}"},
            )

    def restart(self, subscription_id: str, charge_id: str, until: datetime) -> None:
        """Start a subscription like one that has ended, already paid by this charge; only once.

        Stripe charges nothing before ``until``.

        Raises:
            StripeRefusedError: it can't start; nobody was charged.
        """
        with self._call("subscriptions", Doing.LOOK):
            old = self._prompt.v1.subscriptions.retrieve(subscription_id)
        with self._call("charges", Doing.LOOK):
            charge = self._prompt.v1.charges.retrieve(
                charge_id, cast("Any", {"expand": ["payment_intent.payment_method"]})
            )
        params: dict[str, Any] = {
            "customer": name_of(old.customer),
            "items": [_like(item) for item in old["items"].data],
            "trial_end": int(until.timestamp()),
            "metadata": {PAID_BY_KEY: charge_id},
        }
        method = getattr(charge.payment_intent, "payment_method", None)
        # Only a saved payment method can be charged again.
        if method is not None and name_of(method.customer) == params["customer"]:
            params["default_payment_method"] = method.id
        with self._call("subscriptions"):
            self._prompt.v1.subscriptions.create(
                cast("Any", params), {"idempotency_key": f"restart-{charge_id}"}
            )

    # Changes by staff and members; repeating a ``key`` makes one change

    def pay_back(self, charge_id: str, amount: int, key: str) -> None:
        """Refund part of a charge, or all that is left of it.

        Raises:
            StripeRefusedError: less is left, or the payer's bank has withdrawn it.
        """
        with self._call("refunds"):
            self._prompt.v1.refunds.create(
                {
                    "charge": charge_id,
                    "amount": amount,
                    "reason": "requested_by_customer",
                    "metadata": {INTENT_KEY: key},
                },
                {"idempotency_key": key},
            )

    def has_refund(self, charge_id: str, key: str) -> bool:
        """Whether a charge has a refund that was asked for with a key that contains this one."""
        made = self._each("/v1/refunds", charge=charge_id)
        return any(key in one["metadata"].get(INTENT_KEY, "") for one in made)

    def change_email(self, customer_id: str, email: str) -> None:
        """Change a customer's e-mail address.

        Raises:
            StripeRefusedError: Stripe rejects the address.
        """
        with self._call("customers"):
            self._prompt.v1.customers.update(customer_id, {"email": email})

    # Stripe's customer portal

    def portal_configuration(self) -> str:
        """The ID of our portal configuration; creates it if needed."""
        if self._portal is None:
            found = self.find_portal()
            self._portal = found["id"] if found else self._make_portal()
        return self._portal

    def find_portal(self) -> dict[str, Any] | None:
        """Our portal configuration at Stripe."""
        listed = self._each("/v1/billing_portal/configurations")
        return next((one for one in listed if is_ours(one, self._public_url)), None)

    def forget_portal(self) -> None:
        """Clear the cached configuration: somebody may have switched it off at Stripe."""
        self._portal = None

    def _make_portal(self) -> str:
        params: Any = portal_settings(self._public_url)
        with self._call("portal", Doing.LOOK):
            return self._prompt.v1.billing_portal.configurations.create(params).id

    # Webhooks

    def read_webhook(self, body: bytes, signature: str) -> StripeEvent:
        """Verify a webhook's raw bytes with each of our secrets, and parse the event.

        Raises:
            ForgedWebhookError: no secret fits, the clocks differ by over 5 minutes, or it is no
                event.
        """
        return read_webhook(self._secrets, body, signature)


def _like(item: Any) -> dict[str, Any]:  # noqa: ANN401 - Stripe's own
    """An item with the same price, written out because the price may be archived."""
    price = item.price
    amount = (
        {"unit_amount": price.unit_amount}
        if price.unit_amount is not None
        else {"unit_amount_decimal": str(price.unit_amount_decimal)}
    )
    return {
        "quantity": item.quantity,
        "price_data": {
            "currency": price.currency,
            "product": name_of(price.product),
            "recurring": {
                "interval": price.recurring.interval,
                "interval_count": price.recurring.interval_count,
            },
            **amount,
        },
    }


def current_gateway() -> Gateway:
    """The current app's gateway."""
    return cast("Gateway", current_app.extensions["gateway"])


def checkout_id(metadata: dict[str, str]) -> UUID | None:
    """The ID of our checkout that led to this Stripe object, if any."""
    try:
        return UUID(hex=metadata[CHECKOUT_KEY])
    except (KeyError, ValueError):
        return None
