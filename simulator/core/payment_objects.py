"""Builders of payments, charges and refunds; loaded in bulk with `simulator.core.objects`."""

from simulator.core.balance import build_balance_transaction
from simulator.core.shapes import APPROVED, PREFIXES, Object


def build_invoice_payment(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    invoice: Object,
    payment_intent: str,
    created: int,
    paid_at: int | None = None,
) -> Object:
    """What ties an invoice to the payment intent that pays it."""
    return {
        "id": id,
        "object": "invoice_payment",
        "created": created,
        "amount_requested": invoice["amount_due"],
        "amount_paid": invoice["amount_due"] if paid_at else None,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "payment": {"payment_intent": payment_intent, "type": "payment_intent"},
        "status": "paid" if paid_at else "open",
        "status_transitions": {"canceled_at": None, "paid_at": paid_at},
    }


def build_payment_intent(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    customer: str | None,
    amount: int,
    currency: str,
    created: int,
    payment_method: str | None = None,
    latest_charge: str | None = None,
    status: str = "requires_payment_method",
    metadata: dict[str, str] | None = None,
    description: str | None = None,
    method_type: str = "card",
) -> Object:
    """A payment intent in any of its states."""
    return {
        "id": id,
        "object": "payment_intent",
        "created": created,
        "customer": customer,
        "amount": amount,
        "amount_received": amount if status == "succeeded" else 0,
        "currency": currency,
        "client_secret": f"{id}_secret_simulated",
        "description": description,
        "latest_charge": latest_charge,
        "metadata": metadata or {},
        "payment_method": payment_method,
        "payment_method_types": [method_type],
        "status": status,
    }


def build_charge(
    *,
    id: str,  # noqa: A002 - Stripe's own name
    intent: Object,
    method: Object,
    created: int,
    status: str = "succeeded",
    balance_transaction: str | None = None,
) -> Object:
    """A charge of a payment intent on a payment method."""
    kind = method.get("type", "card")
    details = {name: value for name, value in method[kind].items() if name in CHARGED_WITH[kind]}
    details |= CHARGED_EXTRA[kind]
    failed = {"outcome": DECLINED, "captured": False} if status == "failed" else {}
    return {
        "id": id,
        "object": "charge",
        "created": created,
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if status != "failed" else 0,
        "balance_transaction": balance_transaction,
        "billing_details": method["billing_details"],
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent.get("description"),
        "metadata": intent.get("metadata", {}),
        "paid": status == "succeeded",
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {kind: details, "type": kind},
        "status": status,
        **failed,
    }


CHARGED_WITH = {
    "card": {
        *("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding"),
        *("last4", "regulated_status", "wallet"),
    },
    "sepa_debit": {"bank_code", "branch_code", "country", "fingerprint", "last4"},
    "us_bank_account": {
        *("account_holder_type", "account_type", "bank_name", "fingerprint", "last4"),
        "routing_number",
    },
    "ideal": {"bank", "bic"},
    "bancontact": set(),
    "link": set(),
    "paypal": {"country", "payer_email", "payer_id"},
}
FROM_A_BANK = {
    "generated_sepa_debit": None,
    "generated_sepa_debit_mandate": None,
    "iban_last4": None,
    "verified_name": None,
}
CHARGED_EXTRA: dict[str, Object] = {
    "card": {
        "installments": None,
        "mandate": None,
        "network": "visa",
        "three_d_secure": None,
    },
    "sepa_debit": {"mandate": None},
    "us_bank_account": {"payment_reference": None},
    "ideal": {**FROM_A_BANK, "transaction_id": None},
    "bancontact": {
        **FROM_A_BANK,
        **dict.fromkeys(("bank_code", "bank_name", "bic", "preferred_language")),
    },
    "link": {"country": None},
    "paypal": {**dict.fromkeys(("payer_name", "seller_protection", "transaction_id"))},
}
# What is debited from a bank account, days after the payer agreed.
DEBITS = {"sepa_debit", "us_bank_account"}


def is_debit(charge: Object) -> bool:
    """Whether the charge is a bank debit."""
    return charge["payment_method_details"]["type"] in DEBITS


def is_card(charge: Object) -> bool:
    """Whether a card was charged: the balance calls the rest a payment."""
    return bool(charge["payment_method_details"]["type"] == "card")


DECLINED = {
    **APPROVED,
    "network_status": "declined_by_network",
    "seller_message": "The bank did not return any further details with this decline.",
    "type": "issuer_declined",
}


def build_payment(
    *, invoice: Object, method: Object, created: int, metadata: dict[str, str] | None = None
) -> list[Object]:
    """The four objects that say that an invoice was paid: intent, charge, fee and link.

    Their ids share the invoice's own ending: `in_1x` is paid by `pi_1x`, `ch_1x`, `txn_1x`.
    """
    ending = invoice["id"].removeprefix(PREFIXES["invoice"])
    charge_id = f"{PREFIXES['charge']}{ending}"
    transaction_id = f"{PREFIXES['balance_transaction']}{ending}"
    intent = build_payment_intent(
        id=f"{PREFIXES['payment_intent']}{ending}",
        customer=invoice["customer"],
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        created=created,
        payment_method=method["id"],
        latest_charge=charge_id,
        status="succeeded",
        metadata=metadata,
        method_type=method.get("type", "card"),
    )
    charge = build_charge(
        id=charge_id,
        intent=intent,
        method=method,
        created=created,
        balance_transaction=transaction_id,
    )
    transaction = build_balance_transaction(
        id=transaction_id,
        source=charge_id,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        created=created,
        kind="payment" if method.get("type") == "sepa_debit" else "charge",
    )
    link = build_invoice_payment(
        id=f"{PREFIXES['invoice_payment']}{ending}",
        invoice=invoice,
        payment_intent=intent["id"],
        created=created,
        paid_at=created,
    )
    return [intent, charge, transaction, link]
