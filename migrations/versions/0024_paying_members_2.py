"""What the rule "paying-members/2" reads of a membership, and addresses folded in any alphabet.

Until each customer is settled again, the new facts are what the old ones allow to infer: the rule
says the same of them as before, but for those whom it was mended for.
"""

from __future__ import annotations

import unicodedata
from contextlib import suppress

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_INTERVALS = ("month", "year")
_STANDINGS = ("paid", "in_process", "overdue", "nothing")
_TIMES = ("paid_until", "free_until", "discount_until", "moved_at")


def upgrade() -> None:
    _allow("interval", (*_INTERVALS, "week", "day"))
    _allow("standing", (*_STANDINGS, "free"))
    op.add_column("membership", sa.Column("price", sa.BigInteger()))
    op.add_column(
        "membership", sa.Column("interval_count", sa.Integer(), server_default="1", nullable=False)
    )
    op.add_column(
        "membership", sa.Column("has_paid", sa.Boolean(), server_default="false", nullable=False)
    )
    for name in _TIMES:
        op.add_column("membership", sa.Column(name, sa.DateTime(timezone=True)))
    for name in ("method", "schedule_id", "collection_method"):
        op.add_column("membership", sa.Column(name, sa.String()))
    op.execute(
        """
        UPDATE membership SET price = amount, has_paid = paid_at IS NOT NULL,
            paid_until = CASE WHEN standing = 'paid' THEN period_end END,
            method = CASE WHEN card_last4 IS NOT NULL THEN 'card' END
        WHERE source = 'stripe'
        """
    )
    op.add_column("customer", sa.Column("facts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("member", sa.Column("address", sa.String()))
    op.execute("UPDATE member SET address = lower(email)")
    op.create_index("uq_member_address", "member", ["address"], unique=True)
    _fold()
    op.drop_index("uq_member_email", "member")


def downgrade() -> None:
    op.create_index("uq_member_email", "member", [sa.text("lower(email)")], unique=True)
    op.drop_index("uq_member_address", "member")
    op.drop_column("member", "address")
    op.drop_column("customer", "facts")
    columns = ("price", "interval_count", "has_paid", *_TIMES)
    for name in (*columns, "method", "schedule_id", "collection_method"):
        op.drop_column("membership", name)
    op.execute("UPDATE membership SET interval = 'month' WHERE interval IN ('week', 'day')")
    op.execute("UPDATE membership SET standing = 'paid' WHERE standing = 'free'")
    _allow("standing", _STANDINGS)
    _allow("interval", _INTERVALS)


def _allow(column: str, values: tuple[str, ...]) -> None:
    op.execute(f"ALTER TABLE membership DROP CONSTRAINT ck_membership_{column}")
    allowed = ", ".join(map(repr, values))
    op.execute(
        f"ALTER TABLE membership ADD CONSTRAINT ck_membership_{column} "
        f"CHECK ({column} IN ({allowed}))"
    )


def _fold() -> None:
    """Fold what PostgreSQL does not: letters beyond ASCII, which its locale may not know.

    Where two people then have the same address, the one who was there first keeps it.
    """
    connection = op.get_bind()
    beyond = connection.execute(
        sa.text(
            "SELECT id, email FROM member "
            "WHERE email ~ '[^[:ascii:]]' OR email ILIKE '%@%xn--%' ORDER BY id"
        )
    ).all()
    taken = sa.text(
        "UPDATE member SET address = :address WHERE id = :id AND NOT EXISTS "
        "(SELECT FROM member AS other WHERE other.address = :address AND other.id != :id)"
    )
    for member_id, email in beyond:
        local, at, domain = email.rpartition("@")
        with suppress(UnicodeError):
            domain = domain.encode().decode("idna") if "xn--" in domain.lower() else domain
        folded = unicodedata.normalize("NFC", f"{local}{at}{domain}").casefold()
        folded = unicodedata.normalize("NFC", folded)
        connection.execute(taken, {"id": member_id, "address": folded})
