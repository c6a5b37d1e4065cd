"""letters told once: also the giver's reminder of a gift that nobody has accepted"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_BEFORE = (
    *("contribution", "second_membership", "gift_given", "receipt", "debit_failed"),
    *("payment_failed_first", "payment_failed_day_0", "payment_failed_day_3"),
    *("payment_failed_day_7", "payment_failed_day_12", "payment_confirmation"),
    *("card_expiring_30_days", "card_expiring_7_days", "renewal_coming"),
    *("canceled", "ended", "win_back"),
)


def upgrade() -> None:
    op.drop_index("uq_letter_told_once", "letter")
    op.execute(
        """
        UPDATE letter SET cycle = cycle || ' again ' || id
        WHERE kind = 'gift_reminder' AND EXISTS (
            SELECT FROM letter AS first
            WHERE first.kind = letter.kind AND first.cycle = letter.cycle AND first.id < letter.id
        )
        """
    )
    _create((*_BEFORE, "gift_reminder"))


def downgrade() -> None:
    op.drop_index("uq_letter_told_once", "letter")
    _create(_BEFORE)


def _create(kinds: tuple[str, ...]) -> None:
    where = f"kind IN ({', '.join(map(repr, kinds))})"
    op.create_index(
        "uq_letter_told_once", "letter", ["kind", "cycle"], unique=True, postgresql_where=where
    )
