"""the language that a member of staff chose for their pages"""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff", sa.Column("chosen_language", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("staff", "chosen_language")
