"""where members came from: the tags of the link, too"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BEFORE = (
    *("income", "tier", "interval", "country", "source", "campaign"),
    *("churn", "moved", "leaving", "contribution"),
)


def upgrade() -> None:
    op.add_column("checkout", sa.Column("utm", sa.String(), nullable=True))
    op.add_column("membership", sa.Column("utm", sa.String(), nullable=True))
    op.create_index("ix_membership_utm", "membership", ["utm"], unique=False)
    _topics(*BEFORE, "utm")


def downgrade() -> None:
    op.execute("DELETE FROM daily_figure WHERE topic = 'utm'")
    _topics(*BEFORE)
    op.drop_index("ix_membership_utm", table_name="membership")
    op.drop_column("membership", "utm")
    op.drop_column("checkout", "utm")


def _topics(*words: str) -> None:
    known = ", ".join(f"'{word}'" for word in words)
    op.drop_constraint(op.f("ck_daily_figure_topic"), "daily_figure", type_="check")
    op.create_check_constraint(op.f("ck_daily_figure_topic"), "daily_figure", f"topic IN ({known})")
