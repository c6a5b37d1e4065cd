"""Stripe calls for members: cancel, pause, change the amount or the payment method."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.members.models import Interval
from fundraiser.payments.stripe.errors import (
    ConfirmationNeededError,
    Doing,
    StripeRefusedError,
    UnusablePriceError,
)
from fundraiser.payments.stripe.gateway import Gateway
from fundraiser.payments.stripe.types import name_of, time_of
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """The new price of a membership: ``price_id`` is None for the member's own amount.

    ``at_once``: the change takes effect now and is invoiced, otherwise with the next payment.
    ``ours`` are the products that are memberships: the item with one of them changes.
    ``discounted``: the charge is less than ``amount``, so we ask Stripe how much it is.
    """

    product_id: str
    price_id: str | None
    amount: int
    currency: str
    interval: Interval
    at_once: bool
    ours: frozenset[str] = frozenset()
    discounted: bool = False

    def as_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return asdict(self) | {"ours": sorted(self.ours)}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Terms:
        """Terms that were kept as JSON."""
        interval, ours = Interval(kept["interval"]), frozenset(kept["ours"])
        return cls(**kept | {"interval": interval, "ours": ours})


@dataclass(frozen=True, slots=True)
class Preview:
    """Stripe's amounts (smallest unit) for a change that hasn't happened.

    ``credited`` is the unused part of the last payment; ``due`` is charged at once; ``credit`` is
    left for the next invoices. ``next_amount`` is the price of a period from ``next_at`` on, after
    discounts.
    """

    credited: int
    due: int
    credit: int
    next_at: datetime
    next_amount: int


class MemberGateway(Gateway):
    """Stripe calls for members' changes; the same ``key`` makes one change, however often sent.

    Each change first releases the subscription from its schedule: Stripe refuses to cancel a
    subscription that a schedule manages, and the schedule would undo other changes.
    """

    def stop(self, subscription_id: str, reason: str | None, comment: str, key: str) -> None:
        """Cancel a subscription at the end of its period, with the reason."""
        details: dict[str, Any] = {"comment": comment} if comment else {}
        if reason:
            details["feedback"] = reason
        change: dict[str, Any] = {"cancel_at_period_end": True}
        if details:
            change["cancellation_details"] = details
        self._free_and_update(subscription_id, change, key)

    def go_on(self, subscription_id: str, key: str) -> None:
        """Undo a cancellation that hasn't taken effect, and a pause."""
        change: dict[str, Any] = {"pause_collection": ""}
        self._free_and_update(subscription_id, change | self._keeps(subscription_id), key)
        # We aren't sure that the parameter that sets the date also clears it.
        if self._retrieve(subscription_id).cancel_at:
            self._update(subscription_id, {"cancel_at_period_end": False}, f"{key}-flag")

    def pause(self, subscription_id: str, until: datetime, key: str) -> None:
        """Pause collection until that day."""
        pause = {"behavior": "void", "resumes_at": int(until.timestamp())}
        self._free_and_update(subscription_id, {"pause_collection": pause}, key)

    def preview(self, subscription_id: str, terms: Terms, at: datetime) -> Preview:
        """The amounts of a change at that time."""
        try:
            return self._preview(subscription_id, terms, at)
        except UnusablePriceError:
            return self._preview(subscription_id, _inline(terms), at)

    def _preview(self, subscription_id: str, terms: Terms, at: datetime) -> Preview:
        found = self._retrieve(subscription_id)
        item = _item_of(found, terms.ours)
        change = _change(item["id"], terms)
        params: Any = {
            "customer": name_of(found.customer),
            "subscription": subscription_id,
            "subscription_details": {"items": [change], **_proration(terms, at)},
        }
        with self._call("invoices", Doing.LOOK):
            invoice = self._prompt.v1.invoices.create_preview(params)
        lines = invoice.lines.data
        period_end = item["current_period_end"]
        if terms.interval != item["price"]["recurring"]["interval"]:
            # Credit runs until the end of the old period; only paid lines count.
            period_end = max(line.period.end for line in lines if line.amount >= 0)
        # Only a finalised invoice has an ending balance.
        left_over = -invoice.starting_balance - (invoice.total if terms.at_once else 0)
        renewal = invoice
        if terms.at_once and terms.discounted:
            params["subscription_details"] = {"items": [change], "proration_behavior": "none"}
            with self._call("invoices", Doing.LOOK):
                renewal = self._prompt.v1.invoices.create_preview(params)
        return Preview(
            credited=-sum(line.amount for line in lines if line.amount < 0),
            due=invoice.amount_due if terms.at_once else 0,
            credit=max(0, left_over),
            next_at=time_of(period_end),
            next_amount=_next_amount(renewal, terms) if terms.discounted else terms.amount,
        )

    def change(self, subscription_id: str, terms: Terms, at: datetime, key: str) -> None:
        """Change the price, with the amounts previewed for that time.

        If the bank wants the payer's confirmation, the change waits at Stripe, and its invoice is
        the subscription's latest. Without confirmation nothing changes.

        Raises:
            StripeRefusedError: the bank refused the payment; nothing has changed.
        """
        try:
            self._change(subscription_id, terms, at, key)
        except UnusablePriceError:
            self._change(subscription_id, _inline(terms), at, f"{key}-inline")

    def _change(self, subscription_id: str, terms: Terms, at: datetime, key: str) -> None:
        self._free(subscription_id, key)
        item = _item_of(self._retrieve(subscription_id), terms.ours)
        change = {"items": [_change(item["id"], terms)], **_proration(terms, at)}
        try:
            at_once = {"payment_behavior": "error_if_incomplete", **self._keeps(subscription_id)}
            self._update(subscription_id, change | at_once, key)
        except ConfirmationNeededError:
            waiting = {"payment_behavior": "pending_if_incomplete"}
            self._update(subscription_id, change | waiting, f"{key}-confirm")

    def default_method(self, customer_id: str) -> str | None:
        """The ID of the customer's default payment method."""
        with self._call("customers"):
            found = self._prompt.v1.customers.retrieve(customer_id)
        settings = found.invoice_settings
        return name_of(settings.default_payment_method) if settings else None

    def open_portal(self, customer_id: str, return_url: str) -> str:
        """The URL of Stripe's page for a new payment method; it works for minutes."""
        flow = {
            "type": "payment_method_update",
            "after_completion": {"type": "redirect", "redirect": {"return_url": return_url}},
        }
        params: Any = {"customer": customer_id, "return_url": return_url, "flow_data": flow}
        try:
            return self._open_portal(params)
        except (StripeRefusedError, NotFoundError):
            # Somebody may have switched our configuration off at Stripe.
            self.forget_portal()
            return self._open_portal(params)

    def _open_portal(self, params: dict[str, Any]) -> str:
        whole: Any = {**params, "configuration": self.portal_configuration()}
        with self._call("portal", Doing.LOOK):
            return self._prompt.v1.billing_portal.sessions.create(whole).url

    def change_customer(self, customer_id: str, *, name: str, language: str) -> None:
        """Change a customer's name, and the language of Stripe's own e-mails."""
        params: Any = {"name": name, "preferred_locales": [language]}
        with self._call("customers"):
            self._prompt.v1.customers.update(customer_id, params)

    def delete_customer(self, customer_id: str) -> None:
        """Delete a customer permanently; running subscriptions end at once."""
        with self._call("customers"):
            self._prompt.v1.customers.delete(customer_id)

    def receipt_address(self, charge_id: str) -> str | None:
        """The URL of a charge's receipt, or of the invoice that it paid."""
        with self._call("charges", Doing.LOOK):
            charge = self._prompt.v1.charges.retrieve(charge_id)
        intent = name_of(charge.payment_intent)
        if charge.receipt_url or intent is None:
            return charge.receipt_url
        params: Any = {"payment": {"type": "payment_intent", "payment_intent": intent}}
        with self._call("invoices", Doing.LOOK):
            found = self._prompt.v1.invoice_payments.list(params).data
        invoice = name_of(found[0].invoice) if found else None
        if invoice is None:
            return None
        with self._call("invoices", Doing.LOOK):
            return self._prompt.v1.invoices.retrieve(invoice).hosted_invoice_url

    def _retrieve(self, subscription_id: str) -> Any:  # noqa: ANN401 - Stripe's own
        with self._call("subscriptions", Doing.LOOK):
            return self._prompt.v1.subscriptions.retrieve(subscription_id)

    def _keeps(self, subscription_id: str) -> dict[str, Any]:
        """The parameters that clear a subscription's end, however it was set."""
        found = self._retrieve(subscription_id)
        # Stripe refuses both together.
        if found.cancel_at_period_end:
            return {"cancel_at_period_end": False}
        return {"cancel_at": ""} if found.cancel_at else {}

    def _free_and_update(self, subscription_id: str, change: dict[str, Any], key: str) -> None:
        self._free(subscription_id, key)
        try:
            self._update(subscription_id, change, key)
        except StripeRefusedError:
            # Staff may have added a schedule since we checked.
            if not self._free(subscription_id, f"{key}-again"):
                raise
            self._update(subscription_id, change, f"{key}-again")

    def _free(self, subscription_id: str, key: str) -> bool:
        """Release a subscription from its schedule; True if it had one."""
        schedule = name_of(self._retrieve(subscription_id).schedule)
        if schedule is None:
            return False
        with self._call("subscription_schedules"):
            self._prompt.v1.subscription_schedules.release(
                schedule, {}, {"idempotency_key": f"{key}-release"}
            )
        return True

    def _update(self, subscription_id: str, change: dict[str, Any], key: str) -> None:
        with self._call("subscriptions"):
            self._prompt.v1.subscriptions.update(
                subscription_id, cast("Any", change), {"idempotency_key": key}
            )


