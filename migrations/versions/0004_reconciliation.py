"""reconciliation: how far we have looked at Stripe, what did not agree, and adopted products"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_watermark",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("newest_id", sa.String(), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_event_watermark_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_watermark")),
    )
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "stage",
            sa.Enum(
                "subscriptions",
                "refunds",
                "disputes",
                "done",
                name="stage",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("looked_at", sa.Integer(), nullable=False),
        sa.Column("differing", sa.Integer(), nullable=False),
        sa.Column("members_listed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation")),
    )
    op.create_table(
        "adopted_product",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tier_slug", sa.String(), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tier_slug"], ["tier.slug"], name=op.f("fk_adopted_product_tier_slug")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adopted_product")),
    )
    op.create_table(
        "drift",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "balance",
                "ledger",
                "rule",
                "stripe",
                name="driftkind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("member_id", sa.BigInteger(), nullable=True),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_drift_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
    )
    op.create_index(
        "uq_drift_open",
        "drift",
        ["kind", "member_id", "customer_id"],
        unique=True,
        postgresql_where="gone_at IS NULL",
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "listed_subscription",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["reconciliation.id"], name=op.f("fk_listed_subscription_run_id")
        ),
        sa.PrimaryKeyConstraint("run_id", "subscription_id", name=op.f("pk_listed_subscription")),
    )


def downgrade() -> None:
    for table in (
        *("listed_subscription", "drift", "adopted_product", "reconciliation", "event_watermark"),
    ):
        op.drop_table(table)
