"""the ID of the request that caused a sync or an e-mail"""

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("sync_request", "email"):
        op.add_column(table, sa.Column("request_id", sa.String))


def downgrade() -> None:
    for table in ("email", "sync_request"):
        op.drop_column(table, "request_id")
