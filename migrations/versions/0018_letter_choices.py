"""what was read when somebody chose which letters to get"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "letter_choice", sa.Column("text", sa.String(), server_default="", nullable=False)
    )
    op.alter_column("letter_choice", "text", server_default=None)


def downgrade() -> None:
    op.drop_column("letter_choice", "text")
