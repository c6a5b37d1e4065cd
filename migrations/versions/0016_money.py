"""what moved the balance at Stripe, the payouts, and the sums of each month"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_PARTS = ("gross", "refunds", "disputes", "fees", "payouts", "other")
_STAGES = ("transactions", "payouts", "contents", "adding_up", "done")


def _words(name: str, values: tuple[str, ...]) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "balance_transaction",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("part", _words("part", _PARTS), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("net", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_id", sa.String(), nullable=True),
        sa.Column("charge_id", sa.String(), nullable=True),
        sa.Column("payout_id", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("tier", sa.String(), nullable=True),
        sa.CheckConstraint("net = amount - fee", name=op.f("ck_balance_transaction_net")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_balance_transaction")),
    )
    op.create_index(
        "ix_balance_transaction_created_at", "balance_transaction", ["created_at", "id"]
    )
    op.create_index(op.f("ix_balance_transaction_payout_id"), "balance_transaction", ["payout_id"])
    op.create_index(
        "ix_balance_transaction_unknown",
        "balance_transaction",
        ["charge_id"],
        postgresql_where="kind IS NULL",
    )
    op.create_table(
        "payout",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("arrives_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("contents_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout")),
    )
    op.create_index("ix_payout_created_at", "payout", ["created_at", "id"])
    op.create_index(
        "ix_payout_unread",
        "payout",
        ["created_at"],
        postgresql_where="listed AND contents_at IS NULL",
    )
    op.create_table(
        "monthly_sum",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("part", _words("part", _PARTS), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "month", "currency", "part", "kind", "tier", name=op.f("pk_monthly_sum")
        ),
    )
    op.create_table(
        "money_look",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", _words("moneystage", _STAGES), nullable=False),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("newest", sa.DateTime(timezone=True), nullable=True),
        sa.Column("months", postgresql.JSONB(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_money_look_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_money_look")),
    )
    op.create_table(
        "held_at_stripe",
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("difference", sa.BigInteger(), nullable=True),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("currency", name=op.f("pk_held_at_stripe")),
    )


def downgrade() -> None:
    for table in (
        *("held_at_stripe", "money_look", "monthly_sum", "payout", "balance_transaction"),
    ):
        op.drop_table(table)
