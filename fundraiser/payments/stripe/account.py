"""The Stripe account that the database belongs to: its mode, its ID, its hosted pages' domains.

Test members must never enter the number, and a live key on a sandbox's database would look for
customers that the live account doesn't have. So we store the mode and refuse a key of the other.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base
from fundraiser.errors import FundraiserError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session


class StripeAccount(Base):
    """The account of all Stripe IDs in this database: one row."""

    __tablename__ = "stripe_account"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    livemode: Mapped[bool]
    account_id: Mapped[str | None]


class HostedOrigin(Base):
    """An origin of Stripe's hosted pages; an account may use its own domain."""

    __tablename__ = "hosted_origin"

    origin: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]


class OtherAccountError(FundraiserError):
    """The key's mode or account differs from the database's."""


_CLAIM = text("""
    INSERT INTO stripe_account (id, livemode) VALUES (1, :livemode)
    ON CONFLICT (id) DO NOTHING
""")
_MODE = text("SELECT livemode FROM stripe_account WHERE id = 1")
_HOLDS_ANYTHING = text("""
    SELECT EXISTS (SELECT FROM member) OR EXISTS (SELECT FROM customer)
        OR EXISTS (SELECT FROM checkout WHERE session_id IS NOT NULL)
        OR EXISTS (SELECT FROM event) OR EXISTS (SELECT FROM tier WHERE product_id IS NOT NULL)
""")
_CHANGE = text("UPDATE stripe_account SET livemode = :livemode, account_id = NULL WHERE id = 1")


def claim_mode(connection: Connection, *, livemode: bool) -> None:
    """Store the mode of the first key, and refuse a key of the other mode.

    An empty sandbox database switches to live.

    Raises:
        OtherAccountError: the database belongs to the other mode.
    """
    known = connection.scalar(_MODE)
    if known is None:
        connection.execute(_CLAIM, {"livemode": livemode})
        known = connection.scalar(_MODE)
    if known == livemode:
        return
    if not livemode:
        # Even if it is empty: a running sandbox worker could fill it.
        raise OtherAccountError(
            "STRIPE_API_KEY is a test key, and this database is the live account's: "
            "use another database for tests."
        )
    if connection.scalar(_HOLDS_ANYTHING):
        raise OtherAccountError(
            "STRIPE_API_KEY is a live key, and this database holds a sandbox's members: "
            "run fundraiser stripe go-live, which starts clean, or use another database."
        )
    connection.execute(_CHANGE, {"livemode": livemode})


def refuse_other_mode(engine: Engine, *, livemode: bool) -> None:
    """Stop a process from starting if its key's mode differs from the database's.

    If the database is down or not migrated, each call to Stripe checks again.

    Raises:
        OtherAccountError: the database belongs to the other mode.
    """
    with suppress(SQLAlchemyError), engine.begin() as connection:
        claim_mode(connection, livemode=livemode)


def check_account(session: Session, account_id: str) -> bool:
    """Whether the key belongs to our account; remembers the first one."""
    known = session.scalars(select(StripeAccount).with_for_update()).first()
    if known is None:
        return True
    if known.account_id is None:
        known.account_id = account_id
    return known.account_id == account_id
