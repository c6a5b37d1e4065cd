"""what is wrong, and whether the operator was told"""

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "open_trouble",
        sa.Column(
            "trouble",
            sa.Enum(
                *("workers", "beat", "drift", "events", "syncs", "changes", "webhooks", "key"),
                *("reconciliation", "emails_wait", "emails_fail", "proxy", "stopped"),
                name="trouble",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("told_at", _TIME),
        sa.Column("gone_since", _TIME),
        sa.PrimaryKeyConstraint("trouble", name="pk_open_trouble"),
    )


def downgrade() -> None:
    op.drop_table("open_trouble")
