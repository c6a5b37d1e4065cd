"""money cases: what the member chose to become of a late payment"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("money_case", sa.Column("wish", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("money_case", "wish")
