"""memberships: the credit that pays next invoices, and what the open one still asks for"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "membership", sa.Column("credit", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("membership", sa.Column("due", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("membership", "due")
    op.drop_column("membership", "credit")
