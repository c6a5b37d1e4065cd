"""What every field of an object is when nothing was said about it.

The store keeps only what differs from these defaults, which makes it small and quick to fill. Their
nested values are shared between all objects: replace them, never change them in place.
"""

from typing import Any

Object = dict[str, Any]


def _null(names: str) -> Object:
    return dict.fromkeys(names.split())


SELF = {"type": "self"}
NO_TAX = {"enabled": False, "liability": None, "status": None}
ADDRESS = _null("city country line1 line2 postal_code state")
BILLING_DETAILS = _null("address email name phone tax_id")
CHECKS = {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}

# What a bank says of a charge that it lets pass.
APPROVED = {
    **_null("advice_code network_advice_code network_decline_code reason"),
    "network_status": "approved_by_network",
    "risk_level": "normal",
    "seller_message": "Payment complete.",
    "type": "authorized",
}

DEFAULTS: dict[str, Object] = {
    "product": {
        **_null("default_price description package_dimensions shippable statement_descriptor"),
        **_null("tax_code unit_label url"),
        "active": True,
        "images": [],
        "marketing_features": [],
        "metadata": {},
    },
    "price": {
        **_null("custom_unit_amount lookup_key nickname recurring tiers_mode transform_quantity"),
        "active": True,
        "billing_scheme": "per_unit",
        "metadata": {},
        "tax_behavior": "unspecified",
        "type": "one_time",
    },
    "customer": {
        **_null("address cash_balance currency customer_account default_source description"),
        **_null("discount email name phone shipping test_clock"),
        "balance": 0,
        "delinquent": False,
        "invoice_prefix": "SIMULATE",
        "invoice_settings": _null("custom_fields default_payment_method footer rendering_options"),
        "metadata": {},
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
    },
    "payment_method": {
        **_null("customer customer_account"),
        "allow_redisplay": "limited",
        "billing_details": BILLING_DETAILS,
        "metadata": {},
        "type": "card",
    },
    "subscription": {
        **_null("application application_fee_percent billing_cycle_anchor_config"),
        **_null("billing_thresholds cancel_at canceled_at customer_account days_until_due"),
        **_null("default_payment_method default_source description ended_at latest_invoice"),
        **_null("next_pending_invoice_item_invoice on_behalf_of pause_collection"),
        **_null("pending_invoice_item_interval pending_setup_intent pending_update schedule"),
        **_null("test_clock transfer_data trial_end trial_start"),
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_mode": {"type": "flexible"},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": _null("comment feedback reason"),
        "collection_method": "charge_automatically",
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {
            **_null("account_tax_ids custom_fields description footer"),
            "issuer": SELF,
        },
        "metadata": {},
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    },
    "invoice": {
        **_null("account_tax_ids application automatically_finalizes_at confirmation_secret"),
        **_null("custom_fields customer_account customer_address customer_email customer_name"),
        **_null("customer_phone customer_shipping default_payment_method default_source"),
        **_null("description due_date effective_at ending_balance footer from_invoice"),
        **_null("hosted_invoice_url invoice_pdf last_finalization_error latest_revision"),
        **_null("next_payment_attempt number on_behalf_of receipt_number rendering"),
        **_null("shipping_cost shipping_details statement_descriptor test_clock"),
        **_null("webhooks_delivered_at"),
        "account_country": "GB",
        "account_name": "Simulated newsroom",
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {**NO_TAX, "disabled_reason": None, "provider": None},
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": SELF,
        "metadata": {},
        "payment_settings": _null("default_mandate payment_method_options payment_method_types"),
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": _null("finalized_at marked_uncollectible_at paid_at voided_at"),
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    },
    "invoiceitem": {
        **_null("customer_account description invoice parent pricing test_clock"),
        "discountable": True,
        "discounts": [],
        "metadata": {},
        "proration": False,
        "quantity": 1,
        "quantity_decimal": "1",
        "tax_rates": [],
    },
    "subscription_schedule": {
        **_null("application canceled_at completed_at current_phase customer_account"),
        **_null("released_at released_subscription subscription test_clock"),
        "billing_mode": {"type": "flexible"},
        "default_settings": {
            **_null("application_fee_percent billing_thresholds collection_method"),
            **_null("default_payment_method description on_behalf_of transfer_data"),
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "invoice_settings": {
                **_null("account_tax_ids custom_fields days_until_due description footer"),
                "issuer": SELF,
            },
        },
        "end_behavior": "release",
        "metadata": {},
        "status": "active",
    },
    "coupon": {
        **_null("amount_off currency duration_in_months max_redemptions name percent_off"),
        "redeem_by": None,
        "metadata": {},
        "times_redeemed": 0,
        "valid": True,
    },
    "promotion_code": {
        **_null("customer customer_account expires_at max_redemptions"),
        "active": True,
        "metadata": {},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        },
        "times_redeemed": 0,
    },
    "discount": _null(
        "checkout_session customer customer_account end invoice invoice_item promotion_code"
        " subscription subscription_item"
    ),
    "invoice_payment": {
        "amount_paid": None,
        "is_default": True,
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    },
    "payment_intent": {
        **_null("application application_fee_amount automatic_payment_methods canceled_at"),
        **_null("cancellation_reason customer customer_account description"),
        **_null("excluded_payment_method_types last_payment_error latest_charge next_action"),
        **_null("on_behalf_of payment_method payment_method_configuration_details processing"),
        **_null("receipt_email review setup_future_usage shipping statement_descriptor"),
        **_null("statement_descriptor_suffix transfer_data transfer_group"),
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "metadata": {},
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    },
    "charge": {
        **_null("application application_fee application_fee_amount balance_transaction"),
        **_null("customer description failure_balance_transaction failure_code failure_message"),
        **_null("on_behalf_of payment_intent payment_method receipt_email"),
        **_null("receipt_number receipt_url review shipping source_transfer"),
        **_null("statement_descriptor statement_descriptor_suffix transfer_data transfer_group"),
        "amount_refunded": 0,
        "billing_details": BILLING_DETAILS,
        "calculated_statement_descriptor": "SIMULATED NEWSROOM",
        "captured": True,
        "disputed": False,
        "fraud_details": {},
        "metadata": {},
        "outcome": APPROVED,
        "paid": True,
        "refunded": False,
        "status": "succeeded",
    },
    "refund": {
        **_null("balance_transaction charge payment_intent reason receipt_number"),
        **_null("source_transfer_reversal transfer_reversal"),
        "metadata": {},
        "status": "succeeded",
    },
    "dispute": {
        "payment_intent": None,
        "balance_transactions": [],
        "enhanced_eligibility_types": [],
        "evidence": {
            **_null("access_activity_log billing_address cancellation_policy"),
            **_null("cancellation_policy_disclosure cancellation_rebuttal customer_communication"),
            **_null("customer_email_address customer_name customer_purchase_ip"),
            **_null("customer_signature duplicate_charge_documentation"),
            **_null("duplicate_charge_explanation duplicate_charge_id product_description"),
            **_null("receipt refund_policy refund_policy_disclosure refund_refusal_explanation"),
            **_null("service_date service_documentation shipping_address shipping_carrier"),
            **_null("shipping_date shipping_documentation shipping_tracking_number"),
            **_null("uncategorized_file uncategorized_text"),
            "enhanced_evidence": {},
        },
        "is_charge_refundable": False,
        "metadata": {},
        "reason": "fraudulent",
        "status": "needs_response",
    },
    "balance_transaction": {
        "description": None,
        "exchange_rate": None,
        "balance_type": "payments",
        "fee_details": [],
        "status": "pending",
    },
    "payout": {
        **_null("application_fee application_fee_amount failure_balance_transaction failure_code"),
        **_null("failure_message original_payout payout_method reversed_by"),
        **_null("statement_descriptor trace_id"),
        "automatic": True,
        "description": "STRIPE PAYOUT",
        "destination": "ba_1Simulator",
        "metadata": {},
        "method": "standard",
        "reconciliation_status": "completed",
        "source_type": "card",
        "status": "in_transit",
        "type": "bank_account",
    },
    "setup_intent": {
        **_null("application automatic_payment_methods cancellation_reason client_secret"),
        **_null("customer customer_account description excluded_payment_method_types"),
        **_null("flow_directions last_setup_error latest_attempt mandate next_action"),
        **_null("on_behalf_of payment_method payment_method_configuration_details"),
        **_null("single_use_mandate"),
        "metadata": {},
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "status": "succeeded",
        "usage": "off_session",
    },
    "checkout.session": {
        **_null("adaptive_pricing after_expiration allow_promotion_codes amount_subtotal"),
        **_null("amount_total billing_address_collection cancel_url client_reference_id"),
        **_null("client_secret collected_information consent consent_collection currency"),
        **_null("currency_conversion customer customer_account customer_creation"),
        **_null("customer_details customer_email discounts integration_identifier invoice"),
        **_null("invoice_creation locale optional_items origin_context payment_intent"),
        **_null("payment_link payment_method_collection permissions recovered_from"),
        **_null("payment_method_configuration_details saved_payment_method_options"),
        **_null("setup_intent shipping_address_collection shipping_cost submit_type"),
        **_null("subscription success_url wallet_options"),
        "automatic_tax": {**NO_TAX, "provider": None},
        "custom_fields": [],
        "custom_text": _null("after_submit shipping_address submit terms_of_service_acceptance"),
        "metadata": {},
        "payment_method_options": {},
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
    },
    "billing_portal.configuration": {
        **_null("application default_return_url name"),
        "active": True,
        "business_profile": _null("headline privacy_policy_url terms_of_service_url"),
        "is_default": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
    },
    "billing_portal.session": _null("customer_account flow locale on_behalf_of return_url"),
    "webhook_endpoint": {
        **_null("application description"),
        "metadata": {},
        "status": "enabled",
    },
}