def member_gateway() -> MemberGateway:
    """The current app's member gateway."""
    return cast("MemberGateway", current_app.extensions["gateway"])


def _item_of(found: Any, ours: Collection[str]) -> Any:  # noqa: ANN401 - Stripe's own
    """The subscription's item that is the membership; Stripe lists items in any order."""
    items = found["items"].data
    return next((one for one in items if name_of(one.price.product) in ours), items[0])


def _inline(terms: Terms) -> Terms:
    """The same terms with the amount in place of an archived price."""
    if terms.price_id is None:
        raise UnprocessableError(_("Choose one of the memberships on offer."), field="tier")
    return replace(terms, price_id=None)


def _change(item_id: str, terms: Terms) -> dict[str, Any]:
    if terms.price_id:
        return {"id": item_id, "price": terms.price_id}
    data = {
        "currency": terms.currency.lower(),
        "product": terms.product_id,
        "recurring": {"interval": terms.interval.value},
        "unit_amount": terms.amount,
    }
    return {"id": item_id, "price_data": data}


def _next_amount(invoice: Any, terms: Terms) -> int:  # noqa: ANN401 - Stripe's own
    """A previewed invoice's amount for the period itself, after discounts."""
    lines = [line for line in invoice.lines.data if line.amount == terms.amount]
    if not lines:
        return terms.amount
    line = lines[-1]
    return int(line.amount) - sum(int(one.amount) for one in line.discount_amounts or ())


def _proration(terms: Terms, at: datetime) -> dict[str, Any]:
    if not terms.at_once:
        return {"proration_behavior": "none"}
    return {"proration_behavior": "always_invoice", "proration_date": int(at.timestamp())}
