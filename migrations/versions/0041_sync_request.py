"""a look becomes a sync request"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_TARGET = "ALTER TABLE sync_request RENAME CONSTRAINT"
# Each thing of the table, as it is called before and after.
_INDEXES = (
    ("pk_look", "pk_sync_request"),
    ("ix_look_charge_id", "ix_sync_request_charge_id"),
    ("ix_look_customer_id", "ix_sync_request_customer_id"),
    ("ix_look_due_at", "ix_sync_request_due_at"),
    ("ix_look_resting", "ix_sync_request_failed"),
)


def upgrade() -> None:
    op.rename_table("look", "sync_request")
    op.execute("ALTER SEQUENCE look_id_seq RENAME TO sync_request_id_seq")
    op.execute(
        "ALTER TABLE sync_request RENAME CONSTRAINT ck_look_target TO ck_sync_request_target"
    )
    for before, after in _INDEXES:
        op.execute(f"ALTER INDEX {before} RENAME TO {after}")


def downgrade() -> None:
    for before, after in _INDEXES:
        op.execute(f"ALTER INDEX {after} RENAME TO {before}")
    op.execute(
        "ALTER TABLE sync_request RENAME CONSTRAINT ck_sync_request_target TO ck_look_target"
    )
    op.execute("ALTER SEQUENCE sync_request_id_seq RENAME TO look_id_seq")
    op.rename_table("sync_request", "look")
