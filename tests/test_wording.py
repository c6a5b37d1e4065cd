"""Sentences may be rewritten: tests find things by role, field, address or ``data-test``."""

from __future__ import annotations

from pathlib import Path

import pytest

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
