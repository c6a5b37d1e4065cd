"""find what members said when they cancelled, latest first"""

from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None

_NAME = "ix_membership_commented"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        # What was interrupted is there, and invalid.
        op.drop_index(_NAME, "membership", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            _NAME,
            "membership",
            ["canceled_at"],
            postgresql_where="cancel_comment IS NOT NULL",
            postgresql_concurrently=True,
        )
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(_NAME, "membership", if_exists=True, postgresql_concurrently=True)
