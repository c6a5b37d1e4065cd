"""The files of deploy/, the Dockerfile and compose.yaml, read by the tools that they are for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from compose_spec import PyOptions

from tests.deployment import ROOT, python

UNITS = ROOT / "deploy" / "systemd"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)
SERVICES = [*sorted(path.name for path in UNITS.glob("*.service"))]


def programs() -> dict[str, str]:
    """The Procfile's lines by name."""
    lines = (ROOT / "Procfile").read_text()
    return dict(re.findall(r"^(\w+):\s*(.+)$", lines, re.MULTILINE))


def tool(name: str) -> str:
    return str(Path(python()[0]).with_name(name))


def run(*command: str) -> str:
    """What a command says; nothing and no failure is what we want of a linter."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with this checkout's programs, and a user that every machine has."""
    for path in UNITS.iterdir():
        text = path.read_text().replace("/opt/fundraiser/venv/bin/", f"{Path(python()[0]).parent}/")
        (tmp_path / path.name).write_text(text.replace("User=fundraiser", "User=daemon"))
    return tmp_path


@needs_systemd
def test_systemd_understands_every_line(units: Path) -> None:
    names = [name.replace("@.", "@8001.") for name in (*SERVICES, "fundraiser.target")]
    assert run("systemd-analyze", "verify", *(str(units / name) for name in names)) == ""


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_little(units: Path, name: str) -> None:
    """An exposure of 2.0 of 10 at most, as systemd adds it up."""
    command = ("systemd-analyze", "security", "--offline=yes", "--threshold=20")
    run(*command, str(units / name))


@pytest.mark.parametrize("name", ["release", "worker", "beat", "web"])
def test_units_and_containers_run_what_the_procfile_runs(name: str) -> None:
    wanted = programs()[name].replace(" --enable-remote-control", "")
    unit = (UNITS / f"fundraiser-{'web@' if name == 'web' else name}.service").read_text()
    found = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    assert found
    # systemd reads $ and ${ itself; doubled, they come to the shell.
    said = found[1].replace("/opt/fundraiser/venv/bin/", "").replace("$$", "$")
    said = re.sub(r"^/bin/sh -c 'exec (.+)'$|^/usr/bin/env HOST=\S+ PORT=%i (.+)$", r"\1\2", said)
    assert said.replace("fundraiser migrate", "python -m fundraiser migrate") == wanted
    options = PyOptions()
    options.apply_merge = True
    services = options.from_yaml((ROOT / "compose.yaml").read_text()).services
    assert services
    command = services[name].command or ["python", "-m", "fundraiser.granian"]
    said = command[-1].removeprefix("exec ").replace("$$", "$") if command[0] == "sh" else None
    said = said or " ".join(command)
    assert said.replace("fundraiser migrate", "python -m fundraiser migrate") == wanted


def test_compose_understands_the_file_and_no_container_may_do_much() -> None:
    options = PyOptions()
    options.apply_merge = True
    with pytest.raises(ValueError, match="restrat"):
        options.from_yaml((ROOT / "compose.yaml").read_text().replace("restart:", "restrat:"))
    options.from_yaml((ROOT / "compose.yaml").read_text()).validate()
    run(tool("compose-lint"), "check", "--fail-on", "high", str(ROOT / "compose.yaml"))


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    assert run(tool("hadolint"), str(ROOT / "Dockerfile")) == ""


def test_the_image_gets_all_that_the_package_is_made_of() -> None:
    """What it copies goes past .dockerignore, and tests/test_installed.py builds from the same."""
    copied = set(
        re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    )
    names = {name for line in copied for name in line.split()}
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert names == set(let_in)
    assert all((ROOT / name).exists() for name in names)
