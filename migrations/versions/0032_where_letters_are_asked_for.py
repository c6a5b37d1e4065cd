"""address checks: the network that a request came from, as a keyed hash, for a day"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("address_check", sa.Column("network", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("address_check", "network")
