"""columns are called what the field calls them"""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("member", "turns", "sequence"),
    ("member", "roster_since", "supporter_since"),
    ("member", "roster_closed_at", "supporter_closed_at"),
    ("member", "roster_name", "supporter_name"),
    ("member_note", "act", "audit_entry_id"),
    ("membership", "second_to", "duplicate_of"),
    ("ledger", "turn", "sequence"),
    ("campaign", "hook_url", "webhook_url"),
    ("campaign", "hook_salt", "webhook_salt"),
    ("audit_entry", "act", "action"),
    ("adopted_product", "adopted_at", "imported_at"),
)
_CONSTRAINTS = (
    ("ledger", "uq_ledger_member_id_turn", "uq_ledger_member_id_sequence"),
    ("ledger", "ck_ledger_turn", "ck_ledger_sequence"),
    ("member_note", "fk_member_note_act", "fk_member_note_audit_entry_id"),
    ("adopted_product", "pk_adopted_product", "pk_imported_product"),
    ("adopted_product", "fk_adopted_product_tier_slug", "fk_imported_product_tier_slug"),
)
_INDEXES = (
    ("ix_member_roster", "ix_member_supporter"),
    ("ix_member_note_act", "ix_member_note_audit_entry_id"),
    ("ix_adopted_product_tier_slug", "ix_imported_product_tier_slug"),
)


def upgrade() -> None:
    for table, before, after in _COLUMNS:
        op.alter_column(table, before, new_column_name=after)
    for table, before, after in _CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {before} TO {after}")
    for before, after in _INDEXES:
        op.execute(f"ALTER INDEX {before} RENAME TO {after}")
    op.rename_table("adopted_product", "imported_product")


def downgrade() -> None:
    op.rename_table("imported_product", "adopted_product")
    for before, after in _INDEXES:
        op.execute(f"ALTER INDEX {after} RENAME TO {before}")
    for table, before, after in _CONSTRAINTS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {after} TO {before}")
    for table, before, after in _COLUMNS:
        op.alter_column(table, after, new_column_name=before)
