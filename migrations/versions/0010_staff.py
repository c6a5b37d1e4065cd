"""staff: invitations and forgotten passwords by a letter's key, a second factor"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("staff", "password_hash", nullable=True)
    op.add_column("staff", sa.Column("second_factor", sa.String(), nullable=True))
    op.add_column("staff", sa.Column("second_factor_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "staff",
        sa.Column("second_factor_step", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.create_index("ix_audit_entry_staff_id", "audit_entry", ["staff_id", "id"])
    op.create_table(
        "staff_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "invitation",
                "new_password",
                name="keykind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_key_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_key")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_staff_key_token_hash")),
    )
    op.create_index(op.f("ix_staff_key_staff_id"), "staff_key", ["staff_id"])


def downgrade() -> None:
    if op.get_bind().scalar(
        sa.text("SELECT EXISTS (SELECT FROM staff WHERE password_hash IS NULL)")
    ):
        raise CommandError(
            "Downgrading past 0010 would delete staff who are still invited. "
            "Restore a backup instead."
        )
    op.drop_table("staff_key")
    op.drop_index("ix_audit_entry_staff_id", "audit_entry")
    op.drop_column("staff", "second_factor_step")
    op.drop_column("staff", "second_factor_at")
    op.drop_column("staff", "second_factor")
    op.alter_column("staff", "password_hash", nullable=False)
