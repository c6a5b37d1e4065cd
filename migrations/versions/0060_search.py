"""search: people are found by any part of a word, whatever its accents and apostrophes"""

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None

_BEFORE = (
    "to_tsvector('simple'::regconfig, "
    "translate((COALESCE(name, '') || ' ') || COALESCE(email, ''), '@.+-_''’', '       '))"
)
_NOW = "search_parts((COALESCE(name, '') || ' ') || COALESCE(email, ''))"

# Cyrillic letters stay as they are: Ї is no І, Й no И.
_ACCENTS = (
    "àáâãäåāăąçćĉċčďđðèéêëēĕėęěĝğġģĥħìíîïĩīĭįıĵķĺļľŀłñńņňŋòóôõöøōŏőŕŗřśŝşšșţťŧțùúûüũūŭůűųŵýÿŷźżž"
)
_PLAIN = (
    "aaaaaaaaacccccdddeeeeeeeeegggghhiiiiiiiiijklllllnnnnnooooooooorrrsssssttttuuuuuuuuuuwyyyzzz"
)
_BETWEEN_WORDS = '!"#$%&()*+,-./:;<=>?@[\\]^_{|}~–—…·«»“”„№\t\n\u00a0'
_APOSTROPHES = "''’‘ʼʻ`´ʹ′"  # noqa: RUF001 - removed: they have no partner in the second list

_FUNCTIONS = (
    f"""
    CREATE FUNCTION search_text(typed text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN replace(
        translate(
            lower(typed),
            '{_ACCENTS}{_BETWEEN_WORDS}{_APOSTROPHES}',
            '{_PLAIN}{" " * len(_BETWEEN_WORDS)}'
        ),
        'ß', 'ss'
    )
    """,
    # Each word, and the word without its first letter, its first two and so on: whatever part is
    # typed, one of these begins with it.
    """
    CREATE FUNCTION search_parts(typed text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT coalesce(array_to_tsvector(array_agg(DISTINCT substr(word, place))), '')
        FROM string_to_table(search_text(typed), ' ') AS word,
             generate_series(1, length(word)) AS place
    )
    """,
)


def upgrade() -> None:
    for function in _FUNCTIONS:
        op.execute(sa.text(function.replace(":", "\\:")))
    _replace("ix_member_words", "ix_member_parts", _NOW)


def downgrade() -> None:
    _replace("ix_member_parts", "ix_member_words", _BEFORE)
    op.execute("DROP FUNCTION search_parts")
    op.execute("DROP FUNCTION search_text")


def _replace(old: str, new: str, expression: str) -> None:
    with op.get_context().autocommit_block():
        # Building one waits for older transactions and meanwhile holds nobody up: no limit.
        op.execute("SET lock_timeout = 0")
        # What was interrupted is there, and invalid.
        op.drop_index(new, "member", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            new,
            "member",
            [sa.text(expression)],
            postgresql_using="gin",
            postgresql_concurrently=True,
        )
        op.drop_index(old, "member", if_exists=True, postgresql_concurrently=True)
        op.execute("SET lock_timeout = '4s'")
