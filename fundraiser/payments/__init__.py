"""Tiers, payments and syncing with Stripe; lists the Stripe names that other rooms may use."""

from fundraiser.payments.stripe.account import (
    OtherAccountError,
    StripeAccount,
    check_account,
    refuse_other_mode,
)
from fundraiser.payments.stripe.account_gateway import AccountGateway, Endpoint, account_gateway
from fundraiser.payments.stripe.budget import Budget
from fundraiser.payments.stripe.calls import API_VERSION
from fundraiser.payments.stripe.errors import (
    BankRefusedError,
    StripeKeyError,
    StripeRefusedError,
    StripeUnavailableError,
)
from fundraiser.payments.stripe.gateway import Gateway, current_gateway
from fundraiser.payments.stripe.hosted import allow_hosted_pages, lead_to
from fundraiser.payments.stripe.member_gateway import MemberGateway, Preview, Terms, member_gateway
from fundraiser.payments.stripe.money_gateway import MoneyGateway, money_gateway
from fundraiser.payments.stripe.patience import patience
from fundraiser.payments.stripe.portal import is_as_it_should_be
from fundraiser.payments.stripe.refused import (
    Refused,
    note_accepted,
    note_refusal,
    read_refusals,
    refused_calls,
    refused_webhooks,
)
from fundraiser.payments.stripe.rights import May
from fundraiser.payments.stripe.signatures import ForgedWebhookError, WebhookReason
from fundraiser.payments.stripe.types import Confirmation, StripeEvent

__all__ = [
    "API_VERSION",
    "AccountGateway",
    "BankRefusedError",
    "Budget",
    "Confirmation",
    "Endpoint",
    "ForgedWebhookError",
    "Gateway",
    "May",
    "MemberGateway",
    "MoneyGateway",
    "OtherAccountError",
    "Preview",
    "Refused",
    "StripeAccount",
    "StripeEvent",
    "StripeKeyError",
    "StripeRefusedError",
    "StripeUnavailableError",
    "Terms",
    "WebhookReason",
    "account_gateway",
    "allow_hosted_pages",
    "check_account",
    "current_gateway",
    "is_as_it_should_be",
    "lead_to",
    "member_gateway",
    "money_gateway",
    "note_accepted",
    "note_refusal",
    "patience",
    "read_refusals",
    "refuse_other_mode",
    "refused_calls",
    "refused_webhooks",
]
