"""The newspaper's pages, with the content security policy of a strict site."""

from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Flask, Response, abort, render_template, send_from_directory

from demo.newspaper.articles import load_articles
from demo.settings import CAMPAIGN, CHECKOUT

FONTS = CHECKOUT / "fundraiser" / "static" / "fonts"
ZONE = ZoneInfo("Europe/London")
WORDS = {
    "en": {
        "minutes": "minute read",
        "by": "By",
        "more": "More from the Ledger",
        "join": "Become a member",
        "count": "How many members this newsroom has, and how many it needs",
    },
    "uk": {
        "minutes": "хв читання",
        "by": "Текст:",
        "more": "Ще з «Леджера»",
        "join": "Підтримати редакцію",
        "count": "Скільки читачів підтримує редакцію і скільки потрібно",
    },
}
MONTHS_UK = [
    *("січня", "лютого", "березня", "квітня", "травня", "червня"),
    *("липня", "серпня", "вересня", "жовтня", "листопада", "грудня"),
]


def create_newspaper(app_url: str) -> Flask:
    """Make the newspaper; ``app_url`` is the origin of the widget."""
    app = Flask(__name__)
    app.add_template_filter(moment)
    app.add_template_filter(day)
    opened = datetime.now(ZONE).replace(second=0, microsecond=0)
    articles = load_articles(opened)
    sections = list(dict.fromkeys(article.section for article in articles.values()))
    policy = (
        f"default-src 'none'; script-src {app_url}; connect-src {app_url}; "
        f"img-src 'self' {app_url}; style-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    @app.context_processor
    def shared() -> dict[str, object]:
        return {
            "app_url": app_url,
            "campaign": CAMPAIGN,
            "sections": sections,
            "today": datetime.now(ZONE),
            "words": WORDS,
        }

    @app.get("/")
    def front() -> str:
        lead, *others = articles.values()
        return render_template("front.html", lead=lead, others=others)

    @app.get("/sections/<name>")
    def section(name: str) -> str:
        found = [article for article in articles.values() if article.section.lower() == name]
        if not found:
            abort(404)
        return render_template("section.html", name=found[0].section, articles=found)

    @app.get("/articles/<slug>")
    def article(slug: str) -> str:
        chosen = articles.get(slug) or abort(404)
        more = [other for other in articles.values() if other is not chosen][:4]
        return render_template("article.html", article=chosen, more=more, lang=chosen.lang)

    @app.get("/fonts/<path:name>")
    def font(name: str) -> Response:
        return send_from_directory(FONTS, name, max_age=86400)

    @app.errorhandler(404)
    def missing(_error: Exception) -> tuple[str, int]:
        return render_template("missing.html"), 404

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return app


def moment(time: datetime, lang: str = "en") -> str:
    """Say the time alone for today, with the day for what is older."""
    if time.date() == datetime.now(ZONE).date():
        return f"{time:%H:%M}"
    return f"{day(time, lang)}, {time:%H:%M}"


def day(time: datetime, lang: str = "en") -> str:
    return f"{time.day} {MONTHS_UK[time.month - 1]}" if lang == "uk" else f"{time:%-d %B}"
