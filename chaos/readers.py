"""Readers of several hosts' public address: they read pages and join, and note each error."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGES = (
    *("/", "/join", "/gift", "/how-we-count", "/account/sign-in", "/staff/sign-in"),
    *("/campaigns/25000", "/campaigns/25000/embed", "/campaigns/25000/progress"),
    *("/campaigns/25000/appearance", "/widget.js"),
)
_SERVER_ERROR, _NOT_FOUND, _SEE_OTHER = 500, 404, 303
_CARD = {
    "billingName": "Olena Hrytsenko",
    "billingCountry": "GB",
    "method": "card",
    "cardNumber": "4242424242424242",
    "cardExpiry": "12/60",
    "cardCvc": "123",
}


class _Form(HTMLParser):
    """What a browser would send of the first form, and which of our files the page needs."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.files: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind = given.get("name"), given.get("type")
        if tag == "input" and name and (kind == "hidden" or "checked" in given):
            self.fields[name] = given.get("value") or ""
        for attribute in ("src", "href"):
            address = given.get(attribute) or ""
            if tag in {"script", "link"} and address.startswith(("/static/", "/widget")):
                self.files.append(address)


@dataclass
class Readers:
    """``phase`` names what happens meanwhile; ``errors`` are lines, ``answers`` counts by phase."""

    url: str
    phase: str = ""
    answers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, *, reading: int, joining: int) -> None:
        """Begin, in so many threads of each kind."""
        kinds: list[Callable[[requests.Session], None]] = [self._read] * reading
        for work in (*kinds, *[self._join] * joining):
            thread = threading.Thread(target=self._repeat, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End when each has finished what it does."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _repeat(self, work: Callable[[requests.Session], None]) -> None:
        while not self._over.is_set():
            with requests.Session() as browser:
                browser.trust_env = False
                browser.headers.update({"Accept": "text/html", "Origin": self.url})
                work(browser)

    def _read(self, browser: requests.Session) -> None:
        for path in _PAGES:
            page = self._send(browser, "GET", path)
            if page is not None and path in {"/", "/campaigns/25000/embed"}:
                for file in _Form(page.text).files:
                    self._send(browser, "GET", file)

    def _join(self, browser: requests.Session) -> None:
        page = self._send(browser, "GET", "/join")
        if page is None:
            return
        form = _Form(page.text).fields
        answer = self._send(browser, "POST", "/join", form)
        if answer is None or answer.status_code != _SEE_OTHER:
            return
        hosted = answer.headers["Location"]
        email = f"{uuid4().hex}@example.org"
        requests.post(hosted, data=_CARD | {"email": email}, allow_redirects=False, timeout=30)
        self.joined.append(email)
        query = urlencode({"session_id": hosted.rsplit("/", 1)[1]})
        self._send(browser, "GET", f"/join/thanks?{query}")
        time.sleep(0.5)

    def _send(
        self,
        browser: requests.Session,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
    ) -> requests.Response | None:
        """The answer; None if it is an error, which is noted."""
        phase, said = self.phase, ""
        try:
            answer = browser.request(
                method, f"{self.url}{path}", data=form, allow_redirects=False, timeout=60
            )
            if answer.status_code >= _SERVER_ERROR or answer.status_code == _NOT_FOUND:
                said = str(answer.status_code)
        except requests.RequestException as error:
            said = type(error).__name__
        self.answers[phase] += 1
        if said:
            self.errors.append(f"{phase}: {method} {path.partition('?')[0]}: {said}")
            return None
        return answer
