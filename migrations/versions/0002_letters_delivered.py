"""What delivery notes of a letter: lost ones are found by the index, and some are withdrawn."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("letter", sa.Column("unknown_at", sa.DateTime(timezone=True), nullable=True))
    states = ("queued", "sending", "sent", "failed", "unknown", "withdrawn")
    op.drop_constraint("ck_letter_letterstate", "letter")
    op.create_check_constraint("letterstate", "letter", sa.column("state").in_(states))
    op.drop_index("ix_letter_due", table_name="letter")
    op.create_index(
        "ix_letter_due",
        "letter",
        ["due_at"],
        postgresql_where=sa.text("state IN ('queued', 'sending')"),
    )


def downgrade() -> None:
    op.drop_index("ix_letter_due", table_name="letter")
    op.create_index(
        "ix_letter_due",
        "letter",
        ["due_at"],
        postgresql_where="state = 'queued'",
    )
    op.execute("UPDATE letter SET state = 'failed' WHERE state = 'withdrawn'")
    states = ("queued", "sending", "sent", "failed", "unknown")
    op.drop_constraint("ck_letter_letterstate", "letter")
    op.create_check_constraint("letterstate", "letter", sa.column("state").in_(states))
    op.drop_column("letter", "unknown_at")
