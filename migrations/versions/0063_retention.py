"""figures of who stays, made by the hour"""

import sqlalchemy as sa
from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retention_figure",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column(
            "subject",
            sa.Enum(
                *("interval", "tier", "source", "article", "reason"),
                name="subject",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("month", sa.Date),
        sa.Column("entry", sa.Integer, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.Column("people", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_retention_figure"),
    )
    op.create_index("ix_retention_figure_subject", "retention_figure", ["subject", "month"])


def downgrade() -> None:
    op.drop_table("retention_figure")
