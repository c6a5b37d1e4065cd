"""letters told once: a thing at Stripe is told of once, whoever its customer becomes"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "uq_letter_told_once",
        "letter",
        ["kind", "cycle"],
        unique=True,
        postgresql_where="kind IN ('contribution', 'second_membership')",
    )


def downgrade() -> None:
    op.drop_index("uq_letter_told_once", "letter")
