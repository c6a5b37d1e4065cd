"""what staff look for: each of their lists is one page of an index, whatever the size"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MEMBER_WORDS = (
    "to_tsvector('simple'::regconfig, "
    "translate((COALESCE(name, '') || ' ') || COALESCE(email, ''), '@.+-_''’', '       '))"
)


def upgrade() -> None:
    op.create_index("ix_member_not_counting", "member", ["id"], postgresql_where="NOT counting")
    op.create_index("ix_member_words", "member", [sa.text(MEMBER_WORDS)], postgresql_using="gin")
    op.create_index(
        "ix_payment_contribution",
        "payment",
        ["paid_at", "id"],
        postgresql_where="kind = 'contribution'",
    )
    op.create_index(
        "ix_letter_open",
        "letter",
        ["state", "id"],
        postgresql_where="state NOT IN ('sent', 'withdrawn')",
    )


def downgrade() -> None:
    op.drop_index("ix_letter_open", "letter")
    op.drop_index("ix_payment_contribution", "payment")
    op.drop_index("ix_member_words", "member")
    op.drop_index("ix_member_not_counting", "member")
