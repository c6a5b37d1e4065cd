"""members as staff look for and change them: their list's orders, notes, and acts done once"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MEMBERSHIP = ("tier", "currency", "campaign", "ref")


def upgrade() -> None:
    op.drop_index("ix_member_not_counting", "member")
    op.create_index("ix_member_never", "member", ["id"], postgresql_where="number IS NULL")
    op.create_index(
        "ix_member_joined", "member", [sa.text("coalesce(first_counted_at, created_at)"), "id"]
    )
    op.create_index(
        "ix_member_by_name", "member", [sa.text("lower(coalesce(name, email, ''))"), "id"]
    )
    op.create_index("ix_member_country", "member", ["country"])
    for name in MEMBERSHIP:
        op.create_index(f"ix_membership_{name}", "membership", [name])
    op.create_index(
        "ix_membership_overdue",
        "membership",
        ["member_id"],
        postgresql_where="status = 'past_due'",
    )
    op.create_index(
        "ix_membership_complimentary",
        "membership",
        ["member_id"],
        postgresql_where="source = 'complimentary'",
    )
    op.create_index(
        "ix_membership_leaving",
        "membership",
        ["cancel_at", "member_id"],
        postgresql_where="cancel_at IS NOT NULL AND ended_at IS NULL",
    )
    for name, empty in (("fields", "[]"), ("details", "{}")):
        op.add_column(
            "audit_entry",
            sa.Column(
                name, postgresql.JSONB(), server_default=sa.text(f"'{empty}'"), nullable=False
            ),
        )
    op.add_column("audit_entry", sa.Column("key", sa.String(), nullable=True))
    op.create_unique_constraint(op.f("uq_audit_entry_key"), "audit_entry", ["key"])
    op.create_index("ix_audit_entry_subject", "audit_entry", ["subject"])
    op.create_table(
        "member_note",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_member_note_member_id")
        ),
        sa.ForeignKeyConstraint(["act"], ["audit_entry.id"], name=op.f("fk_member_note_act")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member_note")),
    )
    op.create_index("ix_member_note_member_id", "member_note", ["member_id"])


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM member_note)")):
        raise CommandError(
            "Downgrading past 0009 would delete staff's notes about members. "
            "Restore a backup instead."
        )
    op.drop_table("member_note")
    op.drop_index("ix_audit_entry_subject", "audit_entry")
    for name in ("key", "details", "fields"):
        op.drop_column("audit_entry", name)
    for name in ("leaving", "complimentary", "overdue", *MEMBERSHIP):
        op.drop_index(f"ix_membership_{name}", "membership")
    for name in ("country", "by_name", "joined", "never"):
        op.drop_index(f"ix_member_{name}", "member")
    op.create_index("ix_member_not_counting", "member", ["id"], postgresql_where="NOT counting")
