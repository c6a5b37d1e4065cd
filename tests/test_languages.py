"""Languages are data: a third one is a line and a catalogue, and is offered everywhere.

The tests of this file hold for each language there is. The last one adds a language to a copy of
the service, and runs the others there.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from fundraiser.members.models import Member
from fundraiser.texts import DEFAULT_LANGUAGE, LANGUAGES
from tests.staff import PAGE, hire, read, sign_in

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog
    from bs4 import BeautifulSoup
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from tests.members import Olena

ROOT = Path(__file__).parent.parent
# A language of the European Union whose figures, dates and sums are written in a way of their own.
THIRD, ITS_NAME = "lv", "Latviešu"
each_language = pytest.mark.parametrize("code", LANGUAGES)


def choices(page: BeautifulSoup, selector: str) -> set[str]:
    """The values of a page's select or radios."""
    return {str(found["value"]) for found in page.select(selector)}


@pytest.fixture(name="staff")
def staff_browser(client: FlaskClient, database: Database) -> FlaskClient:
    sign_in(client, hire(database))
    return client


@each_language
def test_readers_can_switch_to_each_language_and_read_it(olena: Olena, code: str) -> None:
    for path in ("/", "/join", "/how-we-count", "/account", "/staff/sign-in"):
        page = read(olena.client, path, query_string={"lang": code})
        assert page.html
        assert page.html["lang"] == code
        others = {str(link["hreflang"]) for link in page.select("a[hreflang]")}
        assert others == set(LANGUAGES) - {code}, path


@each_language
def test_the_widget_speaks_each_language(olena: Olena, code: str) -> None:
    shown = olena.client.get(f"/campaigns/25000/appearance?lang={code}").json
    assert shown
    assert shown["language"] == code
    assert set(shown["headline"]) == set(LANGUAGES)
    assert {len(tier["name"]) for tier in shown["tiers"]} == {len(LANGUAGES)}
    assert f'lang="{code}"' in olena.client.get(f"/campaigns/25000/embed?lang={code}").text
    pictures = {
        olena.client.get(f"/campaigns/25000/progress.svg?lang={each}").text for each in LANGUAGES
    }
    assert len(pictures) == len(LANGUAGES)


@each_language
def test_members_choose_each_language_for_our_emails(olena: Olena, code: str) -> None:
    page = read(olena.client, "/account/details")
    assert choices(page, "[name=language] option, [name=language][type=radio]") == set(LANGUAGES)
    gift = read(olena.client, "/gift")
    assert choices(gift, "[name=to_language] option, [name=language] option") >= set(LANGUAGES)
    with olena.database.transaction() as session:
        session.get_one(Member, olena.member_id).language = code
    assert LANGUAGES[code] in read(olena.client, "/account").text


@each_language
@pytest.mark.usefixtures("olena")
def test_staff_write_and_see_each_language(
    staff: FlaskClient, app: FundraiserApp, code: str
) -> None:
    for path, names in (
        ("/staff/tiers/new", ("names", "descriptions", "perks")),
        ("/staff/campaigns/new", ("headlines", "messages")),
    ):
        page = read(staff, path)
        for name in names:
            assert page.select_one(f"#{name}-{code}[lang={code}]"), (path, name)
    page = read(staff, "/staff/campaigns/25000/widget", query_string={"lang": code})
    assert choices(page, "#lang option") == {"", *LANGUAGES}
    for name in ("html", "ghost", "server", "iframe", "newsletter"):
        snippet = page.select_one(f"#code-{name}")
        assert snippet
        assert re.search(rf'\blang="?{code}\b', snippet.text), name
    kinds = next(
        rule
        for rule in app.url_map.iter_rules()
        if rule.arguments == {"kind"} and str(rule.endpoint).endswith(".show")
    )
    kind = kinds.rule.replace("<kind>", "welcome")
    page = read(staff, kind, query_string={"language": code})
    switch = {str(link["lang"]): link for link in page.select(".switch a[lang]")}
    assert set(switch) == set(LANGUAGES)
    assert switch[code].get("aria-current") == "true"


def test_no_code_names_a_language() -> None:
    """But for the one line, what is written in English, and the demonstration's own texts."""
    codes = "|".join(set(LANGUAGES) - {DEFAULT_LANGUAGE})
    named = re.compile(rf"""_(?:en|{codes})\b|["'](?:{codes})["']|["']\]?\.(?:{codes})\b""")
    files = [
        *(ROOT / "fundraiser").rglob("*.py"),
        *(ROOT / "workers").rglob("*.py"),
        *(ROOT / "migrations").rglob("*.py"),
        *(ROOT / "templates").rglob("*.*"),
    ]
    found = {
        (file.relative_to(ROOT).as_posix(), line.strip())
        for file in files
        for line in file.read_text().splitlines()
        if named.search(line)
    }
    line = 'LANGUAGES = {"en": "English", "uk": "Українською"}'
    assert {(name, text) for name, text in found if not text.startswith("LANGUAGES = ")} == set()
    assert len(found) == 1, line


@pytest.mark.skipif(THIRD in LANGUAGES, reason="This is the copy that has it.")
@pytest.mark.timeout(300)
def test_a_third_language_is_one_line_and_one_catalogue(tmp_path: Path) -> None:
    ours = ("fundraiser", "migrations", "simulator", "demo", "templates", "tests", "workers")
    skip = shutil.ignore_patterns("__pycache__", "browser")
    for folder in ours:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=skip)
    for file in ("pyproject.toml", "alembic.ini", ".env.example", "Procfile"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, tmp_path)
    texts = tmp_path / "fundraiser/texts.py"
    changed, count = re.subn(
        r"^(LANGUAGES = \{.*)\}$",
        rf'\1, "{THIRD}": "{ITS_NAME}"}}',
        texts.read_text(),
        flags=re.MULTILINE,
    )
    assert count == 1
    texts.write_text(changed)
    add_catalogue(tmp_path / "fundraiser/translations")
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-q"]
    answer = subprocess.run(
        [*command, "tests/test_languages.py", "-k", f"{THIRD} or catalogue_is_read"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-2000:]
    assert re.search(r"\b5 passed", answer.stdout), answer.stdout[-1000:]


@pytest.mark.usefixtures("olena")
def test_the_third_catalogue_is_read_where_it_is_known(client: FlaskClient) -> None:
    page = client.get(f"/?lang={THIRD}", headers=PAGE).text
    assert ("⟦How we count⟧" in page) is (THIRD in LANGUAGES)


def add_catalogue(folder: Path) -> None:
    """A catalogue in which each message stands in brackets."""
    with (ROOT / "fundraiser/translations/uk/LC_MESSAGES/messages.po").open("rb") as file:
        written: Catalog = read_po(file, locale=THIRD)
    for message in written:
        if not message.id:
            continue
        is_plural = isinstance(message.id, tuple)
        last = f"⟦{message.id[-1] if is_plural else message.id}⟧"
        message.string = (last,) * written.num_plurals if is_plural else last
    target = folder / THIRD / "LC_MESSAGES"
    target.mkdir(parents=True)
    for name, write in (("messages.po", write_po), ("messages.mo", write_mo)):
        packed = io.BytesIO()
        write(packed, written)
        (target / name).write_bytes(packed.getvalue())
