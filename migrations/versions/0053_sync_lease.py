"""sync lease: who may write what Stripe says of a customer"""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE sync_lease_token")
    op.create_table(
        "sync_lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sync_lease")),
    )
    op.add_column(
        "sync_request",
        sa.Column("urgent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    # The queue is short: an index on it is made in no time.
    op.create_index(
        "ix_sync_request_urgent",
        "sync_request",
        ["due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL AND urgent"),
    )


def downgrade() -> None:
    op.drop_index("ix_sync_request_urgent", "sync_request")
    op.drop_column("sync_request", "urgent")
    op.drop_table("sync_lease")
    op.execute("DROP SEQUENCE sync_lease_token")
