"""intents: what people ask to have changed at Stripe, until it is done or refused"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    kinds = ("cancel", "cancel_now", "resume", "pause", "price", "refund")
    causes = ("stripe", "clock", "import", "staff", "merge", "erasure", "rule", "gift")
    op.create_table(
        "intent",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column(
            "kind", _words("intentkind", *kinds, "email", "details", "erasure"), nullable=False
        ),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.String()),
        sa.Column("target", sa.String()),
        sa.Column("details", JSONB(), nullable=False),
        sa.Column("cause", _words("cause", *causes), nullable=False),
        sa.Column("cause_ref", sa.String()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("called_at", _TIME, nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("refusal", _words("refusal", "bank", "stripe", "ended", "late", "taken")),
        sa.Column("error", sa.String()),
        sa.Column("closed_at", _TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intent")),
        sa.UniqueConstraint("key", name=op.f("uq_intent_key")),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_intent_member_id_member")
        ),
    )
    op.create_index(
        "ix_intent_due_at", "intent", ["due_at"], postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_index("ix_intent_member_id", "intent", ["member_id"])


def downgrade() -> None:
    op.drop_table("intent")
