"""a file's row may give a complimentary membership"""

from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

_SAYS = ("paid", "not_paying", "ask", "refused", "skipped")
_OUTCOMES = (
    *("new", "renewed", "unchanged", "joined", "ended", "absent", "same_row"),
    *("not_counted", "held", "refused", "skipped"),
)


def upgrade() -> None:
    _allow("says", *_SAYS, "gives")
    _allow("outcome", *_OUTCOMES, "given")


def downgrade() -> None:
    # What a file gave stays with its people; the file's own rows can't be kept.
    op.execute("DELETE FROM import_row WHERE says = 'gives' OR outcome = 'given'")
    _allow("says", *_SAYS)
    _allow("outcome", *_OUTCOMES)


def _allow(column: str, *words: str) -> None:
    """Let the column hold these words. Rows that are there are checked without a lock on others."""
    name = op.f(f"ck_import_row_{column}")
    listed = ", ".join(f"'{word}'" for word in words)
    op.execute(f"ALTER TABLE import_row DROP CONSTRAINT {name}")
    op.execute(
        f"ALTER TABLE import_row ADD CONSTRAINT {name} CHECK ({column} IN ({listed})) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE import_row VALIDATE CONSTRAINT {name}")
