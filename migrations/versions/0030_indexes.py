"""an index for every foreign key, and for two columns that are looked up at each settlement"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("address_check", "gift_id"),
    ("address_check", "member_id"),
    ("adopted_product", "tier_slug"),
    ("checkout", "member_id"),
    ("checkout", "reference"),
    ("drift", "member_id"),
    ("exchange_rate", "staff_id"),
    ("goal", "staff_id"),
    ("letter_wording", "staff_id"),
    ("member_note", "act"),
    ("membership", "customer_id"),
    ("reminder", "campaign_slug"),
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        for table, column in _COLUMNS:
            name = f"ix_{table}_{column}"
            # What was interrupted is there, and invalid.
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, table, [column], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for table, column in _COLUMNS:
            op.drop_index(
                f"ix_{table}_{column}", table, if_exists=True, postgresql_concurrently=True
            )
