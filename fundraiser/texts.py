"""Languages, and formatting of numbers, dates and amounts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from babel.core import Locale, get_global
from babel.dates import format_date, format_datetime, format_time
from flask import g, request
from flask_babel import (
    Babel,
    force_locale,
    format_decimal,
    get_locale,
    gettext as translate,
    ngettext,
    refresh,
)
from markupsafe import Markup, escape

from fundraiser.config import current_settings
from fundraiser.db import now
from fundraiser.money import Money, format_exact, format_money

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask

# By code, each in its own words. A language is a line here and a catalogue in ``translations/``.
LANGUAGES = {"en": "English", "uk": "Українською"}
DEFAULT_LANGUAGE = "en"  # in which the code's own texts are written, and which is never missing


def N_(message: str) -> str:
    """Mark a message for the catalogue at its declaration; translate it with ``gettext`` later."""
    return message


def gettext(message: str, **values: object) -> str:
    """Translate a message into the current language, with its named values."""
    return str(translate(message, **values))


class Named(str):
    """A sentence with a name, by which tests find it."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, name: str, text: str) -> Self:
        sentence = super().__new__(cls, text)
        sentence.name = name
        return sentence


def data_test(sentence: str) -> Markup:
    """The ``data-test`` attribute for a sentence that has a name."""
    name = getattr(sentence, "name", "")
    return Markup(' data-test="{}"').format(name) if name else Markup("")


def language() -> str:
    """The current language."""
    locale = get_locale()
    return known_language(locale.language if locale else "")


def known_language(code: str) -> str:
    """The language of this code, or the default one if we don't support it."""
    return code if code in LANGUAGES else DEFAULT_LANGUAGE


def name_of_language(code: str) -> str:
    """A language's name in the current language: Ukrainian, англійська."""
    return str(Locale(code).get_display_name(language()))


def script_of(code: str) -> str:
    """The script of a language, by ISO 15924: Latn, Cyrl."""
    return str(get_global("likely_subtags")[code]).split("_")[1]


def by_language(texts: dict[str, str]) -> str:
    """The text in the current language, or the default one; empty if neither exists."""
    return texts.get(language()) or texts.get(DEFAULT_LANGUAGE, "")


def in_each_language(message: str) -> dict[str, str]:
    """Translate one of our messages into every language."""
    texts = {}
    for code in LANGUAGES:
        with force_locale(code):
            texts[code] = gettext(message)
    return texts


def keep_language(_endpoint: str, values: dict[str, Any]) -> None:
    """Keep a language chosen by hand on readers' pages, without a cookie."""
    if request and request.args.get("lang") in LANGUAGES:
        values.setdefault("lang", request.args["lang"])


def init_app(app: Flask) -> None:
    """Choose the language by ``?lang=`` or the browser, and set up templates."""
    Babel(app, locale_selector=_choose)
    app.jinja_env.filters.update(
        breakable=breakable,
        by_language=by_language,
        data_test=data_test,
        capitalize_first=lambda text: text[:1].upper() + text[1:],
        dateformat=date,
        last_day=last_day,
        timeformat=time,
        datetimeformat=date_and_time,
        money=lambda amount, currency: format_money(Money(amount, currency), language()),
        exact=lambda amount, currency: format_exact(Money(amount, currency), language()),
        number=format_decimal,
    )
    app.context_processor(_context)


def breakable(address: str) -> Markup:
    """An e-mail address that may wrap only before its dots and after its @."""
    return Markup(re.sub(r"(@)|(?=\.)", r"\1<wbr>", str(escape(address))))  # noqa: S704 - escaped


def date(at: datetime, form: str = "long") -> str:
    """Format a day in the newsroom's time zone: 3 March 2026."""
    return format_date(_local(at), form, locale=_calendar())


def last_day(at: datetime, form: str = "long") -> str:
    """Format the last day of what ends at this time: what ends at midnight ended the day before."""
    return date(at - timedelta(microseconds=1), form)


def time(at: datetime) -> str:
    """Format a time of day in the newsroom's time zone: 14:32."""
    return format_time(_local(at), "HH:mm", locale=_calendar())


def date_and_time(at: datetime) -> str:
    """Format a date and time: 3 March 2026, 14:32."""
    return format_datetime(_local(at), "d MMMM y, HH:mm", locale=_calendar())


def _calendar() -> str:
    """The locale for dates, with European order: 3 March, not March 3."""
    return "en_GB" if language() == "en" else language()


def _local(at: datetime) -> datetime:
    return at.astimezone(current_settings().newsroom_timezone)


def speak(code: str) -> None:
    """Answer the rest of the request in this language, unless its URL names another."""
    g.spoken = code
    refresh()


def _choose() -> str | None:
    for wish in (request.args.get("lang"), g.get("spoken")) if request else ():
        if wish in LANGUAGES:
            return str(wish)
    return request.accept_languages.best_match(LANGUAGES) if request else None


def _in_language(code: str) -> str:
    """The current page's URL in another language."""
    query = request.args.to_dict() | {"lang": code}
    return f"{request.path}?{urlencode(query)}"


def _context() -> dict[str, Any]:
    settings = current_settings()
    here = language()
    return {
        "language": here,
        "languages": LANGUAGES,
        "script": script_of(here),
        "other_languages": [(code, name) for code, name in LANGUAGES.items() if code != here],
        "in_language": _in_language,
        "default_language": name_of_language(DEFAULT_LANGUAGE),
        "newsroom_name": settings.newsroom_name,
        "newsroom_url": settings.newsroom_url,
        "newsroom_address": settings.newsroom_address,
        "privacy_url": settings.privacy_url,
        "imprint_url": settings.imprint_url,
        "public_url": settings.public_url,
        "today": now(),
    }


def each_time(amount: str, interval: str | None, count: int = 1) -> str:
    """An amount and its interval in words: each ``count`` intervals (Stripe's: day, week, …)."""
    match interval, count:
        case "month", 1:
            return gettext("%(amount)s a month", amount=amount)
        case "year", 1:
            return gettext("%(amount)s a year", amount=amount)
        case "week", 1:
            return gettext("%(amount)s a week", amount=amount)
        case "day", 1:
            return gettext("%(amount)s a day", amount=amount)
        case "month", _:
            return str(
                ngettext(
                    "%(amount)s every %(num)s month",
                    "%(amount)s every %(num)s months",
                    count,
                    amount=amount,
                )
            )
        case "year", _:
            return str(
                ngettext(
                    "%(amount)s every %(num)s year",
                    "%(amount)s every %(num)s years",
                    count,
                    amount=amount,
                )
            )
        case "week", _:
            return str(
                ngettext(
                    "%(amount)s every %(num)s week",
                    "%(amount)s every %(num)s weeks",
                    count,
                    amount=amount,
                )
            )
        case "day", _:
            return str(
                ngettext(
                    "%(amount)s every %(num)s day",
                    "%(amount)s every %(num)s days",
                    count,
                    amount=amount,
                )
            )
    return amount
