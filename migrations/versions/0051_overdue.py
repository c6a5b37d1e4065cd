"""when Stripe tries an overdue payment again; failures and recoveries by month"""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

_BEFORE = (
    *("income", "tier", "interval", "country", "source", "campaign"),
    *("churn", "moved", "leaving", "contribution", "utm"),
)
_NEW = ("failed", "recovered")


def upgrade() -> None:
    op.add_column(
        "membership", sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True)
    )
    _allow((*_BEFORE, *_NEW))
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        name = "ix_membership_unpaid"
        # What was interrupted is there, and invalid.
        op.drop_index(name, "membership", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            name,
            "membership",
            ["member_id"],
            postgresql_where="payment_status = 'overdue' AND ended_at IS NULL",
            postgresql_concurrently=True,
        )
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_membership_unpaid", "membership", if_exists=True, postgresql_concurrently=True
        )
    op.execute("DELETE FROM daily_figure WHERE topic IN ('failed', 'recovered')")
    _allow(_BEFORE)
    op.drop_column("membership", "next_attempt_at")


def _allow(topics: tuple[str, ...]) -> None:
    """Let a daily figure be about these: few rows, so that they are checked at once."""
    op.drop_constraint(op.f("ck_daily_figure_topic"), "daily_figure")
    listed = ", ".join(f"'{topic}'" for topic in topics)
    op.create_check_constraint(
        op.f("ck_daily_figure_topic"), "daily_figure", f"topic IN ({listed})"
    )
