"""what was written for a gift that nobody paid for is found, and forgotten"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE checkout SET gift = NULL WHERE gift = 'null'")
    op.create_index(
        "ix_checkout_gift", "checkout", ["created_at"], postgresql_where="gift IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_index("ix_checkout_gift", table_name="checkout")
