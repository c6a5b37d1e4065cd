"""a letter becomes an e-mail, its ground a reason"""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

_TABLES = (
    ("letter", "email"),
    ("letter_choice", "email_choice"),
    ("letter_switch", "email_switch"),
    ("letter_wording", "email_wording"),
)
# Table as it is called afterwards, column before and after.
_COLUMNS = (
    ("suppression", "ground", "reason"),
    ("address_check", "owed_at", "enqueued_at"),
)
_CONSTRAINTS = (
    ("email", "fk_letter_member_id", "fk_email_member_id"),
    ("email", "fk_letter_staff_id", "fk_email_staff_id"),
    ("email", "fk_letter_reminder_id", "fk_email_reminder_id"),
    ("email", "fk_letter_gift_id", "fk_email_gift_id"),
    ("email", "ck_letter_recipient", "ck_email_recipient"),
    ("email", "ck_letter_letterstate", "ck_email_emailstate"),
    ("email_choice", "fk_letter_choice_member_id", "fk_email_choice_member_id"),
    ("email_wording", "fk_letter_wording_staff_id", "fk_email_wording_staff_id"),
    ("suppression", "ck_suppression_ground", "ck_suppression_suppressionreason"),
)
# Those of primary keys and of unique constraints among them.
_INDEXES = (
    ("pk_letter", "pk_email"),
    ("uq_letter_member_id_kind_cycle", "uq_email_member_id_kind_cycle"),
    ("uq_letter_staff_id_kind_cycle", "uq_email_staff_id_kind_cycle"),
    ("uq_letter_reminder_id_kind_cycle", "uq_email_reminder_id_kind_cycle"),
    ("uq_letter_gift_id_kind_cycle", "uq_email_gift_id_kind_cycle"),
    ("uq_letter_told_once", "uq_email_told_once"),
    ("ix_letter_due", "ix_email_due"),
    ("ix_letter_open", "ix_email_open"),
    ("pk_letter_choice", "pk_email_choice"),
    ("pk_letter_switch", "pk_email_switch"),
    ("pk_letter_wording", "pk_email_wording"),
    ("ix_letter_wording_staff_id", "ix_email_wording_staff_id"),
)


def upgrade() -> None:
    for before, after in _TABLES:
        op.rename_table(before, after)
    op.execute("ALTER SEQUENCE letter_id_seq RENAME TO email_id_seq")
    for table, before, after in _COLUMNS:
        op.alter_column(table, before, new_column_name=after)
    for table, before, after in _CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {before} TO {after}")
    for before, after in _INDEXES:
        op.execute(f"ALTER INDEX {before} RENAME TO {after}")


def downgrade() -> None:
    for before, after in _INDEXES:
        op.execute(f"ALTER INDEX {after} RENAME TO {before}")
    for table, before, after in _CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {after} TO {before}")
    for table, before, after in _COLUMNS:
        op.alter_column(table, after, new_column_name=before)
    op.execute("ALTER SEQUENCE email_id_seq RENAME TO letter_id_seq")
    for before, after in _TABLES:
        op.rename_table(after, before)
