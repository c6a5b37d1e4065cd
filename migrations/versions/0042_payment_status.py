"""memberships: the standing is called the payment status"""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

_CONSTRAINT = "ALTER TABLE membership RENAME CONSTRAINT"


def upgrade() -> None:
    op.alter_column("membership", "standing", new_column_name="payment_status")
    op.execute(f"{_CONSTRAINT} ck_membership_standing TO ck_membership_dues")


def downgrade() -> None:
    op.execute(f"{_CONSTRAINT} ck_membership_dues TO ck_membership_standing")
    op.alter_column("membership", "payment_status", new_column_name="standing")
