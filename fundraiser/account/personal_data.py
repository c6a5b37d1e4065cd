"""Register of personal data: why and how long we keep each column, and what erasure does.

The download, erasure and the nightly deletion read it. A test compares it with all tables: each new
column must be in ``PERSONAL`` or ``NOT_PERSONAL``. Tables are given by name, because they belong to
all rooms.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Erasure(StrEnum):
    """What an erasure does to a column."""

    DELETED = "deleted with its row"
    EMPTIED = "emptied"
    KEPT = "kept, because without the rest it doesn't say who it was"


@dataclass(frozen=True, slots=True)
class Limit:
    """What the nightly deletion does ``after`` the time ``since``, if ``when`` holds (both SQL).

    It deletes the rows, or only empties the columns. ``by_machine``: the times are the machine's
    own, as sessions have them (``db.Clock``).
    """

    after: timedelta
    since: str
    when: str = "true"
    deletes: bool = True
    by_machine: bool = False


@dataclass(frozen=True, slots=True)
class Personal:
    """Columns of a table with personal data.

    ``kept`` is how long, in words; ``limits`` enforce it. ``owner`` names the entry of
    ``owners.OWNERS`` that finds a person's rows: by default the table. ``names_others``: free text
    that may name others, whose names an erasure replaces.
    """

    table: str
    columns: tuple[str, ...]
    why: str
    kept: str
    erasure: Erasure
    exported: bool = True
    limits: tuple[Limit, ...] = ()
    owner: str = ""
    names_others: bool = False


_ACCOUNT = "until the account is deleted"
_BOOKS = "as long as bookkeeping law asks for; without a name once the account is deleted"
_NUMBER = "for good, without a name once the account is deleted: the ledger proves the number"
_OF_STAFF = "as long as the staff account; its name stays beside what was changed"
_DAY, _MONTH, _HALF_A_YEAR = timedelta(days=1), timedelta(days=30), timedelta(days=180)
_QUARTER = timedelta(days=90)


def _personal(
    table: str,
    columns: str,
    why: str,
    kept: str,
    erasure: Erasure = Erasure.KEPT,
    *limits: Limit,
    exported: bool = True,
    owner: str = "",
    names_others: bool = False,
) -> Personal:
    return Personal(
        table,
        tuple(columns.split()),
        why,
        kept,
        erasure,
        exported=exported,
        limits=limits,
        owner=owner or table,
        names_others=names_others,
    )


PERSONAL: tuple[Personal, ...] = (
    # Erasure goes in this order: e-mails are found by gifts and reminders, so they come first.
    _personal(
        "email",
        "context error",
        "Write and deliver the e-mail, and say why one did not arrive",
        _ACCOUNT,
        Erasure.EMPTIED,
    ),
    _personal(
        "email",
        "id member_id staff_id reminder_id gift_id kind key urgent state due_at attempts"
        " created_at sent_at unknown_at",
        "Send each e-mail once",
        _ACCOUNT,
    ),
    _personal(
        "email",
        "request_id",
        "Find the log lines of the request that caused it",
        _ACCOUNT,
        exported=False,
    ),
    _personal(
        "email_choice",
        "member_id topic wanted at text",
        "Respect which e-mails they want",
        _ACCOUNT,
        Erasure.DELETED,
    ),
    _personal(
        "consent",
        "id member_id kind given text at",
        "Prove what they agreed to",
        _ACCOUNT,
        Erasure.DELETED,
    ),
    _personal(
        "member_session",
        "id member_id browser created_at seen_at ends_at",
        "Keep them signed in",
        "until the session ends",
        Erasure.DELETED,
        Limit(timedelta(), "ends_at", by_machine=True),
    ),
    _personal(
        "member_session",
        "token_hash notice",
        "Recognise the browser",
        "until the session ends",
        Erasure.DELETED,
        exported=False,
    ),
    _personal(
        "member_note",
        "id member_id audit_entry_id text",
        "Remember what staff agreed with a member",
        _ACCOUNT,
        Erasure.DELETED,
        names_others=True,
    ),
    _personal(
        "member_label",
        "member_id label_id",
        "Group people as staff need it",
        _ACCOUNT,
        Erasure.DELETED,
    ),
    _personal(
        "bulk_member",
        "bulk_id member_id result made_id",
        "Undo a change of many members, and say what it did to each",
        "90 days; a day if the change was never made",
        Erasure.DELETED,
    ),
    _personal(
        "address_check",
        "id purpose email member_id gift_id created_at enqueued_at ends_at tries used_at",
        "Prove that an address is theirs",
        "a day, until the next night",
        Erasure.DELETED,
        Limit(_DAY, "created_at"),
    ),
    _personal(
        "address_check",
        "browser_hash network token_hash code_hash",
        "Check the code",
        "a day",
        Erasure.DELETED,
        exported=False,
    ),
    _personal(
        "address_change",
        "id member_id before after at undo_until",
        "Undo a change of address that somebody else made",
        "30 days",
        Erasure.DELETED,
        Limit(_MONTH, "at"),
    ),
    _personal(
        "reminder",
        "email",
        "Send the reminder that the reader asked for",
        "30 days after the reminder, or after it was cancelled; 7 days without confirmation",
        Erasure.EMPTIED,
        Limit(timedelta(days=7), "created_at", "confirmed_at IS NULL"),
        Limit(_MONTH, "due_at"),
        Limit(_MONTH, "stopped_at"),
    ),
    _personal(
        "reminder",
        "id kind language campaign_slug checkout_id due_at confirmed_at stopped_at created_at",
        "Send the reminder that the reader asked for",
        "30 days after the reminder, or after it was cancelled; 7 days without confirmation",
    ),
    _personal(
        "gift",
        "giver_name",
        "Tell the recipient who gives",
        _ACCOUNT,
        Erasure.EMPTIED,
        owner="gift given",
    ),
    _personal(
        "gift",
        "message",
        "Pass on the giver's words",
        "until the giver's account is deleted",
        Erasure.EMPTIED,
        owner="gift given",
    ),
    _personal(
        "gift",
        "recipient_name message",
        "Address the recipient",
        "until one of the two accounts is deleted",
        Erasure.EMPTIED,
        owner="gift told",
    ),
    _personal(
        "gift",
        "recipient_email",
        "Tell the recipient of the gift",
        "30 days after the gift is redeemed or refunded",
        Erasure.EMPTIED,
        Limit(_MONTH, "coalesce(redeemed_at, refunded_at)", deletes=False),
        owner="gift told",
    ),
    _personal(
        "gift",
        "id checkout_id charge_id giver_id recipient_id language tier years amount currency"
        " campaign tell_at paid_at redeemed_at refunded_at disputed_at",
        "Honour a gift that was paid for",
        _BOOKS,
    ),
    _personal("gift", "code_hash", "Recognise the gift's code", _BOOKS, exported=False),
    _personal(
        "suppression",
        "address_hash",
        "Send no e-mail to an address that bounced or complained, also after its erasure",
        "until staff or its owner allow e-mails again",
        exported=False,
    ),
    _personal(
        "suppression",
        "reason at",
        "Say why no e-mail is sent",
        "until staff or its owner allow e-mails again",
    ),
    _personal(
        "suppression",
        "detail",
        "Find out why an e-mail bounced",
        "180 days",
        Erasure.EMPTIED,
        Limit(_HALF_A_YEAR, "at", deletes=False),
    ),
    _personal(
        "checkout",
        "ref utm invite return_url session_url",
        "Know which article led to a membership, and lead the reader back there",
        "until the account is deleted; 30 days where nothing was paid",
        Erasure.EMPTIED,
        # A session lives a day, and a bank debit takes two weeks.
        Limit(
            _MONTH,
            "created_at",
            "member_id IS NULL"
            " AND NOT EXISTS (SELECT FROM reminder WHERE reminder.checkout_id = checkout.id)"
            " AND NOT EXISTS (SELECT FROM gift WHERE gift.checkout_id = checkout.id)",
        ),
    ),
    _personal(
        "checkout",
        "gift",
        "Make the gift once it is paid for",
        "30 days, or until it is paid for",
        Erasure.EMPTIED,
        Limit(_MONTH, "created_at", deletes=False),
    ),
    _personal(
        "checkout",
        "id session_id kind campaign tier interval currency amount fee language created_at"
        " member_id reference",
        "Connect a payment with what was chosen",
        _BOOKS,
    ),
    _personal("checkout", "key", "Make one payment of a form sent twice", _BOOKS, exported=False),
    _personal(
        "sync_request",
        "error",
        "Find out why a customer could not be synced",
        "until the customer is synced",
        Erasure.EMPTIED,
    ),
    _personal(
        "sync_request",
        "id customer_id charge_id event_id due_at urgent attempts created_at",
        "Sync a customer with Stripe",
        "until the customer is synced",
    ),
    _personal(
        "sync_request",
        "request_id",
        "Find the log lines of the request that caused it",
        "until the customer is synced",
        exported=False,
    ),
    _personal(
        "sync_lease",
        "name token until",
        "Let one worker at a time write what Stripe says",
        "until the customer is synced",
    ),
    _personal(
        "intent",
        "details error",
        "Do at Stripe what they asked for",
        "until it is done; what was refused as long as the account",
        Erasure.EMPTIED,
    ),
    _personal(
        "intent",
        "id kind member_id customer_id target cause cause_ref created_at due_at attempts called_at"
        " calls refusal closed_at",
        "Do at Stripe what they asked for, once, and say what became of it",
        "30 days after it is done; what was refused for good, without a name once the account is"
        " deleted",
        Erasure.KEPT,
        Limit(_MONTH, "closed_at", "refusal IS NULL"),
    ),
    _personal("intent", "key", "Do once what a form asks for twice", _BOOKS, exported=False),
    _personal(
        "money_case", "error wish", "Resolve a payment that went wrong", _ACCOUNT, Erasure.EMPTIED
    ),
    _personal(
        "money_case",
        "id kind reference subscription_id customer_id member_id amount currency attempts due_at"
        " opened_at closed_at",
        "Resolve a payment that went wrong",
        _BOOKS,
    ),
    _personal(
        "drift",
        "id kind member_id customer_id detail since gone_at",
        "Find out why the number and Stripe differed",
        "180 days after they agree again",
        Erasure.KEPT,
        Limit(_HALF_A_YEAR, "gone_at"),
    ),
    _personal("customer", "email method_id", "Recognise who pays", _ACCOUNT, Erasure.EMPTIED),
    _personal(
        "customer",
        "id member_id deleted facts settled_at",
        "Connect payments with Stripe's records",
        _BOOKS,
    ),
    _personal(
        "membership",
        "ref utm",
        "Learn which articles win members",
        _ACCOUNT,
        Erasure.EMPTIED,
    ),
    _personal(
        "membership",
        "cancel_comment",
        "Learn why members cancel",
        _ACCOUNT,
        Erasure.EMPTIED,
    ),
    _personal(
        "membership",
        "method card_last4 card_expires_at pay_url",
        "Tell members which card is charged and how to pay",
        _ACCOUNT,
        Erasure.EMPTIED,
    ),
    _personal(
        "membership",
        "id member_id source reference customer_id tier amount currency price interval"
        " interval_count status payment_status collection_paused resumes_at started_at"
        " paid_at paid_until has_paid"
        " free_until discount_until moved_at period_end cancel_at cancel_wanted_at canceled_at"
        " ended_at grace_from refunded_at disputed_at counts_until duplicate_of schedule_id"
        " collection_method needs_confirmation credit due next_attempt_at cancel_reason"
        " cancel_feedback campaign origin",
        "Decide who is counted as a member, and prove it",
        _BOOKS,
    ),
    _personal(
        "payment",
        "id charge_id member_id customer_id kind subscription_id campaign status amount refunded"
        " currency dispute failure paid_at",
        "Keep the books",
        _BOOKS,
    ),
    _personal(
        "ledger",
        "version member_id sequence change balance cause cause_ref reason rule happened_at"
        " recorded_at",
        "Prove the number of members",
        _NUMBER,
    ),
    _personal(
        "member_mrr",
        "member_id currency amount began",
        "Say what members pay a month, and prove how that sum came about",
        _BOOKS,
    ),
    _personal(
        "mrr_movement",
        "id member_id currency kind amount payers month began happened_at recorded_at",
        "Say what members pay a month, and prove how that sum came about",
        _BOOKS,
    ),
    _personal(
        "member",
        "email address name",
        "Recognise members, e-mail them, and name those who agreed to it",
        _ACCOUNT,
        Erasure.EMPTIED,
    ),
    _personal("member", "country", "Count members by country", _ACCOUNT, Erasure.EMPTIED),
    _personal(
        "member",
        "supporter_since supporter_closed_at supporter_name",
        "Name those who agreed to it",
        _ACCOUNT,
        Erasure.EMPTIED,
    ),
    _personal(
        "member",
        "invite_code",
        "Thank members whose invitation is accepted",
        _ACCOUNT,
        Erasure.EMPTIED,
    ),
    _personal("member", "invited_by", "Thank members whose invitation is accepted", _NUMBER),
    _personal("member", "language", "Write in the member's language", _NUMBER),
    _personal(
        "member",
        "id number counting sequence recount_at first_counted_at created_at",
        "Count each member once",
        _NUMBER,
    ),
    _personal(
        "member_alias",
        "address member_id",
        "Recognise a member by another address of theirs",
        _ACCOUNT,
        Erasure.DELETED,
    ),
    _personal(
        "member_merge",
        "id kept_id other_id moved before merged_at undone_at",
        "Take two members apart again who were merged in error",
        _ACCOUNT,
        Erasure.DELETED,
        exported=False,
    ),
    _personal(
        "different_people",
        "first_id second_id at",
        "Not ask again whether two members are one",
        _NUMBER,
        exported=False,
    ),
    # Of people who pay elsewhere
    _personal(
        "import_row",
        "id batch_id number lines says why looks cells key email address name amount currency"
        " interval interval_count card_last4 started_at counts_until cancel_at refunded_at outcome"
        " counts same_as decision decided_at member_id membership_id before added applied_at"
        " undone_at",
        "Count members who pay elsewhere, and undo an import as a whole",
        "90 days after the file came",
        Erasure.DELETED,
        Limit(_QUARTER, "SELECT created_at FROM import_batch WHERE import_batch.id = batch_id"),
    ),
    _personal(
        "import_file",
        "batch_id content created_at",
        "Show what a file would do before it is brought in",
        "until it is brought in, at most a day",
        Erasure.KEPT,
        Limit(_DAY, "created_at"),
        exported=False,
    ),
    _personal(
        "live_page",
        "source number content keys created_at",
        "Gather what another service lists until the list is whole",
        "until it is whole, at most a day",
        Erasure.KEPT,
        Limit(_DAY, "created_at"),
        exported=False,
    ),
    _personal(
        "live_change",
        "source reference told_at",
        "Ask another service about a member of whom it has news",
        "until it is asked, at most a day",
        Erasure.KEPT,
        Limit(_DAY, "told_at"),
        exported=False,
    ),
    _personal(
        "erased_address",
        "hash erased_at",
        "Ask before a list from elsewhere brings somebody back; a keyed hash",
        "two years",
        Erasure.KEPT,
        Limit(8 * _QUARTER, "erased_at"),
        exported=False,
    ),
    # What names a person by Stripe's ID alone: Stripe deletes what it stands for.
    _personal(
        "event",
        "customer_id",
        "Sync a customer when Stripe reports a change",
        _BOOKS,
        exported=False,
    ),
    _personal(
        "listed_subscription",
        "subscription_id customer_id counts",
        "Compare our books with Stripe's",
        _BOOKS,
        exported=False,
    ),
    _personal(
        "balance_transaction",
        "id source_id charge_id description",
        "Reconcile payouts",
        _BOOKS,
        exported=False,
    ),
    # Of a network
    _personal(
        "forwarded_email",
        "id sender recipient at",
        "Let nobody e-mail strangers through us; both ends are keyed hashes",
        "a day",
        Erasure.KEPT,
        Limit(_DAY, "at"),
        exported=False,
    ),
    _personal(
        "wrong_code",
        "id network at",
        "Refuse networks that try gift codes",
        "a day",
        Erasure.KEPT,
        Limit(_DAY, "at"),
        exported=False,
    ),
    # Of staff
    _personal(
        "audit_entry",
        "id at action subject fields details",
        "Account for what staff did",
        "for good: it names members by number alone",
    ),
    _personal(
        "audit_entry", "staff_id key", "Account for what staff did", _OF_STAFF, exported=False
    ),
    _personal(
        "staff",
        "id email name password_hash role created_at last_sign_in_at deactivated_at second_factor"
        " second_factor_at second_factor_step second_step_by language chosen_language"
        " wants_milestones",
        "Let staff in, and nobody else",
        _OF_STAFF,
        exported=False,
    ),
    _personal(
        "staff_session",
        "id staff_id token_hash browser created_at seen_at ends_at confirmed_at challenge",
        "Let staff in, and nobody else",
        "30 days after it ends",
        Erasure.KEPT,
        Limit(_MONTH, "ends_at", by_machine=True),
        exported=False,
    ),
    _personal(
        "staff_passkey",
        "id staff_id credential_id public_key sign_count name created_at used_at",
        "Let staff in, and nobody else",
        "until its owner removes it",
        exported=False,
    ),
    _personal(
        "staff_recovery_code",
        "id staff_id code_hash used_at",
        "Let staff in who have lost their passkey or phone",
        "until its owner makes new ones",
        exported=False,
    ),
    _personal(
        "staff_key",
        "id staff_id kind token_hash created_at ends_at used_at",
        "Let staff choose a password",
        "30 days after it ends",
        Erasure.KEPT,
        Limit(_MONTH, "ends_at"),
        exported=False,
    ),
    _personal("goal", "staff_id", "Account for what staff did", _OF_STAFF, exported=False),
    _personal(
        "saved_view",
        "id name query staff_id shared created_at",
        "Keep the filters that staff use often",
        _OF_STAFF,
        exported=False,
    ),
    # Its people go with it.
    _personal(
        "bulk_change",
        "id state kind options note people changing done staff_id audit_entry_id created_at"
        " applied_at undone_at",
        "Change many members at once, and undo it",
        "90 days; a day if the change was never made",
        Erasure.KEPT,
        Limit(_QUARTER, "created_at"),
        Limit(_DAY, "created_at", "state IN ('draft', 'planned')"),
        exported=False,
    ),
    _personal("exchange_rate", "staff_id", "Account for what staff did", _OF_STAFF, exported=False),
    _personal("email_wording", "staff_id", "Account for what staff did", _OF_STAFF, exported=False),
    _personal("member_merge", "staff_id", "Account for what staff did", _OF_STAFF, exported=False),
    _personal(
        "different_people", "staff_id", "Account for what staff did", _OF_STAFF, exported=False
    ),
    _personal("import_batch", "staff_id", "Account for what staff did", _OF_STAFF, exported=False),
    _personal("import_row", "decided_by", "Account for what staff did", _OF_STAFF, exported=False),
)

# Columns that say nothing about anybody.
NOT_PERSONAL: dict[str, str] = {
    "imported_product": "id tier_slug imported_at",
    "balance_transaction": "part category amount fee net currency created_at available_at"
    " payout_id kind tier",
    "call_budget": "endpoint free_at",
    "campaign": "slug headlines messages reasons captions counts starts_at deadline timezone"
    " theme accent tiers default_tier default_currency sites revision archived_at created_at"
    " most_members webhook_url webhook_salt",
    "card_guard": "id mode on_until on_since cause",
    "daily_figure": "day topic key currency people recent amount",
    "event": "id type created_at received_at settled_at",
    "event_watermark": "id event_id cursor newest_id looked_at found",
    "exchange_rate": "id currency own day rate entered_at",
    "external_source": "name label format options list_at members counted_at created_at",
    "campaign_picture": "campaign_slug name content width height",  # of the newsroom's own
    "forecast": "day campaign days made_at due_at members goal low middle high chance pace joins"
    " canceled overdue ending renewals rush_low rush_high came",
    "goal": "id campaign_slug members set_at",
    "heartbeat": "name beat_at",
    "retention_figure": "id subject key month entry steps ended people",
    "secret_key_check": "id digest",
    "held_at_stripe": "currency amount told_at difference compared_at",
    "hosted_origin": "origin seen_at",
    "import_batch": "id source format state file_name hash options headings notes problem list_at"
    " counts sums members_before members_after rows progress done attempts peaks created_at"
    " planned_at applied_at undone_at live",
    "live_source": "name tokens tokens_of renew_at lease lease_until listing_at cursor pages"
    " expected batch_id due_at retry_at failures failing_since trouble answered_at listed_at"
    " paused_at",
    "label": "id name created_at",
    "ledger_head": "id version balance numbers_given changed_at",
    "email_switch": "kind is_on",
    "email_wording": "kind language subject heading text changed_at",
    "listed_subscription": "run_id",
    "maintenance": "what since notice",
    "mailing": "kind key at",
    "measure": "name labels bucket count seconds",
    "milestone": "id campaign_slug members percent goal reached_at tell_at attempts told_at error",
    "balance_scan": "id stage cursor began_at finished_at since newest months zone",
    "monthly_sum": "month currency part kind tier count amount fee",
    "mrr_sum": "month kind currency began changes payers amount",
    "open_trouble": "trouble since told_at gone_since",
    "old_price": "stripe_id tier_slug interval currency amount retired_at archived_at",
    "other_product": "id noted_at",
    "payout": "id amount currency status listed created_at arrives_at failure cursor contents_at",
    "price": "id tier_slug interval currency amount next_amount stripe_id",
    "reconciliation": "id started_at finished_at stage cursor looked_at differing members_listed"
    " unknown",
    "security_event": "kind place minute count",
    "staff_rules": "id second_step_roles large_refund",
    "stripe_account": "id livemode account_id",
    "stripe_refusal": "kind reason total recent last_at",
    "tier": "slug position names descriptions perks product_id retired_at stale_at_stripe",
}
