"""milestones: reached once, told to staff by letter and to the site by a signed webhook"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("most_members", sa.BigInteger(), nullable=True))
    op.add_column("campaign", sa.Column("hook_url", sa.String(), nullable=True))
    op.add_column("campaign", sa.Column("hook_salt", sa.String(), nullable=True))
    op.add_column("staff", sa.Column("language", sa.String(), server_default="en", nullable=False))
    op.add_column(
        "staff",
        sa.Column("wants_milestones", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
    op.create_table(
        "milestone",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("campaign_slug", sa.String(), nullable=False),
        sa.Column("members", sa.BigInteger(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=True),
        sa.Column("goal", sa.BigInteger(), nullable=False),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tell_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_slug"], ["campaign.slug"], name=op.f("fk_milestone_campaign_slug")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_milestone")),
        sa.UniqueConstraint(
            "campaign_slug", "members", name=op.f("uq_milestone_campaign_slug_members")
        ),
    )
    op.create_index(
        "ix_milestone_tell_at",
        "milestone",
        ["tell_at"],
        unique=False,
        postgresql_where=sa.text("tell_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("milestone")
    op.drop_column("staff", "wants_milestones")
    op.drop_column("staff", "language")
    op.drop_column("campaign", "hook_salt")
    op.drop_column("campaign", "hook_url")
    op.drop_column("campaign", "most_members")
