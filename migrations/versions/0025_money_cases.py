"""money cases: what Stripe refused after a payment, and payments after a membership's end"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_KINDS = ("second_refund", "second_end", "paid_after_end")
_TOLD_ONCE = (
    *("contribution", "second_membership", "gift_given", "receipt"),
    *("debit_failed", "payment_failed_first", "payment_failed_day_0", "payment_failed_day_3"),
    *("payment_failed_day_7", "payment_failed_day_12", "payment_confirmation"),
    *("card_expiring_30_days", "card_expiring_7_days", "renewal_coming"),
    *("canceled", "ended", "win_back", "gift_reminder"),
)
_NEW = ("refunded", "paid_after_end", "bank_to_confirm")


def upgrade() -> None:
    op.create_table(
        "money_case",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(*_KINDS, name="casekind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_money_case_amount")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_money_case_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_money_case")),
        sa.UniqueConstraint("kind", "reference", name=op.f("uq_money_case_kind_reference")),
    )
    op.create_index(op.f("ix_money_case_customer_id"), "money_case", ["customer_id"])
    op.create_index(op.f("ix_money_case_member_id"), "money_case", ["member_id"])
    op.create_index(
        "ix_money_case_open", "money_case", ["id"], postgresql_where="closed_at IS NULL"
    )
    _told_once((*_TOLD_ONCE, *_NEW))


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM money_case)")):
        raise CommandError(
            "Downgrading past 0025 would delete payments that staff have to settle with members. "
            "Restore a backup instead."
        )
    _told_once(_TOLD_ONCE)
    op.drop_table("money_case")


def _told_once(kinds: tuple[str, ...]) -> None:
    op.drop_index("uq_letter_told_once", "letter")
    where = f"kind IN ({', '.join(map(repr, kinds))})"
    op.create_index(
        "uq_letter_told_once", "letter", ["kind", "cycle"], unique=True, postgresql_where=where
    )
