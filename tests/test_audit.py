"""`make audit` lists every package that we ship, and fails where one can't be checked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0])
    assert program
    return subprocess.run(
        [program, *command[1:]], cwd=ROOT, check=check, capture_output=True, text=True
    )


def test_the_bill_of_materials_lists_each_package_of_the_lock_with_its_hashes() -> None:
    run("make", "sbom.json")
    listed = json.loads((ROOT / "sbom.json").read_text())
    locked = re.findall(
        r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    assert listed["bomFormat"] == "CycloneDX"
    assert listed["metadata"]["component"]["name"] == "fundraiser"
    assert {(found["name"], found["version"]) for found in listed["components"]} == set(locked)
    for found in listed["components"]:
        assert found["externalReferences"][0]["hashes"]


def test_the_audit_fails_where_a_package_could_not_be_looked_up() -> None:
    """Without ``--strict`` pip-audit says that it found nothing, and is content."""
    said = run("make", "-n", "audit").stdout
    (audit,) = re.findall(r"\S*pip-audit (.*)", said.replace("\\\n", " "))
    assert {"--strict", "--require-hashes", "requirements-dev.lock"} <= set(audit.split())


@pytest.mark.parametrize(("found", "fails"), [(0, False), (1, True)])
def test_the_audit_fails_while_a_weakness_is_known(
    tmp_path: Path, found: int, *, fails: bool
) -> None:
    """What pip-audit says is what `make audit` says; here somebody else speaks in its place."""
    program = tmp_path / "pip-audit"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {found}\n')
    program.chmod(0o755)
    done = run(
        *("make", "audit", f"BIN={tmp_path}", "--assume-old=sbom.json", "--assume-old=setup"),
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stderr
    assert "requirements-dev.lock" in (tmp_path / "asked").read_text()


def test_nothing_that_holds_secrets_or_is_made_is_kept_in_git() -> None:
    for name in (".env", ".env.production", ".demo/secrets.json", "sbom.json"):
        run("git", "check-ignore", "-q", name)
    assert run("git", "check-ignore", "-q", ".env.example", check=False).returncode == 1
