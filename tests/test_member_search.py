# ruff: noqa: RUF001 - names in Cyrillic letters
"""Staff find a person by any part of a name or address, however it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text

from fundraiser.dashboard.members.search import has_words, has_words_by_index, read_words
from fundraiser.members.models import Member
from tests.factories import make_member

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@pytest.mark.parametrize(
    ("name", "found", "missed"),
    [
        ("Taras Shevchenko", ["chenko", "shev tara", "ENKO"], ["chenka", "chenko olena"]),
        ("Мар'яна", ["Марʼяна", "Мар’яна", "маряна", "ряна", "Мар‘"], ["Мар яна ї"]),
        ("Марʼяна", ["Мар'яна", "Мар`яна"], ["Марина"]),
        ("Jürgen Müller", ["muller", "MÜLLER", "Mu\u0308ller", "jurgen"], ["mueller"]),
        ("Łukasz Strauß", ["lukasz", "strauss", "STRAUẞ", "rauß"], ["lukacz"]),
        ("Siobhán O'Connor-Lee", ["oconnor", "O’Connor", "connor lee", "siobhan"], ["oleary"]),
        ("Їжак Йосип", ["їжак", "ЇЖА", "йосип"], ["іжак", "иосип"]),
        ("Ґалаґан", ["ґал"], ["гал"]),
        (None, ["mail.one", "e-mail", "+tag@"], ["two"]),
        ("x" * 300, ["x" * 300], ["x" * 301]),
    ],
)
def test_any_part_of_a_word_is_found_whatever_its_accents_and_apostrophes(
    session: Session, name: str | None, found: list[str], missed: list[str]
) -> None:
    """One person at a time, and by the index."""
    make_member(session, name=name, email="e-mail+tag@mail.one")
    make_member(session, name="Anna Smith")

    for query in found + missed:
        words = read_words(session, query)
        for condition in (has_words(words, Member), has_words_by_index(words)):
            names = session.scalars(select(Member.name).where(condition)).all()
            assert names == ([name] if query in found else []), query


def test_what_separates_words_and_what_is_left_out_of_them_is_no_part_of_a_search(
    session: Session,
) -> None:
    assert read_words(session, " '’‘ʼʻ` \\ \" % _ @. ") == []
    assert read_words(session, "a'b\\c&d|e!(f):*") == ["ab", "c", "d", "e", "f"]


def test_the_index_serves_the_search(session: Session) -> None:
    session.execute(text("SET LOCAL enable_seqscan = off"))
    statement = select(Member.id).where(has_words_by_index(["melnyk"]))
    asked = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    plan = session.execute(text(f"EXPLAIN {str(asked).replace(':*', chr(92) + ':*')}"))
    assert "ix_member_parts" in str(plan.all())
