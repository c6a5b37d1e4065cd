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
from re._constants import MAXREPEAT  # type: ignore[import-not-found]  # not in typeshed
from re._parser import SubPattern, parse  # type: ignore[import-not-found]  # not in typeshed
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from flask import request

from fundraiser import bodies, security
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


# A pattern that repeats without an end reads a long text again and again: 16 kB of dots stopped the
# whole service for seconds. These read what we have written ourselves.
OUR_OWN_TEXTS = {"fundraiser/cli/stripe_setup.py", "fundraiser/widget/script.py"}
PATTERNS = {
    "compile",
    "search",
    "match",
    "fullmatch",
    "split",
    "findall",
    "finditer",
    "sub",
    "subn",
}


def test_no_pattern_repeats_without_an_end() -> None:
    endless = [
        f"{path.relative_to(ROOT)}:{line} {pattern}"
        for path, tree in sources()
        if str(path.relative_to(ROOT)) not in OUR_OWN_TEXTS
        for line, pattern in patterns(tree)
        if pattern is None or repeats_without_an_end(pattern)
    ]
    assert endless == []


@pytest.mark.parametrize("pattern", [r"[^@\s]+@", "(a|b)*", "a{2,}", "(?:x(y*?))", r"(?=\d+)"])
def test_a_pattern_that_repeats_without_an_end_is_found(pattern: str) -> None:
    tree = ast.parse(f"import re\nre.compile(r'{pattern}').match(text)")
    assert [pattern for _, pattern in patterns(tree)] == [pattern]
    assert repeats_without_an_end(pattern)


def patterns(tree: ast.Module) -> Iterator[tuple[int, str | None]]:
    """Each pattern that is handed to ``re``, and its line; None where it can't be read."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in PATTERNS
        ):
            yield node.lineno, pattern_in(node.args[0])


def pattern_in(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):  # what is filled in is a number
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "1" for part in parts
            )
    return None


def repeats_without_an_end(pattern: str) -> bool:
    def has_one(parsed: object) -> bool:
        if isinstance(parsed, tuple) and len(parsed) == 2 and "REPEAT" in str(parsed[0]):
            return parsed[1][1] == MAXREPEAT or has_one(parsed[1][2])
        if isinstance(parsed, SubPattern | tuple | list):
            return any(has_one(part) for part in parsed)
        return False

    return has_one(parse(pattern))


def test_addresses_are_read_in_one_place() -> None:
    """Whoever needs an address asks ``addresses``, which looks at its length first."""
    users = [
        str(path.relative_to(ROOT))
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "email_validator"
    ]
    assert users == ["fundraiser/addresses.py"]


# These split what the operator or staff entered, where what can't be split is an error of its own.
SPLIT_SETTINGS = {
    "fundraiser/campaigns/outgoing_webhook.py",
    "fundraiser/campaigns/forms.py",
    "fundraiser/config.py",
    "fundraiser/doctor/database.py",
    "fundraiser/emails/smtp.py",
    "fundraiser/newsroom/passkeys.py",
    "fundraiser/payments/stripe/hosted.py",
    "fundraiser/security.py",
}


def test_urls_that_anybody_sends_are_read_in_one_place() -> None:
    """``urlsplit`` raises ValueError for ``//[``, which was an error of ours on three pages."""
    users = {
        str(path.relative_to(ROOT))
        for path, tree in sources()
        if re.search(r"\burl(split|parse)\b", ast.unparse(tree))
    }
    assert users - SPLIT_SETTINGS == {"fundraiser/addresses.py"}


def test_only_config_reads_the_environment() -> None:
    places = [
        str(path.relative_to(ROOT))
        for path, tree in sources()
        if re.search(r"os\.(environ|getenv)", ast.unparse(tree))
    ]
    assert set(places) <= {"fundraiser/config.py", "fundraiser/cli/service.py"}


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


def test_what_anybody_may_send_is_small(app: FundraiserApp, client: FlaskClient) -> None:
    """However large it says it is: nothing is read, parsed or looked up before."""
    taken = []
    for rule in app.url_map.iter_rules():
        if "POST" not in (rule.methods or set()) or not security.is_public(rule.endpoint):
            continue
        path = re.sub("<[^>]+>", "1", rule.rule)
        largest = bodies.LARGEST if path.startswith("/webhooks/") else bodies.LARGEST_OF_ANYBODY
        form = {"email": "a@" + "." * largest}
        answer = client.post(path, data=form, headers={"Origin": "http://127.0.0.1:8000"})
        if answer.status_code not in {413, 405}:
            taken.append((path, answer.status_code))
    assert taken == []


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
        ("fundraiser/members/eligibility.py", "import fundraiser.payments.sync", "House"),
        ("fundraiser/campaigns/progress.py", "import workers.app", "Halves"),
        ("fundraiser/members/counting.py", "import stripe", "Only the gateway"),
        ("chaos/oracle.py", "import fundraiser.members.eligibility", "The fault run's oracle"),
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


def test_forms_and_queries_are_read_apart() -> None:
    """Only the search for NUL looks into both."""
    users = [
        str(path.relative_to(ROOT))
        for path, tree in sources()
        if re.search(r"request\.values\b", ast.unparse(tree))
    ]
    assert users == ["fundraiser/security.py"]


def test_no_process_waits_for_the_passkeys_library(environment: dict[str, str]) -> None:
    program = (
        "import sys; from fundraiser.app import create_app; create_app();"
        "print('webauthn' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.split() == ["False"]
