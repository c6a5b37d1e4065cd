"""security events: what was refused, counted by kind, place and minute"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_KINDS = (
    *("password", "second_step", "member_code", "gift_code", "limit", "stripe_webhook"),
    *("email_webhook", "proof_asked", "proof_wrong", "ceiling", "declined", "proxy", "forwarded"),
)


def upgrade() -> None:
    op.create_table(
        "security_event",
        sa.Column(
            "kind",
            sa.Enum(*_KINDS, name="kind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "place", "minute", name=op.f("pk_security_event")),
    )
    op.create_index("ix_security_event_minute", "security_event", ["minute"])


def downgrade() -> None:
    op.drop_table("security_event")
