"""Products at Stripe that are no memberships, and those of which a reconciliation knows nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "other_product",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.add_column(
        "reconciliation",
        sa.Column(
            "unknown",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )


def downgrade() -> None:
    op.drop_column("reconciliation", "unknown")
    op.drop_table("other_product")
