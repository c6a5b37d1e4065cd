"""The house tests itself: who commits, which routes are public, which jobs have a task."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from flask import request

from fundraiser import security
from fundraiser.jobs import Job
from fundraiser.newsroom.sign_in import require_staff
from tests.staff import PAGE, csrf_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from flask.typing import BeforeRequestCallable, ResponseReturnValue

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


def staff_pages_open_to_anybody(app: FundraiserApp) -> list[str]:
    """Routes not declared public that don't send an anonymous browser to the sign-in page.

    Forms carry a valid CSRF token: without it they are refused before the guard is asked.
    """
    client = app.test_client()
    token = csrf_token(client)
    found = []
    for rule in app.url_map.iter_rules():
        if security.is_public(rule.endpoint):
            continue
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            form = None if method == "GET" else {"csrf_token": token}
            answer = client.open(path, method=method, headers=PAGE, data=form)
            there = urlsplit(answer.headers.get("Location", "")).path
            if (answer.status_code, there) != (HTTPStatus.SEE_OTHER, "/staff/sign-in"):
                found.append(f"{method} {path}")
    return found


def test_each_route_is_public_by_declaration_or_guarded(app: FundraiserApp) -> None:
    assert staff_pages_open_to_anybody(app) == []


def without_guard() -> None:
    """Let everybody past."""


def guard_that_ignores_post() -> ResponseReturnValue | None:
    return None if request.method == "POST" else require_staff()


@pytest.mark.parametrize(
    ("guard", "methods"), [(without_guard, {"GET", "POST"}), (guard_that_ignores_post, {"POST"})]
)
def test_the_test_of_routes_notices_a_missing_guard(
    app: FundraiserApp, guard: BeforeRequestCallable, methods: set[str]
) -> None:
    """The negative control: with the guard replaced, every guarded method is found open."""
    guards = app.before_request_funcs[None]
    guards[guards.index(require_staff)] = guard
    guarded = {
        f"{method} {re.sub('<[^>]+>', '1', rule.rule)}"
        for rule in app.url_map.iter_rules()
        if not security.is_public(rule.endpoint)
        for method in methods & (rule.methods or set())
    }
    assert len(guarded) > len(methods)
    assert set(staff_pages_open_to_anybody(app)) == guarded


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


def test_pytest_also_runs_without_xdist() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "--collect-only", "-q"]
    answer = subprocess.run(
        [*command, "tests/test_rule.py"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_no_test_file_imports_another() -> None:
    """Each can be moved alone: what several need is in a plugin or a module of its own."""
    importing = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if re.search(r"^\s*from tests\.(\w+\.)?test_", path.read_text(), re.MULTILINE)
    ]
    assert importing == []
