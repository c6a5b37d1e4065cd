"""campaigns and tiers are made by staff: who set a goal, and prices that are replaced at Stripe"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("goal", sa.Column("staff_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(op.f("fk_goal_staff_id"), "goal", "staff", ["staff_id"], ["id"])
    op.add_column(
        "tier", sa.Column("perks", postgresql.JSONB(), server_default="{}", nullable=False)
    )
    op.alter_column("tier", "perks", server_default=None)
    op.add_column(
        "tier",
        sa.Column("stale_at_stripe", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.alter_column("tier", "stale_at_stripe", server_default=None)
    op.add_column("price", sa.Column("next_amount", sa.BigInteger(), nullable=True))
    op.create_check_constraint(op.f("ck_price_next_amount"), "price", "next_amount > 0")
    op.create_table(
        "old_price",
        sa.Column("stripe_id", sa.String(), nullable=False),
        sa.Column("tier_slug", sa.String(), nullable=False),
        sa.Column(
            "interval",
            sa.Enum(
                "month",
                "year",
                name="interval",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tier_slug"], ["tier.slug"], name=op.f("fk_old_price_tier_slug")),
        sa.PrimaryKeyConstraint("stripe_id", name=op.f("pk_old_price")),
    )
    op.create_index(op.f("ix_old_price_tier_slug"), "old_price", ["tier_slug"], unique=False)


def downgrade() -> None:
    op.drop_table("old_price")
    op.drop_column("price", "next_amount")
    op.drop_column("tier", "stale_at_stripe")
    op.drop_column("tier", "perks")
    op.drop_column("goal", "staff_id")
