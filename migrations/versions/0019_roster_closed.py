"""staff keep a name off the public page; only who has a name is named and counted there"""

import sqlalchemy as sa
from alembic import op

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
    op.drop_index("ix_member_roster", "member")
    op.create_index(
        "ix_member_roster",
        "member",
        ["roster_since"],
        postgresql_where="counting AND roster_since IS NOT NULL",
    )
    op.drop_column("member", "roster_closed_at")
