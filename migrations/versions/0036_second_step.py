"""staff: passkeys, recovery codes, and who has to have a second step"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff", sa.Column("second_step_by", sa.DateTime(timezone=True), nullable=True))
    op.add_column("staff_session", sa.Column("challenge", sa.String(), nullable=True))
    op.create_table(
        "staff_passkey",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_passkey_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_passkey")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_staff_passkey_credential_id")),
    )
    op.create_index(op.f("ix_staff_passkey_staff_id"), "staff_passkey", ["staff_id"])
    op.create_table(
        "staff_recovery_code",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("code_hash", sa.String(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_staff_recovery_code_staff_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_recovery_code")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_staff_recovery_code_code_hash")),
    )
    op.create_index(op.f("ix_staff_recovery_code_staff_id"), "staff_recovery_code", ["staff_id"])
    op.create_table(
        "staff_rules",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("second_step_roles", postgresql.JSONB(), nullable=False),
        sa.Column("large_refund", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_staff_rules_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_rules")),
    )


def downgrade() -> None:
    # Without its passkeys the release before would let people in by their password alone.
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM staff_passkey)")):
        raise CommandError(
            "A downgrade past 0036 would delete passkeys of the staff. Restore a backup instead."
        )
    op.drop_table("staff_rules")
    op.drop_table("staff_recovery_code")
    op.drop_table("staff_passkey")
    op.drop_column("staff_session", "challenge")
    op.drop_column("staff", "second_step_by")
