"""what members say when they cancel"""

import sqlalchemy as sa
from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("membership", sa.Column("cancel_comment", sa.String, nullable=True))


def downgrade() -> None:
    op.drop_column("membership", "cancel_comment")
