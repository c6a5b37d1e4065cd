"""Every route and every form, with values of wrong types, sizes and encodings: never a fault.

Each answer is below 500, and what was logged has no traceback and nobody's address or name.
`FUZZ_EXAMPLES=500 python -m pytest tests/test_fuzz.py -n 0` tries 500 a route, in hours.
"""

from __future__ import annotations

import logging
import os
import random
import re
from collections import defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

import pytest
import structlog
from bs4 import BeautifulSoup
from flask import request
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from sqlalchemy import delete
from werkzeug.datastructures import ImmutableMultiDict

from fundraiser.account.models import MemberSession
from fundraiser.newsroom.models import Role
from fundraiser.redaction import redact
from fundraiser.security import limiter, public
from fundraiser.sources import batches
from tests.factories import make_member
from tests.members import OURS, Olena, sign_in as sign_in_member
from tests.sources import EXAMPLES as FILES_OF_OTHERS, GRACE
from tests.staff import PAGE, cookie_of, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient
    from hypothesis.strategies import SearchStrategy
    from werkzeug.routing import Rule
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database
    from tests.factories import Stripe

FORM = "application/x-www-form-urlencoded"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
pytestmark = pytest.mark.timeout(75 * max(EXAMPLES, 4))
READER, NAME = "fuzz.reader@example.org", "Fuzzina Quillfeather"
IS_FAULT_BY_STANDARD = {("/oembed", 501)}  # oEmbed's own answer to another format than JSON

