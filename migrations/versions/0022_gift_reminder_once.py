"""letters told once: also the giver's reminder of a gift that nobody has accepted"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_NAME, _NEW = "uq_letter_told_once", "uq_letter_told_once_new"

_BEFORE = (
    *("contribution", "second_membership", "gift_given", "receipt", "debit_failed"),
    *("payment_failed_first", "payment_failed_day_0", "payment_failed_day_3"),
    *("payment_failed_day_7", "payment_failed_day_12", "payment_confirmation"),
    *("card_expiring_30_days", "card_expiring_7_days", "renewal_coming"),
    *("canceled", "ended", "win_back"),
)


def upgrade() -> None:
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
    _create(_BEFORE)


def _create(kinds: tuple[str, ...]) -> None:
    """Build the index beside the one before: writers wait for neither."""
    where = f"kind IN ({', '.join(map(repr, kinds))})"
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        # What was interrupted is there, and invalid.
        op.drop_index(_NEW, "letter", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            _NEW,
            "letter",
            ["kind", "cycle"],
            unique=True,
            postgresql_where=where,
            postgresql_concurrently=True,
        )
        op.drop_index(_NAME, "letter", if_exists=True, postgresql_concurrently=True)
        op.execute("SET lock_timeout = '4s'")
    op.execute(f"ALTER INDEX {_NEW} RENAME TO {_NAME}")