PREFIXES = {
    "product": "prod_",
    "price": "price_",
    "customer": "cus_",
    "payment_method": "pm_",
    "subscription": "sub_",
    "subscription_item": "si_",
    "invoice": "in_",
    "line_item": "il_",
    "subscription_schedule": "sub_sched_",
    "invoiceitem": "ii_",
    "promotion_code": "promo_",
    "discount": "di_",
    "invoice_payment": "inpay_",
    "payment_intent": "pi_",
    "charge": "ch_",
    "refund": "re_",
    "dispute": "du_",
    "balance_transaction": "txn_",
    "payout": "po_",
    "setup_intent": "seti_",
    "checkout.session": "cs_test_",
    "item": "li_",
    "billing_portal.configuration": "bpc_",
    "billing_portal.session": "bps_",
    "webhook_endpoint": "we_",
    "event": "evt_",
    "mandate": "mandate_",
}
# Three kinds of object say nothing of the mode they live in.
WITHOUT_LIVEMODE = {"discount", "refund", "balance_transaction"}


def full(stored: Object) -> Object:
    """The object with every field, private ones (``_name``) included."""
    kind = stored["object"]
    mode = {} if kind in WITHOUT_LIVEMODE else {"livemode": False}
    return {**mode, **DEFAULTS[kind], **stored}


def sparse(whole: Object) -> Object:
    """What the store keeps of it."""
    defaults = DEFAULTS[whole["object"]]
    return {
        name: value
        for name, value in whole.items()
        if not (name in defaults and defaults[name] == value) and name != "livemode"
    }


def public(whole: Object) -> Object:
    """What the API shows of it."""
    return {name: value for name, value in full(whole).items() if not name.startswith("_")}
