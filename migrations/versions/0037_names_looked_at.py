"""members: the name that staff have let stand on the public page"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("member", sa.Column("roster_name", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("member", "roster_name")
