"""Where members came from, by title and path: a widget's link names the page it stands in."""

from __future__ import annotations

from urllib.parse import unquote

from fundraiser.addresses import read_url
from fundraiser.config import current_settings
from fundraiser.texts import gettext as _


def article(ref: str) -> str:
    """A link's ``ref`` for people: "Harbour tide gauges · /articles/harbour-tide-gauges".

    The title is read from the path's last part. The newsroom's own host is left out. What isn't a
    page's address, such as a newsletter's tag, stays as it is.
    """
    host, slash, rest = ref.partition("/")
    is_page = "." in host or ":" in host
    if not is_page or " " in host:
        return ref
    path = unquote(slash + rest)
    shown = path if host == _own_host() else host + path
    if path.strip("/") == "":
        return _("Home page") if host == _own_host() else host
    title = _title(path)
    return f"{title} · {shown}" if title else shown


def _own_host() -> str:
    return read_url(current_settings().newsroom_url or "").netloc


def _title(path: str) -> str:
    """The words of a path's last part; empty if it is only a number or a code."""
    last = path.rstrip("/").rpartition("/")[2].partition(".")[0]
    words = last.replace("_", "-").split("-")
    said = [word for word in words if word and not word.isdecimal()]
    if len(said) < 2:  # noqa: PLR2004 - one word may be a code
        return ""
    title = " ".join(said)
    return title[:1].upper() + title[1:]
