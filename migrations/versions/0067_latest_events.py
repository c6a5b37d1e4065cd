"""an index for staff's page of the latest events"""

from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None

_NAME, _TABLE = "ix_event_received_at", "event"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        # What was interrupted is there, and invalid.
        op.drop_index(_NAME, _TABLE, if_exists=True, postgresql_concurrently=True)
        op.create_index(_NAME, _TABLE, ["received_at"], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(_NAME, _TABLE, postgresql_concurrently=True)
