"""forecasts as they were shown; failed payments and what no reader moved by an index"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

_NUMBERS = (
    *("members", "low", "middle", "high", "pace", "joins"),
    *("canceled", "overdue", "ending", "renewals", "rush_low", "rush_high"),
)
_INDEXES = (
    ("ix_ledger_moved", "ledger", ["recorded_at"]),
    ("ix_payment_failed", "payment", ["paid_at", "id"]),
)
_WHICH = {
    "ledger": "cause IN ('import', 'merge', 'erasure', 'rule')",
    "payment": "status = 'failed'",
}


def upgrade() -> None:
    op.create_table(
        "forecast",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("days", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _NUMBERS),
        sa.Column("chance", sa.Float(), nullable=False),
        sa.Column("goal", sa.BigInteger(), nullable=True),
        sa.Column("came", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("day", "campaign", "days", name=op.f("pk_forecast")),
    )
    op.create_index("ix_forecast_open", "forecast", ["due_at"], postgresql_where="came IS NULL")
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        for name, table, columns in _INDEXES:
            # What was interrupted is there, and invalid.
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                table,
                columns,
                postgresql_where=_WHICH[table],
                postgresql_concurrently=True,
            )
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, table, _ in _INDEXES:
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    op.drop_table("forecast")