ODD = [
    *("", " ", "0", "-1", "1", "2", "9" * 23, "1e309", "NaN", "null", "[]", "{}", "true", "on"),
    *("é", "\u202eevil", "\u2028", "\0", "😀" * 50, "a" * 5_000, "%", "%s %(name)s {name} {{7*7}}"),
    *("<script>alert(1)</script>", "' OR 1=1 --", "2026-13-45", "2026-02-30T25:61", "../../etc"),
    *("GBP", "XAU", "month", "member", "25000", "en", "uk", "2026", "2026-11", "10.005", "٣"),
    *(READER, f"{READER}\r\nBcc: x@example.org", f"{NAME} <{READER}>", "a@" + "." * 300),
    *("https://evil.example/", "//evil.example", "javascript:alert(1)", "http://[::1", "//["),
    *("cs_test_1", "cus_1", "sub_1", "9999-12-31T23:59", "0001-01-01T00:00", "1" + "0" * 18),
]
VALUES = st.one_of(
    st.sampled_from(ODD), st.text(max_size=40), st.integers().map(str), st.floats().map(str)
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("Accept", "Accept-Encoding", "Accept-Language", "Cookie", "Host", "If-None-Match"),
            *("If-Modified-Since", "Origin", "Range", "Referer", "Sec-Fetch-Mode", "User-Agent"),
            *("X-Forwarded-For", "X-Forwarded-Proto", "Authorization", "Stripe-Signature"),
        ]
    ),
    st.sampled_from(
        [
            *("", "*", "text/html", "é", "uk;q=9", "unknown", "[::1]:1", "bytes=9-1", "a" * 900),
            *('W/"', "t=1,v1=é", "Bearer ", "http://[", "Thu, 99 Foo 9999 99:99:99 GMT", "member="),
        ]
    ),
    max_size=3,
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"\xff=\xfe&email=\xc3", b"%ff=%00", b"&" * 2_000, b"a" * 20_000, b"=" * 99]),
    st.sampled_from([b"[" * 9_000, b'{"a":' * 2_000, b"NaN", b"1" * 5_000, b"{}", b"[]", b"null"]),
    st.sampled_from(
        [b"--x\r\n\r\n", b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\n']
    ),
)
EVERY_FILE = [
    *(path.read_bytes() for path in sorted(FILES_OF_OTHERS.iterdir()) if path.suffix != ".md"),
    *(b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\xff\xfe\x00", b"{}", b"[" * 5_000, b"<?xml"),
    b"E-mail,Paid until\n" + f"{READER},2030-01-01\n".encode() * 3,
    b'{"members":[{"subscriptions":[{"price":1,"status":[]}]}, null]}',
]
FILES = st.one_of(
    st.sampled_from(EVERY_FILE),
    st.binary(max_size=200),
    # One of them, cut off or with a piece of another in its middle.
    st.tuples(st.sampled_from(EVERY_FILE), st.integers(0, 2_000), st.binary(max_size=20)).map(
        lambda parts: parts[0][: parts[1]] + parts[2]
    ),
)
FILE_NAMES = st.one_of(
    st.sampled_from(["a.csv", "a.xlsx", "é.xml", "", "../../etc/passwd", "a" * 5_000, 'a".csv"']),
    st.text(max_size=20),
)
PART_HEADS = st.sampled_from(
    [
        *(b"", b"Content-Type: text/csv", b"Content-Transfer-Encoding: base64", b"X" * 9_000),
        *(b"Content-Type: application/zip; charset=utf-7", b"Content-Length: -1", b":", b"\xff: x"),
    ]
)
TYPES = st.sampled_from(
    [
        *("", "application/json", "text/plain", FORM, "é/é;;="),
        *("multipart/form-data", "multipart/form-data; boundary=x", "text/html; charset=utf-7"),
    ]
)


class Asked(ImmutableMultiDict[str, str]):
    """A form or query that notes the names that a view asks for."""

    names: ClassVar[defaultdict[str, set[str]]] = defaultdict(set)

    def __getitem__(self, key: str) -> str:
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._note(key)
        return super().__contains__(key)

    def getlist(self, key: str, type: Any = None) -> list[Any]:  # noqa: A002 - as Werkzeug names it
        self._note(key)
        return super().getlist(key, type=type)

    def _note(self, key: object) -> None:
        if request and request.url_rule and isinstance(key, str):
            self.names[request.url_rule.rule].add(key)


class Door:
    """A browser in which a member and an administrator are signed in, again if they were not."""

    def __init__(
        self,
        olena: Olena,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.client, self.database, self.app = olena.client, olena.database, olena.stripe.app
        self.member_id = olena.member_id
        self.places = {
            "slug": "25000",
            "name": olena.customer,
            "month": "2026-11",
            "kind": "welcome",
            "what": "role",
            "filename": "site.css",
            "batch_id": "1",
            "merge_id": "1",
            "member_id": str(olena.member_id),
            "membership_id": str(olena.membership.id),
        }
        self._capsys, self._caplog = capsys, caplog
        self.email = hire(self.database, Role.ADMIN)
        self.sign_in()

    def sign_in(self) -> None:
        with self.database.transaction() as session:
            session.execute(delete(MemberSession))
        self.client.delete_cookie("staff")
        limiter.reset()
        sign_in_member(self.client, self.database, self.member_id)
        sign_in(self.client, self.email)
        self.token = csrf_token(self.client, "/staff/account")

    def knock(self, path: str, method: str, **sent: Any) -> TestResponse:
        """Send a request; what is answered and logged is looked through."""
        sent["headers"] = PAGE | OURS | sent.get("headers", {})
        self._read_log()
        answer = self.client.open(path, method=method, **sent)
        answer.get_data()
        answer.close()
        log = self._read_log()
        if (urlsplit(path).path, answer.status_code) not in IS_FAULT_BY_STANDARD:
            assert answer.status_code < 500, (method, path, sent, answer.status_code, log)
        assert "Traceback" not in log, (method, path, sent, log)
        for personal in (READER, NAME, "olena@example.org", "Iryna Bondar", self.email):
            assert personal not in log, (method, path, sent, log)
            assert personal not in cookie_of(self.client), (method, path, sent)
        if "/sign-in" in answer.headers.get("Location", ""):
            self.sign_in()
        return answer

    def _read_log(self) -> str:
        """Our lines, and those of libraries as ``configure_logging`` writes them."""
        libraries = redact(self._caplog.text)
        self._caplog.clear()
        return "".join(self._capsys.readouterr()) + libraries

    def fill(self, rule: Rule, value: str | None) -> str:
        """The rule's address with what is there in each place, or this value, escaped."""

        def filled(place: re.Match[str]) -> str:
            name = place[0].strip("<>").rpartition(":")[2]
            there = self.places.get(name, "1")
            return quote(there if value is None else value[:300], safe="") or "1"

        return re.sub(r"<[^>]+>", filled, rule.rule)


@pytest.fixture
def door(
    stripe: Stripe,
    client: FlaskClient,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Door:
    stripe.open_shop()
    monkeypatch.setattr(stripe.app.request_class, "parameter_storage_class", Asked)
    monkeypatch.setattr(Asked, "names", defaultdict(set))
    olena = Olena(stripe, client)
    with stripe.app.database.transaction() as session:
        make_member(session, email=READER, name=NAME)
    return Door(olena, capsys, caplog)


def rules(app: FundraiserApp) -> list[Rule]:
    return sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint))


many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    phases=[Phase.generate],  # no shrinking: a request that is repeated is another one
    suppress_health_check=list(HealthCheck),
)


def fields(names: set[str]) -> SearchStrategy[list[tuple[str, str]]]:
    """Pairs as a form has them, also the same name twice and one that nobody asks for."""
    known = [*sorted(names - {"csrf_token", "token"}), "x"]
    return st.lists(st.tuples(st.sampled_from(known), VALUES), max_size=8)


def test_no_route_has_a_fault_whatever_is_sent(app: FundraiserApp, door: Door) -> None:
    for rule in rules(app):
        for method in ("GET", "POST"):
            door.knock(door.fill(rule, None), method, data={"csrf_token": door.token})
        try_route(door, rule)
    assert len(set().union(*Asked.names.values())) > 80, "What views ask for is sent."


def try_route(door: Door, rule: Rule) -> None:
    sent = fields(Asked.names[rule.rule])

    @many
    @given(
        place=st.none() | VALUES,
        method=st.sampled_from([*sorted((rule.methods or set()) - {"OPTIONS"}), "PUT", "OPTIONS"]),
        query=sent,
        form=sent,
        headers=HEADERS,
        raw=st.none() | st.tuples(BODIES, TYPES),
    )
    def knock(  # noqa: PLR0917 - Hypothesis fills them by name
        place: str | None,
        method: str,
        query: list[tuple[str, str]],
        form: list[tuple[str, str]],
        headers: dict[str, str],
        raw: tuple[bytes, str] | None,
    ) -> None:
        body, kind = raw or (urlencode([("csrf_token", door.token), *form]).encode(), FORM)
        has_body = method in {"POST", "PUT"}
        door.knock(
            door.fill(rule, place),
            method,
            query_string=urlencode(query),
            headers=headers | ({"X-CSRFToken": door.token} if raw else {}),
            data=body if has_body else None,
            content_type=kind if has_body else None,
        )

    knock()


def forms(door: Door, app: FundraiserApp) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each form of each page as it stands: where it leads, and its fields."""
    seen = set()
    for rule in rules(app):
        if "GET" not in (rule.methods or set()):
            continue
        path = door.fill(rule, None)
        page = BeautifulSoup(door.knock(path, "GET").get_data(), "html.parser")
        for form in page.select("form"):
            action = urljoin(path, str(form.get("action") or path))
            named = form.select("input[name], select[name], textarea[name], button[name]")
            sent = [(str(field["name"]), str(field.get("value", ""))) for field in named]
            key = (re.sub(r"\d+", "1", action), tuple(sorted({name for name, _ in sent})))
            if key not in seen and not urlsplit(action).netloc:
                seen.add(key)
                yield action, sent


def test_no_form_has_a_fault_whichever_field_is_odd(app: FundraiserApp, door: Door) -> None:
    """As the page has it, but for one field; and so each odd value comes as far as it can."""
    choice = random.Random(None if "FUZZ_EXAMPLES" in os.environ else 14)  # noqa: S311 - no secret
    tried = 0
    for action, sent in list(forms(door, app)):
        names = sorted({name for name, _ in sent} - {"csrf_token", "token"})
        for name in names:
            for value in choice.sample(ODD, min(EXAMPLES, len(ODD))):
                fresh = {"csrf_token": door.token}
                data = [
                    (each, fresh.get(each, value if each == name else there))
                    for each, there in sent
                ]
                door.knock(action, "POST", data=urlencode(data), content_type=FORM)
                tried += 1
    assert tried > 100 * EXAMPLES


def multipart(form: list[tuple[str, str]], name: str, content: bytes, head: bytes) -> bytes:
    """A body as browsers write it, but for an odd head."""
    lines = []
    for field, value in form:
        lines += [b"--fuzz", f'Content-Disposition: form-data; name="{field}"'.encode()]
        lines += [b"", value.encode(errors="replace")]
    shown = name.replace('"', "%22").replace("\r", "").replace("\n", "")
    named = f'Content-Disposition: form-data; name="file"; filename="{shown}"'
    lines += [b"--fuzz", named.encode(errors="replace"), *([head] if head else []), b"", content]
    return b"\r\n".join([*lines, b"--fuzz--", b""])


def test_no_file_has_a_fault_whatever_is_in_it(door: Door) -> None:
    """Each is sent, looked at, read by a worker as staff say, brought in, downloaded and undone."""
    taken = set()

    @settings(many, max_examples=10 * EXAMPLES)
    @given(
        content=FILES,
        name=FILE_NAMES,
        head=PART_HEADS,
        form=fields({"format", "source", "encoding", "as_of"}),
        chosen=fields(
            {"encoding", "delimiter", "sheet", "as_of", "currency", "whole_list", "date_order"}
            | {"column-email", "column-until", "annual", "decimal"}
        ),
        is_guessed=st.booleans(),
    )
    def send(  # noqa: PLR0917 - Hypothesis fills them by name
        content: bytes,
        name: str,
        head: bytes,
        form: list[tuple[str, str]],
        chosen: list[tuple[str, str]],
        is_guessed: bool,  # noqa: FBT001 - by name
    ) -> None:
        told = [] if is_guessed else form
        answer = door.knock(
            "/staff/sources/files",
            "POST",
            data=multipart([("csrf_token", door.token), *told], name, content, head),
            content_type="multipart/form-data; boundary=fuzz",
        )
        if answer.status_code != HTTPStatus.SEE_OTHER:
            return
        page = answer.headers["Location"]
        token = {"csrf_token": door.token}
        read = urlencode([*token.items(), *([] if is_guessed else chosen)])
        door.knock(page, "GET")
        door.knock(f"{page}/reading", "POST", data=read, content_type=FORM)
        for act in ("application", "refused-rows/export", "undoing"):
            work(door.database)
            door.knock(page, "GET")
            taken.add(door.knock(f"{page}/{act}", "POST", data=token).status_code)
        work(door.database)
        door.knock("/staff/sources", "GET")

    send()
    assert HTTPStatus.OK in taken, "some files are brought in"


def work(database: Database) -> None:
    """What a worker does."""
    while batches.step_any(database, GRACE):
        pass


def fails(_error: str) -> str:
    raise KeyError(READER)


def tells(sentence: str) -> str:
    structlog.get_logger().warning("seen", what=sentence)
    return ""


def tells_its_way(_sentence: str) -> str:
    try:
        return str(int("nothing"))
    except ValueError:
        logging.getLogger("library").exception("failed")
    return ""


@pytest.mark.parametrize("view", [fails, tells, tells_its_way])
def test_the_fuzz_notices(door: Door, view: Callable[[str], str]) -> None:
    """The negative control: a fault, a name in the log, a traceback in it."""
    door.knock("/terms", "GET")
    door.app.view_functions["account.terms"] = public(lambda: view(NAME))
    with pytest.raises(AssertionError):
        door.knock("/terms", "GET")
