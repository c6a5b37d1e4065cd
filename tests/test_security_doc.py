"""docs/security.md holds each requirement of OWASP ASVS 5.0, level 2, and names what exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from flask.testing import FlaskClient

PAGE = ROOT / "docs" / "security.md"
# From the ASVS's own repository, 5.0/en.
REQUIREMENTS = """
    1.1.1-2 1.2.1-9 1.3.1-11 1.4.1-3 1.5.1-2
    2.1.1-3 2.2.1-3 2.3.1-4 2.4.1
    3.2.1-2 3.3.1-4 3.4.1-6 3.5.1-5 3.7.1-2
    4.1.1-3 4.2.1 4.3.1-2 4.4.1-4
    5.1.1 5.2.1-3 5.3.1-2 5.4.1-3
    6.1.1-3 6.2.1-12 6.3.1-4 6.4.1-4 6.5.1-5 6.6.1-3 6.8.1-4
    7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-2 7.6.1-2
    8.1.1-2 8.2.1-3 8.3.1 8.4.1
    9.1.1-3 9.2.1-4
    10.1.1-2 10.2.1-2 10.3.1-4 10.4.1-11 10.5.1-5 10.6.1-2 10.7.1-3
    11.1.1-2 11.2.1-3 11.3.1-3 11.4.1-4 11.5.1 11.6.1
    12.1.1-3 12.2.1-2 12.3.1-4
    13.1.1 13.2.1-5 13.3.1-2 13.4.1-5
    14.1.1-2 14.2.1-4 14.3.1-3
    15.1.1-3 15.2.1-3 15.3.1-7
    16.1.1 16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-3
    17.1.1 17.2.1-4 17.3.1-2
"""
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def required() -> list[str]:
    found = []
    for group in REQUIREMENTS.split():
        section, _, numbers = group.rpartition(".")
        first, _, last = numbers.partition("-")
        found += [f"{section}.{number}" for number in range(int(first), int(last or first) + 1)]
    return found


def missing(evidence: str) -> list[str]:
    """Tests and files named in this cell that don't exist."""
    return [name for name in evidence.split(", ") if not is_there(name)]


def is_there(name: str) -> bool:
    if section := re.fullmatch(r"\[(.+)\]\(#[a-z-]+\)", name):
        return f"\n## {section[1]}\n" in PAGE.read_text()
    path, _, test = name.strip("`").partition("::")
    file = ROOT / path
    if not re.fullmatch(r"`\S+`", name) or not file.is_file():
        return False
    return not test or test in {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_each_requirement_stands_on_the_page_once() -> None:
    assert len(required()) == 253
    found = re.findall(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])", PAGE.read_text())
    assert Counter(found) == Counter(required())


def test_what_the_page_names_is_there() -> None:
    rows = ROW.findall(PAGE.read_text())
    assert len(rows) > 150
    assert {number: lost for number, _, evidence in rows if (lost := missing(evidence))} == {}
    links = re.findall(r"\]\(([a-z/-]+\.md)\)", PAGE.read_text())
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []


def test_a_risk_that_is_accepted_is_explained() -> None:
    rows = ROW.findall(PAGE.read_text())
    accepted = {number for number, what, _ in rows if "**Accepted**" in what}
    explained = {number for number, _, evidence in rows if "(#risks-we-accept)" in evidence}
    assert accepted == explained
    assert accepted


@pytest.mark.parametrize(
    "evidence",
    [
        "`tests/test_security_doc.py::test_that_is_not_there`",
        "`tests/test_nowhere.py::test_the_code`",
        "`fundraiser/nowhere.py`",
        "[Nowhere](#nowhere)",
        "by experience",
    ],
)
def test_what_is_not_there_is_found(evidence: str) -> None:
    assert missing(f"`tests/test_security_doc.py::test_trace_is_refused`, {evidence}") == [evidence]


def test_trace_is_refused(client: FlaskClient) -> None:
    for path in ("/", "/join", "/account", "/staff", "/webhooks/stripe", "/static/site.css"):
        with client.open(path, method="TRACE") as answer:
            assert answer.status_code == 405, path
