"""security events: somebody was turned away because all connections were in use"""

from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

_KINDS = (
    *("password", "second_step", "member_code", "gift_code", "limit", "stripe_webhook"),
    *("email_webhook", "proof_asked", "proof_wrong", "ceiling", "declined", "proxy", "forwarded"),
    *("foreign_form", "forbidden", "source_webhook"),
)


def upgrade() -> None:
    _allow(*_KINDS, "busy")


def downgrade() -> None:
    op.execute("DELETE FROM security_event WHERE kind = 'busy'")
    _allow(*_KINDS)


def _allow(*kinds: str) -> None:
    op.drop_constraint(op.f("ck_security_event_kind"), "security_event", type_="check")
    named = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(
        op.f("ck_security_event_kind"), "security_event", f"kind IN ({named})"
    )
