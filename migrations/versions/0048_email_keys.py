"""an e-mail is sent once by its key, whatever its kind"""

from alembic import op
from sqlalchemy import text

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

# Those that were sent once for their cycle, whoever they went to; all others once per recipient.
_TOLD_ONCE = (
    *("contribution", "second_membership", "gift_given", "receipt", "debit_failed"),
    *("payment_failed_first", "payment_failed_day_0", "payment_failed_day_3"),
    *("payment_failed_day_7", "payment_failed_day_12", "payment_confirmation"),
    *("card_expiring_30_days", "card_expiring_7_days", "renewal_coming", "canceled", "ended"),
    *("win_back", "gift_reminder", "refunded", "paid_after_end", "bank_to_confirm"),
)
_KINDS = ", ".join(f"'{kind}'" for kind in _TOLD_ONCE)
_RECIPIENTS = ("member_id", "staff_id", "reminder_id", "gift_id")
_PREFIX = """
    concat(CASE WHEN member_id IS NOT NULL THEN 'member' WHEN staff_id IS NOT NULL THEN 'staff'
                WHEN reminder_id IS NOT NULL THEN 'reminder' ELSE 'gift' END,
           ' ', coalesce(member_id, staff_id, reminder_id, gift_id), ' ')
"""
_ADD = f"""
    UPDATE email SET cycle = {_PREFIX} || cycle WHERE id > :after AND id <= :after + :count
    AND kind NOT IN ({_KINDS}) AND NOT starts_with(cycle, {_PREFIX})
"""  # noqa: S608 - made of the constants above
_TAKE_OFF = f"""
    UPDATE email SET key = substr(key, length({_PREFIX}) + 1)
    WHERE id > :after AND id <= :after + :count
    AND kind NOT IN ({_KINDS}) AND starts_with(key, {_PREFIX})
"""  # noqa: S608 - made of the constants above
_IN_A_BATCH = 10_000


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        _in_batches(_ADD)
        _build_index("uq_email_kind_key", ["kind", "cycle"], unique=True)
        for column in _RECIPIENTS:
            _build_index(f"ix_email_{column}", [column])
        op.execute("SET lock_timeout = '4s'")
    op.drop_index("uq_email_told_once", "email")
    for column in _RECIPIENTS:
        op.drop_constraint(f"uq_email_{column}_kind_cycle", "email")
    op.alter_column("email", "cycle", new_column_name="key")
    op.alter_column("mailing", "cycle", new_column_name="key")
    op.execute(
        "ALTER TABLE email ADD CONSTRAINT uq_email_kind_key UNIQUE USING INDEX uq_email_kind_key"
    )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE email DROP CONSTRAINT IF EXISTS uq_email_kind_key")
        op.execute("SET lock_timeout = 0")
        _in_batches(_TAKE_OFF)
        _build_index(
            "uq_email_told_once", ["kind", "key"], unique=True, where=f"kind IN ({_KINDS})"
        )
        for column in _RECIPIENTS:
            _build_index(f"uq_email_{column}_kind_cycle", [column, "kind", "key"], unique=True)
        op.execute("SET lock_timeout = '4s'")
    op.alter_column("mailing", "key", new_column_name="cycle")
    op.alter_column("email", "key", new_column_name="cycle")
    for column in _RECIPIENTS:
        name = f"uq_email_{column}_kind_cycle"
        op.execute(f"ALTER TABLE email ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")
        op.drop_index(f"ix_email_{column}", "email")


def _in_batches(statement: str) -> None:
    """Each batch is a transaction of its own; what was interrupted goes on where it stopped."""
    connection = op.get_bind()
    newest = connection.scalar(text("SELECT coalesce(max(id), 0) FROM email"))
    for after in range(0, newest, _IN_A_BATCH):
        connection.execute(text(statement), {"after": after, "count": _IN_A_BATCH})


def _build_index(
    name: str, columns: list[str], *, unique: bool = False, where: str | None = None
) -> None:
    # What was interrupted is there, and invalid.
    op.drop_index(name, "email", if_exists=True, postgresql_concurrently=True)
    op.create_index(
        name,
        "email",
        columns,
        unique=unique,
        postgresql_concurrently=True,
        postgresql_where=text(where) if where else None,
    )
