"""Pages as tests read them: by what templates name with ``data-test``, not by their sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bs4 import BeautifulSoup

if TYPE_CHECKING:
    from werkzeug.test import TestResponse


class PageText(str):
    """The text of a page, and the names that its template gives to what is on it.

    ``marks``: each ``data-test``. ``parts``: the text of the first element of each name.
    ``wrong``: the fields that the summary of errors leads to.
    """

    __slots__ = ("marks", "parts", "wrong")
    marks: list[str]
    parts: dict[str, str]
    wrong: list[str]

    @classmethod
    def of(cls, page: TestResponse | BeautifulSoup) -> Self:
        soup = page if isinstance(page, BeautifulSoup) else BeautifulSoup(page.text, "html.parser")
        text = cls(soup.get_text(" ", strip=True))
        named = soup.select("[data-test]")
        text.marks = [str(found["data-test"]) for found in named]
        text.parts = {
            str(found["data-test"]): " ".join(found.get_text(" ").split())
            for found in reversed(named)
        }
        text.wrong = [str(link["href"])[1:] for link in soup.select("#errors a[href^='#']")]
        return text
