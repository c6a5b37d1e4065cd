"""changes of many members at once: labels, notes, complimentary memberships"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "bulk_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column(
            "state",
            _one_of(
                "bulkstate",
                *("draft", "planned", "applying", "applied", "undoing", "undone"),
            ),
            nullable=False,
        ),
        sa.Column(
            "kind", _one_of("bulkkind", "add_label", "remove_label", "note", "complimentary")
        ),
        sa.Column("options", JSONB(), nullable=False),
        sa.Column("note", sa.String()),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("changing", sa.Integer()),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("audit_entry_id", sa.BigInteger()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("applied_at", _TIME),
        sa.Column("undone_at", _TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_change")),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_bulk_change_staff_id_staff")
        ),
        sa.ForeignKeyConstraint(
            ["audit_entry_id"],
            ["audit_entry.id"],
            name=op.f("fk_bulk_change_audit_entry_id_audit_entry"),
        ),
    )
    for column in ("staff_id", "audit_entry_id"):
        op.create_index(f"ix_bulk_change_{column}", "bulk_change", [column])
    op.create_index(
        "ix_bulk_change_at_work",
        "bulk_change",
        ["id"],
        postgresql_where=sa.text("state IN ('applying', 'undoing')"),
    )
    op.create_table(
        "bulk_member",
        sa.Column("bulk_id", sa.BigInteger(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("result", _one_of("result", "changed", "unchanged", "gone", "undone", "kept")),
        sa.Column("made_id", sa.BigInteger()),
        sa.PrimaryKeyConstraint("bulk_id", "member_id", name=op.f("pk_bulk_member")),
        sa.ForeignKeyConstraint(
            ["bulk_id"],
            ["bulk_change.id"],
            name=op.f("fk_bulk_member_bulk_id_bulk_change"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_bulk_member_member_id_member")
        ),
    )
    op.create_index("ix_bulk_member_member_id", "bulk_member", ["member_id"])


def downgrade() -> None:
    op.drop_table("bulk_member")
    op.drop_table("bulk_change")
