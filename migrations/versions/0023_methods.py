"""members' wishes that Stripe refused, and the payment method that a customer had last"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("membership", sa.Column("cancel_wanted_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_membership_cancel_wanted",
        "membership",
        ["member_id"],
        postgresql_where=sa.text("cancel_wanted_at IS NOT NULL"),
    )
    op.add_column("customer", sa.Column("method_id", sa.String))


def downgrade() -> None:
    if op.get_bind().scalar(
        sa.text("SELECT EXISTS (SELECT FROM membership WHERE cancel_wanted_at IS NOT NULL)")
    ):
        raise CommandError(
            "Downgrading past 0023 would delete cancellations that Stripe has not confirmed. "
            "Restore a backup instead."
        )
    op.drop_column("customer", "method_id")
    op.drop_index("ix_membership_cancel_wanted", "membership")
    op.drop_column("membership", "cancel_wanted_at")
