"""overview: daily figures and exchange rates; disputes and customers that rest by an index"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TOPICS = (
    *("income", "tier", "interval", "country", "source", "campaign"),
    *("churn", "moved", "leaving", "contribution"),
)


def upgrade() -> None:
    op.create_table(
        "daily_figure",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "topic",
            sa.Enum(*TOPICS, name="topic", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.Column("recent", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "topic", "key", "currency", name=op.f("pk_daily_figure")),
    )
    op.create_table(
        "exchange_rate",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("own", sa.String(length=3), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rate", sa.Numeric(precision=18, scale=8), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("rate > 0", name=op.f("ck_exchange_rate_rate")),
        sa.CheckConstraint("currency <> own", name=op.f("ck_exchange_rate_pair")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_exchange_rate_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchange_rate")),
        sa.UniqueConstraint(
            "currency", "own", "day", name=op.f("uq_exchange_rate_currency_own_day")
        ),
    )
    op.create_index(
        "ix_payment_dispute",
        "payment",
        ["id"],
        postgresql_where="dispute IN ('needs_response', 'under_review', 'warning_needs_response', "
        "'warning_under_review')",
    )
    op.create_index("ix_look_resting", "look", ["id"], postgresql_where="due_at IS NULL")


def downgrade() -> None:
    op.drop_index("ix_look_resting", "look")
    op.drop_index("ix_payment_dispute", "payment")
    op.drop_table("exchange_rate")
    op.drop_table("daily_figure")
