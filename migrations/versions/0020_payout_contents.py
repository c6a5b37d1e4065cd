"""what a payout contains is added up from the index alone"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_balance_transaction_payout",
        "balance_transaction",
        ["payout_id", "created_at", "id"],
        postgresql_include=["part", "amount", "fee", "source_id"],
    )
    op.drop_index("ix_balance_transaction_payout_id", "balance_transaction")


def downgrade() -> None:
    op.create_index("ix_balance_transaction_payout_id", "balance_transaction", ["payout_id"])
    op.drop_index("ix_balance_transaction_payout", "balance_transaction")
