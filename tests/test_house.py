"""The house tests itself: who commits, which routes are public, which jobs have a task."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fundraiser import security
from fundraiser.jobs import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp

ROOT = Path(__file__).parent.parent
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("fundraiser", "workers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def calls(tree: ast.Module, name: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
    ]


def test_only_db_commits() -> None:
    places = [str(path.relative_to(ROOT)) for path, tree in sources() if calls(tree, "commit")]
    assert places == ["fundraiser/db.py"]


def test_nothing_reads_the_machines_clock_but_db() -> None:
    places = {
        str(path.relative_to(ROOT))
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"now", "utcnow", "today"}
        and isinstance(node.value, ast.Name)
        and node.value.id in {"datetime", "date"}
    }
    assert places == {"fundraiser/db.py"}


def test_only_config_reads_the_environment() -> None:
    places = [
        str(path.relative_to(ROOT))
        for path, tree in sources()
        if re.search(r"os\.(environ|getenv)", ast.unparse(tree))
    ]
    assert set(places) <= {"fundraiser/config.py", "fundraiser/cli.py"}


def test_each_job_has_a_task_and_each_tick_a_job(
    environment: dict[str, str],
) -> None:
    program = (
        "from workers.app import app; from workers.timetable import TIMETABLE;"
        "app.loader.import_default_modules();"
        "print(sorted(str(n) for n in app.tasks if not n.startswith('celery.')));"
        "print(sorted(str(e['task']) for e in TIMETABLE.values()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    tasks, ticks = (ast.literal_eval(line) for line in answer.stdout.splitlines()[-2:])
    assert tasks == sorted(job.value for job in Job)
    assert set(ticks) == {job.value for job in Job}


def test_each_route_is_public_by_declaration_or_guarded(
    app: FundraiserApp, client: FlaskClient
) -> None:
    for rule in app.url_map.iter_rules():
        if security.is_public(rule.endpoint):
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = client.open(path, method=method, headers={"Accept": "text/html"})
            # A form without its token is refused before the question who sent it.
            assert answer.status_code in {302, 303, 400, 401}, (method, path, answer.status_code)
            if answer.status_code in {302, 303}:
                assert "/staff/sign-in" in answer.headers["Location"]


@pytest.mark.usefixtures("app")
def test_the_guard_of_routes_can_fail() -> None:
    """The negative control: a view that nobody declared is not public."""
    assert security.is_public("campaigns.home")
    assert not security.is_public("dashboard.overview")


def test_every_answer_carries_the_headers(client: FlaskClient) -> None:
    paths = ["/", "/join", "/how-we-count", "/nowhere", "/staff", "/staff/sign-in", "/healthz"]
    for path in [*paths, "/webhooks/stripe"]:
        with client.get(path) as answer:
            answer.get_data()
        for name, value in HEADERS.items():
            assert answer.headers.get(name) == value, (path, name)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert "frame-ancestors 'none'" in policy, path
    with client.get("/static/site.css") as style:
        assert style.headers["X-Content-Type-Options"] == "nosniff"
        assert style.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("path", "line", "contract"),
    [
        ("fundraiser/utils.py", "", "House"),
        ("fundraiser/members/rule.py", "import fundraiser.payments.sync", "House"),
        ("fundraiser/campaigns/progress.py", "import workers.app", "Halves"),
        ("fundraiser/members/counting.py", "import stripe", "Only the gateway"),
        ("chaos/oracle.py", "import fundraiser.members.rule", "The fault run's oracle"),
        ("fundraiser/members/models.py", "import flask", "Models"),
        ("fundraiser/payments/models.py", "import fundraiser.payments.checkout", "Payments"),
    ],
)
def test_the_house_notices_when_it_is_broken(
    tmp_path: Path, path: str, line: str, contract: str
) -> None:
    """Each import contract catches what it is there for, in a copy of the house."""
    for name in ("fundraiser", "workers", "simulator", "demo", "chaos"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.woff2", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / path).open("a") as file:
        file.write(f"\n{line}\n")
    answer = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "NO_COLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 1, answer.stdout
    assert re.search(rf"^{contract}[^.]*? BROKEN", answer.stdout, re.MULTILINE), answer.stdout
