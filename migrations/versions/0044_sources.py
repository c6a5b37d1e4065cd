"""sources of members outside Stripe, the files brought in from them, and their rows"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "external_source",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("options", JSONB(), nullable=False),
        sa.Column("list_at", _TIME),
        sa.Column("members", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("counted_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_external_source")),
    )
    op.create_table(
        "import_batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column(
            "state",
            _words(
                "batchstate",
                *("uploaded", "reading", "planned", "applying", "applied", "undoing", "undone"),
                *("refused", "discarded"),
            ),
            nullable=False,
        ),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("options", JSONB(), nullable=False),
        sa.Column("headings", JSONB(), nullable=False),
        sa.Column("notes", JSONB(), nullable=False),
        sa.Column("problem", sa.String()),
        sa.Column("list_at", _TIME),
        sa.Column("counts", JSONB(), nullable=False),
        sa.Column("sums", JSONB(), nullable=False),
        sa.Column("members_before", sa.Integer()),
        sa.Column("members_after", sa.Integer()),
        *(
            sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
            for name in ("rows", "progress", "done", "attempts")
        ),
        sa.Column("peaks", JSONB(), nullable=False),
        sa.Column("staff_id", sa.BigInteger()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("planned_at", _TIME),
        sa.Column("applied_at", _TIME),
        sa.Column("undone_at", _TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_batch")),
        sa.ForeignKeyConstraint(
            ["source"],
            ["external_source.name"],
            name=op.f("fk_import_batch_source_external_source"),
        ),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_import_batch_staff_id_staff")
        ),
    )
    op.create_index("ix_import_batch_source", "import_batch", ["source"])
    op.create_index("ix_import_batch_staff_id", "import_batch", ["staff_id"])
    op.create_index(
        "ix_import_batch_at_work",
        "import_batch",
        ["id"],
        postgresql_where=sa.text("state IN ('reading', 'applying', 'undoing')"),
    )
    op.create_index(
        "uq_import_batch_busy",
        "import_batch",
        ["source"],
        unique=True,
        postgresql_where=sa.text("state IN ('applying', 'undoing')"),
    )
    op.create_table(
        "import_file",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_import_file")),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["import_batch.id"],
            name=op.f("fk_import_file_batch_id_import_batch"),
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "import_row",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column(
            "says",
            _words("says", "paid", "not_paying", "ask", "refused", "skipped"),
            nullable=False,
        ),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("looks", JSONB(), nullable=False),
        sa.Column("cells", JSONB()),
        *(sa.Column(name, sa.String()) for name in ("key", "email", "address", "name")),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("interval", _words("interval", "month", "year", "week", "day")),
        sa.Column("interval_count", sa.Integer(), nullable=False),
        *(
            sa.Column(name, _TIME)
            for name in ("started_at", "counts_until", "cancel_at", "refunded_at")
        ),
        sa.Column(
            "outcome",
            _words(
                "outcome",
                *("new", "renewed", "unchanged", "joined", "ended", "absent", "same_row"),
                *("not_counted", "held", "refused", "skipped"),
            ),
        ),
        sa.Column("counts", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("same_as", sa.Integer()),
        sa.Column("decision", _words("decision", "count", "ignore")),
        sa.Column("decided_by", sa.BigInteger()),
        sa.Column("decided_at", _TIME),
        sa.Column("member_id", sa.BigInteger()),
        sa.Column("membership_id", sa.BigInteger()),
        sa.Column("before", JSONB()),
        sa.Column("added", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("applied_at", _TIME),
        sa.Column("undone_at", _TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_row")),
        sa.UniqueConstraint("batch_id", "number", name=op.f("uq_import_row_batch_id_number")),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["import_batch.id"],
            name=op.f("fk_import_row_batch_id_import_batch"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["staff.id"], name=op.f("fk_import_row_decided_by_staff")
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["member.id"], name=op.f("fk_import_row_member_id_member")
        ),
    )
    op.create_index("ix_import_row_key", "import_row", ["key"])
    op.create_index("ix_import_row_address", "import_row", ["address"])
    op.create_index("ix_import_row_outcome", "import_row", ["batch_id", "outcome", "number"])
    op.create_index("ix_import_row_decided_by", "import_row", ["decided_by"])
    op.create_index("ix_import_row_member_id", "import_row", ["member_id"])
    op.create_table(
        "erased_address",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("erased_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_erased_address")),
    )
    op.add_column("membership", sa.Column("origin", sa.String()))
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        for name, table, columns, where in (
            (
                "ix_membership_origin",
                "membership",
                ["origin", "counts_until"],
                "origin IS NOT NULL",
            ),
            ("ix_ledger_import", "ledger", ["happened_at"], "cause = 'import'"),
        ):
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                table,
                columns,
                postgresql_where=sa.text(where),
                postgresql_concurrently=True,
            )
        op.execute("SET lock_timeout = '4s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, table in (("ix_ledger_import", "ledger"), ("ix_membership_origin", "membership")):
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    op.drop_column("membership", "origin")
    op.drop_table("erased_address")
    op.drop_table("import_row")
    op.drop_table("import_file")
    op.drop_table("import_batch")
    op.drop_table("external_source")
