"""live sources: where asking them stands, what they have answered, whom a webhook told of"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_KINDS = (
    *("password", "second_step", "member_code", "gift_code", "limit", "stripe_webhook"),
    *("email_webhook", "proof_asked", "proof_wrong", "ceiling", "declined", "proxy", "forwarded"),
    *("foreign_form", "forbidden"),
)


def upgrade() -> None:
    op.add_column("import_batch", sa.Column("live", sa.String(32), nullable=True))
    op.create_check_constraint(
        op.f("ck_import_batch_live"), "import_batch", "live IN ('listing', 'changes')"
    )
    op.create_table(
        "live_source",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tokens", sa.LargeBinary()),
        sa.Column("tokens_of", sa.String()),
        sa.Column("renew_at", _TIME),
        sa.Column("lease", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", _TIME),
        sa.Column("listing_at", _TIME),
        sa.Column("cursor", sa.String()),
        sa.Column("pages", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expected", sa.Integer()),
        sa.Column("batch_id", sa.BigInteger()),
        sa.Column("due_at", _TIME),
        sa.Column("retry_at", _TIME),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", _TIME),
        sa.Column("trouble", sa.String()),
        sa.Column("answered_at", _TIME),
        sa.Column("listed_at", _TIME),
        sa.Column("paused_at", _TIME),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_live_source")),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["import_batch.id"],
            name=op.f("fk_live_source_batch_id_import_batch"),
            ondelete="SET NULL",
        ),
    )
    op.create_index("ix_live_source_batch_id", "live_source", ["batch_id"])
    op.create_table(
        "live_page",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("keys", JSONB(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("source", "number", name=op.f("pk_live_page")),
    )
    op.create_table(
        "live_change",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("told_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("source", "reference", name=op.f("pk_live_change")),
    )
    _allow(*_KINDS, "source_webhook")


def downgrade() -> None:
    op.execute("DELETE FROM security_event WHERE kind = 'source_webhook'")
    _allow(*_KINDS)
    op.drop_table("live_change")
    op.drop_table("live_page")
    op.drop_table("live_source")
    op.drop_constraint(op.f("ck_import_batch_live"), "import_batch", type_="check")
    op.drop_column("import_batch", "live")


def _allow(*kinds: str) -> None:
    """Let a security event be of these kinds: they are kept for 90 days, so there are few."""
    op.drop_constraint(op.f("ck_security_event_kind"), "security_event", type_="check")
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(
        op.f("ck_security_event_kind"), "security_event", f"kind IN ({listed})"
    )
