"""what the operator has stopped for a while"""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "maintenance",
        sa.Column(
            "what",
            sa.Enum(
                *("emails", "sign-ups", "number", "restore"),
                name="stopped",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notice", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("what", name="pk_maintenance"),
    )


def downgrade() -> None:
    op.drop_table("maintenance")
