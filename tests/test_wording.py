"""Sentences may be rewritten: tests find things by role, field, address or ``data-test``.

Each name that a page or a sentence has is asked for by a test, and tests ask for no other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.named import VALUE, asked_names, fits, given_names, row_names, selected_names
from tests.prose import our_phrases, phrases, prose_in

pytestmark = pytest.mark.wording  # the controls below look like what is not to be
TESTS = Path(__file__).parent

# How many sentences each file may still hold. Lower a number where you found another way; a test
# whose subject is what a page says is marked ``wording`` and holds as many as it needs.
STILL_THERE = {
    "browser/test_leaving.py": 2,
    "browser/test_widget.py": 11,
    "browser/test_widget_page.py": 2,
    "test_address_changes.py": 1,
    "test_doctor.py": 1,
    "test_languages.py": 1,
    "test_members_list.py": 1,
    "test_paging.py": 1,
    "test_postgres.py": 2,
    "test_settlement_facts.py": 1,
    "test_simulator_methods.py": 1,
    "test_simulator_payments.py": 2,
    "test_sources_books.py": 2,
    "test_sources_harm.py": 1,
    "test_wsgi.py": 1,
}


SENTENCES = {*phrases("The number is yours for good."), *phrases("See what changes")}


def test_no_test_finds_things_by_our_sentences_but_those_that_always_did() -> None:
    ours = our_phrases()
    assert len(ours) > 1_000
    too_many = {}
    for path in sorted(TESTS.rglob("*.py")):
        found = prose_in(path.read_text(), ours)
        name = str(path.relative_to(TESTS))
        if len(found) > STILL_THERE.get(name, 0):
            too_many[name] = found
    assert too_many == {}, "use data-test, or mark the test `wording` if the words are its subject"


@pytest.mark.parametrize(
    "line",
    [
        'assert "The number is yours for good" in page.text',
        'assert f"{number}: the number is yours for good." in page.text',
        'page.get_by_role("button", name="See what changes").click()',
        'expect(page.locator("h1")).to_have_text("See what changes")',
        'wait_for(lambda: page.get_by_text("See what changes").count() == 1)',
    ],
)
def test_a_sentence_in_a_test_is_found(line: str) -> None:
    assert len(prose_in(f"def test_it(page: Page) -> None:\n    {line}\n", SENTENCES)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.wording\ndef test_it() -> None:\n    {line}\n",
        "pytestmark = pytest.mark.wording\n\n\ndef test_it() -> None:\n    {line}\n",
        'def test_it() -> None:\n    """{line}"""\n',
    ],
)
def test_where_the_words_are_the_subject_they_may_stand(source: str) -> None:
    line = "assert 'See what changes' in page.text"
    assert prose_in(source.format(line=line), SENTENCES) == []


def others() -> list[str]:
    """The tests but this file, whose names are none."""
    return [path.read_text() for path in TESTS.rglob("*.py") if path != Path(__file__)]


def not_asked(given: dict[str, str], asked: set[str]) -> dict[str, str]:
    """The names that no test asks for: neither as they are nor as the end of another."""
    starts = {name.partition(VALUE)[0] for name in given if name.endswith(VALUE)}
    return {
        name: place
        for name, place in given.items()
        if not any(fits(name, one) for one in asked)
        and (VALUE in name or not any(start + name in asked for start in starts))
    }


def unknown(selected: set[str], given: dict[str, str]) -> set[str]:
    """The names that tests select and no page gives."""
    rows = row_names()
    return {
        name
        for name in selected - {VALUE}
        if not any(fits(one, name) for one in given) and name.replace("_", "-") not in rows
    }


def test_each_name_on_a_page_is_asked_for_by_a_test() -> None:
    asked = {name for source in others() for name in asked_names(source)}
    given = given_names()
    assert len(given) > 200
    assert not_asked(given, asked) == {}
    lost = {"nobody-asks": "a page", "nobody-asks-for-*": "another"}
    assert not_asked(lost, asked) == lost


def test_tests_ask_for_no_name_that_no_page_gives() -> None:
    selected = {name for source in others() for name in selected_names(source)}
    assert len(selected) > 200
    assert unknown(selected, given_names()) == set()


@pytest.mark.parametrize(
    "line",
    [
        'page.select("[data-test=gone-for-good] a")',
        'shown(page, "gone-for-good")',
        'page.get_by_test_id("gone-for-good").click()',
        'assert "gone-for-good" in names(page)',
        'assert {"gone-for-good"} <= names(page)',
        'assert said.parts["gone-for-good"]',
    ],
)
def test_a_name_that_no_page_gives_is_found(line: str) -> None:
    assert unknown(selected_names(line), {}) == {"gone-for-good"}
