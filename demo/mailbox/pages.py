"""The mailbox's web pages."""

import sqlite3
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from typing import Any

from flask import Flask, Response, abort, jsonify, render_template, request

from demo.mailbox.store import Store

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# An e-mail runs nothing and belongs to no origin; its links open in a window of their own.
EMAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data: http://127.0.0.1:*; frame-ancestors 'self'"
)


def create_mailbox(store: Store) -> Flask:
    """Make the pages over a store."""
    app = Flask(__name__)

    @app.get("/")
    def emails() -> str:
        address = request.args.get("to", "")
        return render_template("emails.html", emails=store.newest(address), address=address)

    @app.get("/letters.json")
    def emails_as_json() -> Response:
        after = request.args.get("after", 0, type=int)
        rows = store.newest(request.args.get("to", ""), after)
        return jsonify([as_json(row) for row in rows])

    @app.get("/letters/<int:number>")
    def email(number: int) -> str:
        row = find(number)
        message = parse(row)
        return render_template(
            "email.html",
            row=row,
            sender=message["from"] or row["sender"],
            headers=message.items(),
            text=text_of(message, "plain"),
            has_html=bool(text_of(message, "html")),
        )

    @app.get("/letters/<int:number>/html")
    def email_html(number: int) -> Response:
        html = text_of(parse(find(number)), "html")
        page = Response(f'<base target="_blank">{html}', mimetype="text/html")
        page.headers["Content-Security-Policy"] = EMAIL_POLICY
        return page

    @app.get("/letters/<int:number>/source")
    def email_source(number: int) -> Response:
        return Response(find(number)["source"], mimetype="text/plain")

    def find(number: int) -> sqlite3.Row:
        return store.email(number) or abort(404)

    @app.template_filter("addresses")
    def addresses(recipients: str) -> str:
        return ", ".join(recipients.split())

    @app.template_filter("moment")
    def moment(received_at: str) -> str:
        return f"{datetime.fromisoformat(received_at):%-d %B %Y, %H:%M:%S} UTC"

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def parse(row: sqlite3.Row) -> EmailMessage:
    return message_from_bytes(row["source"], policy=modern)


def text_of(message: EmailMessage, kind: str) -> str:
    """Get the e-mail's text of a kind, plain or html; empty where it has none."""
    part = message.get_body((kind,))
    return str(part.get_content()) if part else ""


def as_json(row: sqlite3.Row) -> dict[str, Any]:
    message = parse(row)
    return {
        "id": row["id"],
        "received_at": row["received_at"],
        "from": row["sender"],
        "to": row["recipients"].split(),
        "subject": row["subject"],
        "headers": {name: str(value) for name, value in message.items()},
        "text": text_of(message, "plain"),
        "html": text_of(message, "html"),
    }
