"""who is named on the public page, who invited whom, and when the number reached what"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NAMED = """
    UPDATE member SET roster_since = newest.at
    FROM (
        SELECT DISTINCT ON (member_id) member_id, at, given
        FROM consent WHERE kind = 'roster' ORDER BY member_id, id DESC
    ) AS newest
    WHERE newest.member_id = member.id AND newest.given
"""


def upgrade() -> None:
    op.add_column("member", sa.Column("roster_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("member", sa.Column("invite_code", sa.String(), nullable=True))
    op.create_unique_constraint(op.f("uq_member_invite_code"), "member", ["invite_code"])
    op.add_column("member", sa.Column("invited_by", sa.BigInteger(), nullable=True))
    op.add_column("checkout", sa.Column("invite", sa.String(), nullable=True))
    op.execute(NAMED)
    op.create_index(
        "ix_member_roster",
        "member",
        ["roster_since"],
        postgresql_where="counting AND roster_since IS NOT NULL",
    )
    op.create_index(
        "ix_member_invited_by",
        "member",
        ["invited_by"],
        postgresql_where="invited_by IS NOT NULL",
    )
    op.create_index(
        "ix_ledger_reached", "ledger", ["balance", "version"], postgresql_where="change = 1"
    )
    _allow("roster", "inviter")


def downgrade() -> None:
    if op.get_bind().scalar(
        sa.text(
            "SELECT EXISTS (SELECT FROM consent WHERE kind = 'inviter') "
            "OR EXISTS (SELECT FROM member WHERE invited_by IS NOT NULL)"
        )
    ):
        raise CommandError(
            "Downgrading past 0013 would delete who invited whom, and consents to that. "
            "Restore a backup instead."
        )
    _allow("roster")
    op.drop_index("ix_ledger_reached", "ledger")
    op.drop_index("ix_member_invited_by", "member")
    op.drop_index("ix_member_roster", "member")
    op.drop_column("checkout", "invite")
    op.drop_column("member", "invited_by")
    op.drop_column("member", "invite_code")
    op.drop_column("member", "roster_since")


def _allow(*kinds: str) -> None:
    op.drop_constraint("ck_consent_consentkind", "consent")
    op.create_check_constraint("consentkind", "consent", sa.column("kind").in_(kinds))
