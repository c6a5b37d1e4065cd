"""The names (``data-test``) that pages give to what they show, and those that tests ask for."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
VALUE = "*"  # in a name: what is filled in when the page is made
_ATTRIBUTE = re.compile(r"""data-test="((?:\{\{.*?\}\}|\{\w*\}|[^"{])+)\"""")
_FILLED_IN = re.compile(r"\{\{.*?\}\}|\{\w*\}")
_NAME = re.compile(r"[a-z][a-z0-9_*-]*")
_SELECTOR = re.compile(r"data-test=['\"]?([\w*-]+)")
_ASKS = {"shown", "get_by_test_id"}  # the last argument is a name


def given_names() -> dict[str, str]:
    """The names in code and templates, each with the file; ``*`` for what is filled in."""
    found: dict[str, str] = {}
    for folder in ("templates", "fundraiser", "demo", "simulator"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".html", ".js", ".py"}:
                source = path.read_text()
                names = {_FILLED_IN.sub(VALUE, name) for name in _ATTRIBUTE.findall(source)}
                if path.suffix == ".py":
                    names |= set(_names_of_sentences(ast.parse(source)))
                found |= dict.fromkeys(names - {VALUE}, str(path.relative_to(ROOT)))
    return found


def _names_of_sentences(tree: ast.AST) -> Iterator[str]:
    """The first argument of each ``Named(…)``, if it isn't that of another sentence."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Named":
            name = _text(node.args[0])
            if name is not None:
                yield name


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or VALUE for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def asked_names(source: str) -> set[str]:
    """The texts of a test that can be names; ``*`` for what is filled in."""
    tree = ast.parse(source)
    texts = {_text(node) or "" for node in ast.walk(tree) if isinstance(node, ast.expr)}
    return {text for text in texts if _NAME.fullmatch(text)} | selected_names(source)


def selected_names(source: str) -> set[str]:
    """The names by which a test surely looks for something on a page."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.expr):
            found |= {*_SELECTOR.findall(_text(node) or "")}
        if isinstance(node, ast.Call) and _called(node) in _ASKS and node.args:
            found |= _names_in(node.args[-1])
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(isinstance(side, ast.Call) and _called(side) == "names" for side in sides):
                found |= {name for side in sides for name in _names_in(side)}
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".parts"):
            found |= _names_in(node.slice)
    return found


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def _names_in(node: ast.expr) -> set[str]:
    """A name, or those of a set that is written out."""
    each = node.elts if isinstance(node, ast.Set) else [node]
    return {text for text in map(_text, each) if text and _NAME.fullmatch(text)}


@cache
def row_names() -> set[str]:
    """The texts of the code that can be the name of a row whose whole name is filled in."""
    return {
        text.replace("_", "-")
        for path in (ROOT / "fundraiser").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.expr) and (text := _text(node))
    }


def fits(name: str, asked: str) -> bool:
    """Whether a name with ``*`` can be what a test asks for, which may have ``*`` as well."""
    pattern = ".*".join(map(re.escape, name.split(VALUE)))
    return name == asked or re.fullmatch(pattern, asked) is not None
