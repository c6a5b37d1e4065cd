"""Finds the sentences of our pages in tests: rewriting one of them would break such a test."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from babel.messages.extract import extract_from_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
LOCATORS = {"get_by_text", "get_by_role", "get_by_label", "locator", "filter"}
EXPECTATIONS = {"to_have_text", "to_contain_text"}
_WORD = re.compile(r"[^\W\d]+(?:[’'-][^\W\d]+)*")  # a name_in_code is one word
_VALUE = re.compile(r"%\(\w+\)s|\{\w+\}|<[^>]+>|\w+://\S+|/[\w/-]*[\w/]")  # or an address


def our_phrases() -> set[tuple[str, ...]]:
    """The phrases of each message in the code and the templates."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    methods = [(found["pattern"], found["method"]) for found in mappings]
    options: dict[str, dict[str, str]] = {pattern: {} for pattern, _ in methods}
    messages = extract_from_dir(ROOT, methods, options, directory_filter=_is_ours)
    forms = (form for found in messages for form in _forms(found[2]))
    return {phrase for form in forms for phrase in phrases(form)}


def _is_ours(folder: str) -> bool:
    return Path(folder).relative_to(ROOT).parts[:1] in {(), ("fundraiser",), ("templates",)}


def _forms(message: object) -> tuple[str, ...]:
    return tuple(message) if isinstance(message, list | tuple) else (str(message),)


def phrases(text: str) -> Iterator[tuple[str, ...]]:
    """Four words in a row, in small letters, none over a value that is filled in.

    A part of two or three words is one phrase: a button is found by the whole of its name.
    """
    for part in _VALUE.split(text):
        words = [word.lower() for word in _WORD.findall(part)]
        if len(words) in {2, 3}:
            yield tuple(words)
        yield from zip(words, words[1:], words[2:], words[3:], strict=False)


def prose_in(source: str, ours: set[tuple[str, ...]]) -> list[tuple[int, str]]:
    """Where a test demands or looks for a phrase of ours: line and text.

    What is marked ``wording`` is left out: there the words are what the test is about.
    """
    tree = ast.parse(source)
    if any(_is_wording(node.value) for node in tree.body if isinstance(node, ast.Assign)):
        return []
    found = {
        (text.lineno, text.col_offset, text.value)
        for place in _places(tree)
        for text in ast.walk(place)
        if isinstance(text, ast.Constant)
        and isinstance(text.value, str)
        and any(phrase in ours for phrase in phrases(text.value))
    }
    return [(line, text) for line, _column, text in sorted(found)]


def _places(node: ast.AST) -> Iterator[ast.AST]:
    """Assertions, locators, expectations, parameters and what is looped over, below this node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            if any(_is_wording(decorator) for decorator in child.decorator_list):
                continue
            yield from child.decorator_list
        if isinstance(child, ast.For):
            yield child.iter
        if isinstance(child, ast.Assert):
            yield child.test  # the message beside it is for whoever reads the failure
        elif _finds_by_text(child):
            yield child
        else:
            yield from _places(child)


def _finds_by_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LOCATORS | EXPECTATIONS
    )


def _is_wording(node: ast.expr) -> bool:
    return "pytest.mark.wording" in ast.unparse(node)
