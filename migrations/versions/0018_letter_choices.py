"""what was read when somebody chose which letters to get"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "letter_choice", sa.Column("text", sa.String(), server_default="", nullable=False)
    )
    op.alter_column("letter_choice", "text", server_default=None)


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM letter_choice WHERE text <> '')")):
        raise CommandError(
            "Downgrading past 0018 would delete what members read when they chose their e-mails. "
            "Restore a backup instead."
        )
    op.drop_column("letter_choice", "text")
