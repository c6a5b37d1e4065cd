"""The mutants can still be made: `python -m tests.mutants` runs them."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_has_one_place_and_a_test(mutant: Mutant) -> None:
    assert len(mutant.places()) == 1
    file, _, name = mutant.test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert name.partition("[")[0] in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }
