"""what is refused between Stripe and us, the account we belong to, where its pages are"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stripe_refusal",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("recent", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "reason", name="pk_stripe_refusal"),
        sa.CheckConstraint("kind IN ('webhook', 'call')", name="ck_stripe_refusal_refused"),
    )
    op.create_table(
        "stripe_account",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("livemode", sa.Boolean, nullable=False),
        sa.Column("account_id", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_stripe_account"),
        sa.CheckConstraint("id = 1", name="ck_stripe_account_one_row"),
    )
    op.create_table(
        "hosted_origin",
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("origin", name="pk_hosted_origin"),
    )


def downgrade() -> None:
    op.drop_table("hosted_origin")
    op.drop_table("stripe_account")
    op.drop_table("stripe_refusal")
