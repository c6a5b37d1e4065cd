"""money cases: what the member chose to become of a late payment"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("money_case", sa.Column("wish", sa.String(), nullable=True))


def downgrade() -> None:
    if op.get_bind().scalar(
        sa.text("SELECT EXISTS (SELECT FROM money_case WHERE wish IS NOT NULL)")
    ):
        raise CommandError(
            "Downgrading past 0028 would delete what members chose for a late payment. "
            "Restore a backup instead."
        )
    op.drop_column("money_case", "wish")
