"""e-mails that one person has us send to another, counted for a day"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forwarded_email",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forwarded_email")),
    )
    op.create_index("ix_forwarded_email_sender", "forwarded_email", ["sender", "at"])
    op.create_index("ix_forwarded_email_recipient", "forwarded_email", ["recipient", "at"])


def downgrade() -> None:
    op.drop_table("forwarded_email")
