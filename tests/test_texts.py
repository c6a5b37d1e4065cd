"""The Ukrainian catalogue says everything that the English pages say, and is compiled."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

if TYPE_CHECKING:
    from collections.abc import Iterator

    from babel.messages.catalog import Catalog

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "fundraiser/translations/uk/LC_MESSAGES"
HOW_TO = (
    "pybabel extract -F pyproject.toml --no-location --sort-output -o /tmp/messages.pot . && "
    "pybabel update -N -w 100 -i /tmp/messages.pot -d fundraiser/translations -l uk"
    " --ignore-obsolete, translate what is empty in messages.po, then"
    " pybabel compile -d fundraiser/translations"
)
_VALUE = re.compile(r"%\(\w+\)s|\{\w+\}")


def forms(text: object) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, list | tuple) else (str(text),)


@pytest.fixture(scope="module")
def used() -> set[str]:
    """The messages in the code and the templates, by the same mappings as pybabel's."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    methods = [(found["pattern"], found["method"]) for found in mappings]
    options: dict[str, dict[str, str]] = {pattern: {} for pattern, _ in methods}

    def extracted() -> Iterator[str]:
        for found in extract_from_dir(ROOT, methods, options, directory_filter=is_ours):
            yield forms(found[2])[0]

    return set(extracted())


def is_ours(folder: str) -> bool:
    return Path(folder).relative_to(ROOT).parts[:1] in {(), ("fundraiser",), ("templates",)}


@pytest.fixture(scope="module")
def written() -> Catalog:
    with (FOLDER / "messages.po").open("rb") as file:
        return read_po(file, locale="uk")


def test_every_message_is_in_the_catalogue_and_none_is_left_over(
    used: set[str], written: Catalog
) -> None:
    known = {forms(message.id)[0] for message in written if message.id}
    assert used - known == set(), HOW_TO
    assert known - used == set(), HOW_TO


def test_every_message_is_translated_with_the_values_it_has(written: Catalog) -> None:
    for message in written:
        if not message.id:
            continue
        assert all(forms(message.string)), f"{message.id!r} is not translated. {HOW_TO}"
        assert not message.fuzzy, message.id
        values = set(_VALUE.findall(forms(message.id)[-1]))
        for form in forms(message.string):
            assert set(_VALUE.findall(form)) == values, message.id


def test_the_compiled_catalogue_is_the_written_one(written: Catalog) -> None:
    with (FOLDER / "messages.mo").open("rb") as file:
        compiled = read_mo(file)
    for message in written:
        if message.id:
            found = compiled.get(forms(message.id)[0], message.context)
            assert found is not None, HOW_TO
            assert forms(found.string) == forms(message.string), HOW_TO


# The left column of our table of words: what people don't say, and what says nothing true.
NOT_SAID = re.compile(
    r"""\b(?:letters?|we\ took|taken|paid\ back|given\ back|goes\ back\ to|went\ back|settled?
    |standing|stands?|trail|roster|cockpit|newest|telephone|begins?|began|begun|start\ over
    |for\ good|by\ itself|whether\ or\ not|not\ told|in\ the\ number|nothing\ (?:more\ )?is
    |stripe’s\ name|let\ be\ shown|on\ its\ way|fits?|please|sorry|oops)\b|!
    |(?:^|[.:]\ )(?:whoever\b|who\ \w+s\b.*\ (?:may|can|is|are|gets?)\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def test_no_message_uses_a_word_that_people_do_not_say(used: set[str]) -> None:
    said = {message: _VALUE.sub("", message) for message in used}
    assert {message for message, plain in said.items() if NOT_SAID.search(plain)} == set()


@pytest.mark.parametrize(
    "message",
    [
        "A letter is on its way to you.",
        "We took £7.82 today.",
        "It ends by itself.",
        "Who opens my link may read my name.",
        "Nothing more is charged.",
    ],
)
def test_the_table_of_words_notices(message: str) -> None:
    """The negative control."""
    assert NOT_SAID.search(message)
