"""a reminder that is deleted takes its e-mails along"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_NAME = "fk_letter_reminder_id"


def upgrade() -> None:
    _refer("ON DELETE CASCADE")


def downgrade() -> None:
    _refer("")


def _refer(on_delete: str) -> None:
    """Not checked while the table is locked, and then without a lock that others wait for."""
    op.execute(
        f"ALTER TABLE letter DROP CONSTRAINT {_NAME}, ADD CONSTRAINT {_NAME}"
        f" FOREIGN KEY (reminder_id) REFERENCES reminder (id) {on_delete} NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE letter VALIDATE CONSTRAINT {_NAME}")
