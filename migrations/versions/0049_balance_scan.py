"""the look through Stripe's balance is called a scan"""

from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rename("money_look", "balance_scan")


def downgrade() -> None:
    _rename("balance_scan", "money_look")


def _rename(before: str, after: str) -> None:
    op.rename_table(before, after)
    for name in ("ck_{}_one", "pk_{}"):
        op.execute(
            f"ALTER TABLE {after} RENAME CONSTRAINT {name.format(before)} TO {name.format(after)}"
        )
