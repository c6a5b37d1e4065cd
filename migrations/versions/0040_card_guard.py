"""card guard: whether browsers are asked for a proof before a payment starts"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "card_guard",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "mode",
            sa.Enum(
                *("automatic", "on", "off"),
                name="mode",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("on_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("on_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cause", sa.String(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_card_guard_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_guard")),
    )
    op.execute("INSERT INTO card_guard (id, mode) VALUES (1, 'automatic')")
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        name = "ix_checkout_created_at"
        # What was interrupted is there, and invalid.
        op.drop_index(name, "checkout", if_exists=True, postgresql_concurrently=True)
        op.create_index(name, "checkout", ["created_at"], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_checkout_created_at", "checkout", if_exists=True, postgresql_concurrently=True
        )
    op.drop_table("card_guard")
