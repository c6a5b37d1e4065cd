"""the last four digits of cards in files, and indexes that find people who may be the same"""

import sqlalchemy as sa
from alembic import op

revision = "0061"
down_revision = "0060"
branch_labels = None
depends_on = None

_ALIKE = "regexp_replace(replace(replace(address, '.', ''), 'googlemail', 'gmail'), '[+][^@]*', '')"
_NAMES = ("ix_member_alike", "ix_membership_card")


def upgrade() -> None:
    op.add_column("import_row", sa.Column("card_last4", sa.String()))
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        for name in _NAMES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY ix_member_alike ON member (({_ALIKE})) WHERE counting"
        )
        op.execute(
            "CREATE INDEX CONCURRENTLY ix_membership_card ON membership (card_last4, member_id)"
            " WHERE card_last4 IS NOT NULL"
        )
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in _NAMES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.drop_column("import_row", "card_last4")
