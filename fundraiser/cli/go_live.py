"""`fundraiser stripe go-live`: switch a sandbox's database to live, without test members.

Texts by the newsroom stay; people, everything about money, and all Stripe IDs go. Tables that this
module doesn't name are emptied, so that a forgotten one holds no test members.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, text

from fundraiser.db import Base, now
from fundraiser.errors import UnprocessableError
from fundraiser.jobs import Heartbeat
from fundraiser.members.ledger import read_balance
from fundraiser.payments import StripeAccount

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fundraiser.config import Settings

KEPT = frozenset(
    {
        *("campaign", "goal", "tier", "price", "exchange_rate"),
        *("email_switch", "email_wording", "staff", "staff_key", "audit_entry"),
        *("ledger_head", "stripe_account", "call_budget"),
    }
)
WHAT_STAYS = "campaigns, goals, tiers and prices, e-mail texts, exchange rates, staff, activity log"
WHAT_GOES = (
    "members and their numbers, the ledger, memberships, gifts, payments, the month's books, "
    "e-mails, milestones, webhooks, and all Stripe IDs"
)
_RUNNING = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a sandbox's database contains."""

    members: int
    balance: int


def examine_sandbox(session: Session, settings: Settings) -> Sandbox:
    """Check whether it may be emptied.

    Raises:
        UnprocessableError: the key isn't live, the database isn't a sandbox's, or workers are
            running.
    """
    if not settings.livemode:
        raise UnprocessableError("STRIPE_API_KEY is a test key: set the live one first.")
    account = session.scalars(select(StripeAccount).with_for_update()).first()
    if account is None:
        raise UnprocessableError(
            "Nobody knows whether this database is a sandbox's: no key was ever used with it. "
            "Use an empty one."
        )
    if account.livemode:
        raise UnprocessableError("This database is live already: nothing was changed.")
    newest = session.scalar(select(Heartbeat.beat_at).order_by(Heartbeat.beat_at.desc()).limit(1))
    if newest is not None and now() - newest < _RUNNING:
        raise UnprocessableError(
            "The workers still run, with the sandbox's key: stop web, worker and beat, wait a "
            "minute, and try again."
        )
    members = session.scalar(text("SELECT count(*) FROM member")) or 0
    return Sandbox(members, read_balance(session).members)


def go_live(session: Session) -> None:
    """Empty a sandbox's database, and assign it to the live account."""
    emptied = ", ".join(f'"{name}"' for name in sorted(set(Base.metadata.tables) - KEPT))
    session.execute(text("LOCK TABLE ledger_head IN ACCESS EXCLUSIVE MODE"))
    # Numbers go on from where they are: the activity log must not come to mean somebody else.
    # The ledger refuses to be changed, but for this once.
    session.execute(text("ALTER TABLE ledger DISABLE TRIGGER ledger_is_append_only"))
    session.execute(text(f"TRUNCATE {emptied}"))
    session.execute(text("ALTER TABLE ledger ENABLE TRIGGER ledger_is_append_only"))
    session.execute(
        text(
            "UPDATE ledger_head SET version = 0, balance = 0, numbers_given = 0, changed_at = :at"
        ),
        {"at": now()},
    )
    session.execute(text("UPDATE tier SET product_id = NULL, stale_at_stripe = false"))
    session.execute(
        text(
            "UPDATE price SET stripe_id = NULL, amount = coalesce(next_amount, amount), "
            "next_amount = NULL"
        )
    )
    session.execute(text("UPDATE campaign SET most_members = NULL"))
    session.execute(text("UPDATE stripe_account SET livemode = true, account_id = NULL"))
