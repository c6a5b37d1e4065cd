"""labels that staff put on people, and views of the list of members that they save"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "label",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
    )
    op.create_index("uq_label_name", "label", [sa.text("lower(name)")], unique=True)
    op.create_table(
        "member_label",
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "label_id", name=op.f("pk_member_label")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_member_label_member_id_member")
        ),
        sa.ForeignKeyConstraint(
            ["label_id"], ["label.id"], name=op.f("fk_member_label_label_id_label")
        ),
    )
    op.create_index("ix_member_label_label_id", "member_label", ["label_id"])
    op.create_table(
        "saved_view",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("staff_id", sa.BigInteger(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_view")),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_saved_view_staff_id_staff")
        ),
        sa.UniqueConstraint("staff_id", "name", name=op.f("uq_saved_view_staff_id_name")),
    )


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM label)")):
        raise CommandError(
            "A downgrade past 0065 would delete the labels that staff put on members. "
            "Restore a backup instead."
        )
    op.drop_table("saved_view")
    op.drop_table("member_label")
    op.drop_table("label")
