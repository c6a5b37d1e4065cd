"""campaigns: a picture with its caption, and reasons to join"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None

_TEXTS = ("reasons", "captions")


def upgrade() -> None:
    for name in _TEXTS:
        op.add_column(
            "campaign", sa.Column(name, JSONB(), server_default=sa.text("'{}'"), nullable=False)
        )
    op.create_table(
        "campaign_picture",
        sa.Column("campaign_slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_slug", name=op.f("pk_campaign_picture")),
        sa.ForeignKeyConstraint(
            ["campaign_slug"],
            ["campaign.slug"],
            name=op.f("fk_campaign_picture_campaign_slug_campaign"),
        ),
    )


def downgrade() -> None:
    op.drop_table("campaign_picture")
    for name in _TEXTS:
        op.drop_column("campaign", name)
