"""staff keep a name off the public page; only who has a name is named and counted there"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("member", sa.Column("roster_closed_at", sa.DateTime(timezone=True)))
    op.drop_index("ix_member_roster", "member")
    op.create_index(
        "ix_member_roster",
        "member",
        ["roster_since"],
        postgresql_where="counting AND roster_since IS NOT NULL AND name IS NOT NULL",
    )


def downgrade() -> None:
    if op.get_bind().scalar(
        sa.text("SELECT EXISTS (SELECT FROM member WHERE roster_closed_at IS NOT NULL)")
    ):
        raise CommandError(
            "Downgrading past 0019 would delete who staff took off the public list of supporters. "
            "Restore a backup instead."
        )
    op.drop_index("ix_member_roster", "member")
    op.create_index(
        "ix_member_roster",
        "member",
        ["roster_since"],
        postgresql_where="counting AND roster_since IS NOT NULL",
    )
    op.drop_column("member", "roster_closed_at")
