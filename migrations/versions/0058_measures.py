"""how often and how long: requests, calls to Stripe, e-mails"""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "measure",
        sa.Column(
            "name",
            sa.Enum(
                *("request_seconds", "stripe_call_seconds", "email_sending_seconds"),
                name="measured",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("labels", sa.String(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "bucket", name="pk_measure"),
    )


def downgrade() -> None:
    op.drop_table("measure")
