"""letters that arrive: other recipients, what comes back, what is wanted, what staff change"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
_KINDS_BEFORE = (
    *("welcome", "contribution", "second_membership"),
    *("sign_in", "change_of_address"),
)


def upgrade() -> None:
    _new_tables()
    _letter()
    _membership()


def _new_tables() -> None:
    op.create_table(
        "suppression",
        sa.Column("address", sa.String(), primary_key=True),
        sa.Column("ground", sa.String(32), nullable=False),
        sa.Column("detail", sa.String()),
        sa.Column("at", AT, nullable=False),
        sa.CheckConstraint("ground IN ('bounce', 'complaint')", name=op.f("ck_suppression_ground")),
    )
    op.create_table(
        "reminder",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("campaign_slug", sa.String(), sa.ForeignKey("campaign.slug"), nullable=False),
        sa.Column("checkout_id", sa.Uuid(), sa.ForeignKey("checkout.id"), unique=True),
        sa.Column("due_at", AT, nullable=False),
        sa.Column("confirmed_at", AT),
        sa.Column("stopped_at", AT),
        sa.Column("created_at", AT, nullable=False),
        sa.CheckConstraint(
            "kind IN ('later', 'unfinished')", name=op.f("ck_reminder_reminderkind")
        ),
    )
    op.create_index(
        "uq_reminder_open",
        "reminder",
        ["campaign_slug", sa.text("lower(email)")],
        unique=True,
        postgresql_where="kind = 'later' AND stopped_at IS NULL",
    )
    op.create_index(
        "ix_reminder_due", "reminder", ["due_at"], postgresql_where="stopped_at IS NULL"
    )
    op.create_table(
        "letter_choice",
        sa.Column("member_id", sa.BigInteger(), sa.ForeignKey("member.id"), primary_key=True),
        sa.Column("topic", sa.String(32), primary_key=True),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("at", AT, nullable=False),
    )
    op.create_table(
        "letter_switch",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("is_on", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "letter_wording",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("language", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("heading", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("changed_at", AT, nullable=False),
        sa.Column("staff_id", sa.BigInteger(), sa.ForeignKey("staff.id")),
    )
    op.create_table(
        "mailing",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("cycle", sa.String(), primary_key=True),
        sa.Column("at", AT, nullable=False),
    )


def _letter() -> None:
    # A kind is added often and by one line: the table does not check its name.
    op.drop_constraint("ck_letter_letterkind", "letter")
    op.drop_constraint("ck_letter_letterstate", "letter")
    states = ("queued", "sending", "sent", "failed", "unknown", "withdrawn", "bounced")
    op.create_check_constraint("letterstate", "letter", sa.column("state").in_(states))
    op.alter_column("letter", "member_id", nullable=True)
    op.add_column("letter", sa.Column("staff_id", sa.BigInteger(), sa.ForeignKey("staff.id")))
    op.add_column("letter", sa.Column("reminder_id", sa.BigInteger(), sa.ForeignKey("reminder.id")))
    op.create_check_constraint(
        "recipient", "letter", "num_nonnulls(member_id, staff_id, reminder_id) = 1"
    )
    op.create_unique_constraint(
        "uq_letter_staff_id_kind_cycle", "letter", ["staff_id", "kind", "cycle"]
    )
    op.create_unique_constraint(
        "uq_letter_reminder_id_kind_cycle", "letter", ["reminder_id", "kind", "cycle"]
    )
    # True for the letters that there are: each of them is one that somebody waits for.
    op.add_column(
        "letter", sa.Column("urgent", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.alter_column("letter", "urgent", server_default=None)
    op.drop_index("ix_letter_due", table_name="letter")
    op.create_index(
        "ix_letter_due",
        "letter",
        ["urgent", "due_at"],
        postgresql_where="state IN ('queued', 'sending')",
    )


def _membership() -> None:
    for name in ("card_last4", "pay_url", "cancel_reason", "cancel_feedback"):
        op.add_column("membership", sa.Column(name, sa.String()))
    op.add_column("membership", sa.Column("card_expires_at", AT))
    op.add_column(
        "membership",
        sa.Column("needs_confirmation", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    # What the sweep of the letters looks through: each window is a few rows of one of these.
    for name in ("grace_from", "card_expires_at", "canceled_at", "ended_at"):
        op.create_index(
            f"ix_membership_{name}", "membership", [name], postgresql_where=f"{name} IS NOT NULL"
        )
    op.create_index(
        "ix_membership_renewal", "membership", ["period_end"], postgresql_where="interval = 'year'"
    )
    op.create_index("ix_payment_paid_at", "payment", ["paid_at"])


def downgrade() -> None:
    letter = sa.table("letter", sa.column("member_id"), sa.column("kind"))
    others = letter.c.member_id.is_(None) | letter.c.kind.not_in(_KINDS_BEFORE)
    if op.get_bind().scalar(sa.select(sa.exists().where(others))) or op.get_bind().scalar(
        sa.text(
            "SELECT EXISTS (SELECT FROM suppression) OR EXISTS (SELECT FROM reminder) "
            "OR EXISTS (SELECT FROM letter_choice)"
        )
    ):
        raise CommandError(
            "Downgrading past 0007 would delete e-mails, reminders, what members chose about "
            "e-mails, and addresses that bounced. Restore a backup instead."
        )
    _membership_before()
    _letter_before()
    for table in (
        *("mailing", "letter_wording", "letter_switch", "letter_choice", "reminder", "suppression"),
    ):
        op.drop_table(table)


def _letter_before() -> None:
    op.drop_index("ix_letter_due", table_name="letter")
    op.create_index(
        "ix_letter_due", "letter", ["due_at"], postgresql_where="state IN ('queued', 'sending')"
    )
    for name in ("urgent", "reminder_id", "staff_id"):
        op.drop_column("letter", name)
    op.alter_column("letter", "member_id", nullable=False)
    op.execute("UPDATE letter SET state = 'failed' WHERE state = 'bounced'")
    states = ("queued", "sending", "sent", "failed", "unknown", "withdrawn")
    op.drop_constraint("ck_letter_letterstate", "letter")
    op.create_check_constraint("letterstate", "letter", sa.column("state").in_(states))
    op.create_check_constraint("letterkind", "letter", sa.column("kind").in_(_KINDS_BEFORE))


def _membership_before() -> None:
    op.drop_index("ix_payment_paid_at", "payment")
    op.drop_index("ix_membership_renewal", "membership")
    for name in ("needs_confirmation", "card_expires_at"):
        op.drop_column("membership", name)
    for name in ("cancel_feedback", "cancel_reason", "pay_url", "card_last4"):
        op.drop_column("membership", name)
    for name in ("grace_from", "canceled_at", "ended_at"):
        op.drop_index(f"ix_membership_{name}", "membership")
