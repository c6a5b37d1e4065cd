"""monthly recurring income: each member's, its movements, and their sums"""

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None

_TOPICS = (
    *("income", "tier", "interval", "country", "source", "campaign", "churn"),
    *("moved", "leaving", "contribution", "utm", "failed", "recovered"),
)
_KINDS = ("new", "reactivation", "expansion", "contraction", "churn", "exchange", "other")


def upgrade() -> None:
    _allow((*_TOPICS, "mrr"))
    op.create_table(
        "member_mrr",
        sa.Column("member_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("began", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "currency", name="pk_member_mrr"),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_member_mrr_amount")),
    )
    op.create_table(
        "mrr_movement",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("member_id", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("kind", _kind(), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("began", sa.Date, nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mrr_movement"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_mrr_movement_amount")),
    )
    op.create_index("ix_mrr_movement_month", "mrr_movement", ["month", "kind", "member_id"])
    op.create_index("ix_mrr_movement_recorded_at", "mrr_movement", ["recorded_at"])
    op.create_index("ix_mrr_movement_member_id", "mrr_movement", ["member_id"])
    op.create_table(
        "mrr_sum",
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("kind", _kind(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("began", sa.Date, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("month", "kind", "currency", "began", name="pk_mrr_sum"),
    )


def downgrade() -> None:
    op.drop_table("mrr_sum")
    op.drop_table("mrr_movement")
    op.drop_table("member_mrr")
    op.execute("DELETE FROM daily_figure WHERE topic = 'mrr'")
    _allow(_TOPICS)


def _kind() -> sa.Enum:
    return sa.Enum(*_KINDS, name="kind", native_enum=False, create_constraint=True, length=32)


def _allow(topics: tuple[str, ...]) -> None:
    """Let a daily figure be about these: few rows, so that they are checked at once."""
    op.drop_constraint(op.f("ck_daily_figure_topic"), "daily_figure")
    listed = ", ".join(f"'{topic}'" for topic in topics)
    op.create_check_constraint(
        op.f("ck_daily_figure_topic"), "daily_figure", f"topic IN ({listed})"
    )
