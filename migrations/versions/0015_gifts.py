"""gifts: what a giver wrote, the gift that is paid for, its codes that were wrong, its letters"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
KINDS = ("membership", "contribution")
CAUSES = ("stripe", "clock", "import", "staff", "merge", "erasure", "rule")
PURPOSES = ("sign_in", "leave_address", "new_address")
TOLD_ONCE = "kind IN ('contribution', 'second_membership'"


def upgrade() -> None:
    _words("checkout", "kind", "checkoutkind", (*KINDS, "gift"))
    _words("payment", "kind", "checkoutkind", (*KINDS, "gift"))
    _words("ledger", "cause", "cause", (*CAUSES, "gift"))
    _words("address_check", "purpose", "purpose", (*PURPOSES, "gift"))
    op.add_column("checkout", sa.Column("gift", postgresql.JSONB()))
    op.create_table(
        "gift",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("checkout_id", sa.Uuid(), sa.ForeignKey("checkout.id"), nullable=False),
        sa.Column("charge_id", sa.String(), nullable=False, unique=True),
        sa.Column("code_hash", sa.String(), nullable=False, unique=True),
        sa.Column("giver_id", sa.BigInteger(), sa.ForeignKey("member.id"), nullable=False),
        sa.Column("giver_name", sa.String(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), sa.ForeignKey("member.id")),
        sa.Column("recipient_name", sa.String(), nullable=False),
        sa.Column("recipient_email", sa.String()),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("years", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("campaign", sa.String()),
        sa.Column("tell_at", AT),
        sa.Column("paid_at", AT, nullable=False),
        sa.Column("redeemed_at", AT),
        sa.Column("refunded_at", AT),
        sa.Column("disputed_at", AT),
        sa.UniqueConstraint("checkout_id", name=op.f("uq_gift_checkout_id")),
        sa.CheckConstraint("years BETWEEN 1 AND 3", name=op.f("ck_gift_years")),
        sa.CheckConstraint(
            "(redeemed_at IS NULL) = (recipient_id IS NULL)", name=op.f("ck_gift_redeemed")
        ),
    )
    op.create_index(op.f("ix_gift_giver_id"), "gift", ["giver_id"])
    op.create_index(op.f("ix_gift_recipient_id"), "gift", ["recipient_id"])
    op.create_index(
        "ix_gift_waiting", "gift", ["tell_at", "paid_at"], postgresql_where="redeemed_at IS NULL"
    )
    op.create_table(
        "wrong_code",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("at", AT, nullable=False),
    )
    op.create_index("ix_wrong_code_network", "wrong_code", ["network", "at"])
    # What the sweep looks through for gifts that run out.
    op.create_index(
        "ix_membership_gift_end",
        "membership",
        ["counts_until"],
        postgresql_where="source = 'gift'",
    )
    op.add_column("address_check", sa.Column("gift_id", sa.BigInteger(), sa.ForeignKey("gift.id")))
    op.add_column("letter", sa.Column("gift_id", sa.BigInteger(), sa.ForeignKey("gift.id")))
    op.create_unique_constraint(
        "uq_letter_gift_id_kind_cycle", "letter", ["gift_id", "kind", "cycle"]
    )
    _recipient("member_id, staff_id, reminder_id, gift_id")
    _told_once(f"{TOLD_ONCE}, 'gift_given')")


def downgrade() -> None:
    if op.get_bind().scalar(
        sa.text(
            "SELECT EXISTS (SELECT FROM gift) "
            "OR EXISTS (SELECT FROM checkout WHERE kind = 'gift') "
            "OR EXISTS (SELECT FROM payment WHERE kind = 'gift')"
        )
    ):
        raise CommandError(
            "Downgrading past 0015 would delete gifts that people paid for. "
            "Restore a backup instead."
        )
    op.execute("DELETE FROM letter WHERE gift_id IS NOT NULL OR kind LIKE 'gift_%'")
    op.execute("DELETE FROM address_check WHERE purpose = 'gift'")
    _told_once(f"{TOLD_ONCE})")
    _recipient("member_id, staff_id, reminder_id")
    op.drop_column("letter", "gift_id")
    op.drop_column("address_check", "gift_id")
    op.drop_index("ix_membership_gift_end", table_name="membership")
    op.drop_table("wrong_code")
    op.drop_table("gift")
    op.drop_column("checkout", "gift")
    _words("address_check", "purpose", "purpose", PURPOSES)
    _words("ledger", "cause", "cause", CAUSES)
    _words("payment", "kind", "checkoutkind", KINDS)
    _words("checkout", "kind", "checkoutkind", KINDS)


def _words(table: str, column: str, name: str, words: tuple[str, ...]) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.create_check_constraint(name, table, sa.column(column).in_(words))


def _recipient(columns: str) -> None:
    op.drop_constraint(op.f("ck_letter_recipient"), "letter")
    op.create_check_constraint("recipient", "letter", f"num_nonnulls({columns}) = 1")


def _told_once(condition: str) -> None:
    op.drop_index("uq_letter_told_once", table_name="letter")
    op.create_index(
        "uq_letter_told_once", "letter", ["kind", "cycle"], unique=True, postgresql_where=condition
    )
