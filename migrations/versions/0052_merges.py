"""two people who are one: merged, taken apart again, and known by both addresses"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "member_alias",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_member_alias")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_member_alias_member_id_member")
        ),
    )
    op.create_index("ix_member_alias_member_id", "member_alias", ["member_id"])
    op.create_table(
        "member_merge",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kept_id", sa.BigInteger(), nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=False),
        sa.Column("moved", JSONB(), nullable=False),
        sa.Column("before", JSONB(), nullable=False),
        sa.Column("staff_id", sa.BigInteger()),
        sa.Column("merged_at", _TIME, nullable=False),
        sa.Column("undone_at", _TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member_merge")),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_member_merge_staff_id_staff")
        ),
    )
    for column in ("kept_id", "other_id", "staff_id"):
        op.create_index(f"ix_member_merge_{column}", "member_merge", [column])
    op.create_table(
        "different_people",
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("second_id", sa.BigInteger(), nullable=False),
        sa.Column("staff_id", sa.BigInteger()),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("first_id", "second_id", name=op.f("pk_different_people")),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_different_people_staff_id_staff")
        ),
    )
    op.create_index("ix_different_people_staff_id", "different_people", ["staff_id"])


def downgrade() -> None:
    op.drop_table("different_people")
    op.drop_table("member_merge")
    op.drop_table("member_alias")
