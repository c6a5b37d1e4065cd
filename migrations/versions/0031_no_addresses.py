"""personal data: the suppression list keeps keyed hashes; no address or name where none belongs"""

import hmac

import sqlalchemy as sa
from alembic import op

from fundraiser.config import load_settings
from fundraiser.members.models import fold_address

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_MANY = 1000
_ADDRESS = r"[^[:space:]<>()\[\]{},;:=\"''`]+@[^[:space:]<>()\[\]{},;:=\"''`]+"


def upgrade() -> None:
    connection = op.get_bind()
    addresses = connection.execute(sa.text("SELECT address FROM suppression")).scalars().all()
    hashed = sa.text("UPDATE suppression SET address = :hash WHERE address = :address")
    for first in range(0, len(addresses), _MANY):
        some = addresses[first : first + _MANY]
        connection.execute(hashed, [{"address": one, "hash": _hash(one)} for one in some])
    op.alter_column("suppression", "address", new_column_name="address_hash")
    # What mail servers and Stripe said may quote the address.
    for table, column in (
        ("suppression", "detail"),
        ("letter", "error"),
        ("look", "error"),
        ("money_case", "error"),
        ("balance_transaction", "description"),
    ):
        op.execute(
            f"UPDATE {table}"  # noqa: S608 - the five above
            f" SET {column} = regexp_replace({column}, '{_ADDRESS}', '[address]', 'g')"
            f" WHERE {column} LIKE '%@%'"
        )
    # Who was merged into another person, or erased, has no address, and needs no name.
    op.execute(
        "UPDATE member SET name = NULL, country = NULL, roster_since = NULL"
        " WHERE email IS NULL AND num_nonnulls(name, country, roster_since) > 0"
        " AND NOT EXISTS (SELECT FROM customer WHERE customer.member_id = member.id)"
    )


def downgrade() -> None:
    """The hashes stay, under the old name: addresses can't be made of them."""
    op.alter_column("suppression", "address_hash", new_column_name="address")


def _hash(address: str) -> str:
    key = load_settings().secret_keys[0].encode()
    return hmac.new(key, f"address:{fold_address(address)}".encode(), "sha256").hexdigest()
