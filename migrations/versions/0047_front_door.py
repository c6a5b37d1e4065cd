"""members' sessions by browser; a check of SECRET_KEY; an activity log that only grows"""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

_KINDS = (
    *("password", "second_step", "member_code", "gift_code", "limit", "stripe_webhook"),
    *("email_webhook", "proof_asked", "proof_wrong", "ceiling", "declined", "proxy", "forwarded"),
)
_NEW_KINDS = ("foreign_form", "forbidden")


def upgrade() -> None:
    op.add_column(
        "member_session", sa.Column("browser", sa.String(), server_default="", nullable=False)
    )
    op.add_column(
        "member_session",
        sa.Column(
            "seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
    )
    op.create_table(
        "secret_key_check",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_secret_key_check_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_secret_key_check")),
    )
    _allow(*_KINDS, *_NEW_KINDS)
    # Whoever signs in as the service can't rewrite what was done; only the tables' owner could
    # take the triggers away, and where that is another account, not even a break-in is.
    op.execute("""
        CREATE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: write a new row instead', TG_TABLE_NAME;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_entry_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
        ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()
    """)
    op.execute("""
        CREATE TRIGGER security_event_only_grows BEFORE UPDATE ON security_event FOR EACH ROW
        WHEN (NEW.count < OLD.count OR (NEW.kind, NEW.place, NEW.minute)
              IS DISTINCT FROM (OLD.kind, OLD.place, OLD.minute))
        EXECUTE FUNCTION refuse_to_forget()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER security_event_only_grows ON security_event")
    op.execute("DROP TRIGGER audit_entry_is_append_only ON audit_entry")
    op.execute("DROP FUNCTION refuse_to_forget()")
    op.execute("DELETE FROM security_event WHERE kind IN ('foreign_form', 'forbidden')")
    _allow(*_KINDS)
    op.drop_table("secret_key_check")
    op.drop_column("member_session", "seen_at")
    op.drop_column("member_session", "browser")


def _allow(*kinds: str) -> None:
    op.drop_constraint(op.f("ck_security_event_kind"), "security_event", type_="check")
    named = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(
        op.f("ck_security_event_kind"), "security_event", f"kind IN ({named})"
    )
