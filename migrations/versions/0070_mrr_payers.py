"""how many people pay, beside what they pay; the figures are made anew"""

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0069"
branch_labels = None
depends_on = None

_TABLES = {"mrr_movement": sa.Integer, "mrr_sum": sa.BigInteger}


def upgrade() -> None:
    for table in ("member_mrr", *_TABLES):
        op.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    for table, kind in _TABLES.items():
        op.add_column(table, sa.Column("payers", kind, nullable=False))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "payers")
