"""create_app: builds the Flask app from its rooms."""

from __future__ import annotations

from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, jsonify, render_template, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DataError, OperationalError, TimeoutError as NoConnectionError
from sqlalchemy.orm import configure_mappers
from werkzeug.exceptions import HTTPException

from fundraiser import db, health, security, texts
from fundraiser.account import (
    address_undo,
    gift_acceptance,
    invitation as account_invitation,
    late as account_late,
    person as account_person,
    sign_in as account_sign_in,
    views as account,
    withdrawal as account_withdrawal,
)
from fundraiser.config import Settings, load_settings
from fundraiser.dashboard import views as dashboard
from fundraiser.dashboard.bulk import views as bulk_pages
from fundraiser.dashboard.campaigns import (
    milestone_views,
    picture_views,
    tier_views,
    views as campaign_pages,
    widget_views,
)
from fundraiser.dashboard.emails import views as email_pages
from fundraiser.dashboard.finance import exchange_rates, views as money_pages
from fundraiser.dashboard.members import (
    actions,
    label_views,
    list_views,
    merge_views,
    name_views,
    saved_views,
    session_views,
)
from fundraiser.dashboard.mrr import views as income_views
from fundraiser.dashboard.overdue import views as overdue_views
from fundraiser.dashboard.overview import chart_views, failed_syncs
from fundraiser.dashboard.retention import views as retention_views
from fundraiser.dashboard.service import views as service_views
from fundraiser.dashboard.sources import by_hand_views, live_views, views as source_pages
from fundraiser.dashboard.team import second_step_views, security_views, views as staff_pages
from fundraiser.db import Database, Pool, web_pool
from fundraiser.emails import views as emails
from fundraiser.errors import FundraiserError
from fundraiser.folders import folder
from fundraiser.incidents import Incidents, Kind, has_noted, note
from fundraiser.jobs import Hints
from fundraiser.joining import gift_views, views as campaigns
from fundraiser.logs import configure_logging
from fundraiser.measures import Measures
from fundraiser.newsroom import sign_in, views as newsroom
from fundraiser.payments import AccountGateway, MemberGateway, MoneyGateway, patience
from fundraiser.texts import gettext as _
from fundraiser.webhooks import views as webhooks
from fundraiser.webhooks.inbox import Inbox
from fundraiser.widget import views as widget

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue


_PATIENCE = 15.0  # seconds that a page waits for Stripe in all
_SOON = "10"  # seconds until somebody who met an overload tries again


class FundraiserApp(Flask):
    """A Flask app that runs each request in one transaction, committed unless it answers an error.

    Up to ``waiting_for_stripe`` threads may wait for Stripe at once; the rest serve other pages.
    """

    database: Database
    waiting_for_stripe: BoundedSemaphore

    def full_dispatch_request(self) -> Response:
        waiting = patience(_PATIENCE, urgent=True, places=self.waiting_for_stripe)
        with waiting, self.database.transaction() as session:
            response = super().full_dispatch_request()
            if response.status_code < HTTPStatus.BAD_REQUEST:
                try:
                    db.checkpoint(session)
                except (OperationalError, NoConnectionError) as error:
                    session.rollback()
                    response = self.finalize_request(self.handle_user_exception(error))
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                session.rollback()
                session.info.clear()
        return response


# The rooms' pages: each module has a ``blueprint``.
_PAGES = (
    campaigns,
    gift_views,
    webhooks,
    widget,
    emails,
    account_sign_in,
    account,
    account_person,
    address_undo,
    gift_acceptance,
    account_invitation,
    account_late,
    account_withdrawal,
    newsroom,
    dashboard,
    chart_views,
    list_views,
    actions,
    money_pages,
    widget_views,
    email_pages,
    exchange_rates,
    failed_syncs,
    overdue_views,
    retention_views,
    income_views,
    label_views,
    bulk_pages,
    saved_views,
    merge_views,
    name_views,
    session_views,
    source_pages,
    by_hand_views,
    live_views,
    staff_pages,
    security_views,
    second_step_views,
    service_views,
    campaign_pages,
    milestone_views,
    picture_views,
    tier_views,
    health,
)


def create_app(settings: Settings | None = None, pool: Pool | None = None) -> FundraiserApp:
    """Build the whole service; settings come from the environment by default.

    ``pool`` limits this process's connections to PostgreSQL; by default it is a web process's pool.
    """
    settings = settings or load_settings()
    configure_logging(settings)
    configure_mappers()  # once, before a server forks, rather than in each of its processes
    db.clock.follow(settings.clock_offset_file)
    app = FundraiserApp(
        "fundraiser", template_folder=str(folder("templates")), static_folder="static"
    )
    app.database = Database(
        settings, after_commit=Hints(settings).send, pool=pool or web_pool(settings)
    )
    app.waiting_for_stripe = BoundedSemaphore(max(settings.web_threads * 3 // 4, 1))
    app.extensions["settings"] = settings
    app.extensions["incidents"] = Incidents(app.database.side_engine)
    app.extensions["measures"] = measures = Measures(app.database.side_engine)
    app.extensions["database"] = app.database
    app.extensions["gateway"] = MemberGateway(settings, app.database, measures)
    app.extensions["account_gateway"] = AccountGateway(settings, app.database, measures)
    app.extensions["money_gateway"] = MoneyGateway(settings, app.database, measures)
    app.extensions["inbox"] = Inbox(
        app.database, app.extensions["incidents"], livemode=settings.livemode
    )
    security.init_app(app, settings)
    texts.init_app(app)
    sign_in.init_app(app)
    for room in _PAGES:
        app.register_blueprint(room.blueprint)
    _say_errors(app)
    _say_database_errors(app)
    return app


def _say_errors(app: Flask) -> None:
    """Register handlers that show each error as a page, or as JSON for programs."""

    @app.errorhandler(FundraiserError)
    def ours(error: FundraiserError) -> ResponseReturnValue:
        if error.status is HTTPStatus.FORBIDDEN and not has_noted():
            note(Kind.FORBIDDEN)
        return _answer(error.status, error.sentence)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> ResponseReturnValue:
        if isinstance(error, CSRFError):
            note(Kind.FOREIGN_FORM)
        status = HTTPStatus(error.code or 500)
        response = app.make_response(_answer(status, _sentence(status)))
        for name, value in error.get_headers(request.environ):
            if name.lower() in {"allow", "location", "retry-after"}:
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> ResponseReturnValue:
        # The rule, not the path: that may hold a key of somebody's e-mail.
        route = request.url_rule.rule if request.url_rule else None
        structlog.get_logger().error("unforeseen", route=route, exc_info=error)
        return _answer(
            HTTPStatus.INTERNAL_SERVER_ERROR, _sentence(HTTPStatus.INTERNAL_SERVER_ERROR)
        )


def _say_database_errors(app: Flask) -> None:
    """Register handlers for a database that is down, busy, or refuses a value."""

    @app.errorhandler(NoConnectionError)
    def no_connection_is_free(_: Exception) -> ResponseReturnValue:
        """Answer 503 if all of the pool's connections are in use; the database itself is fine."""
        note(Kind.BUSY)
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, _busy())

    @app.errorhandler(OperationalError)
    def database_is_away(error: Exception) -> ResponseReturnValue:
        structlog.get_logger().warning("database_away", error=type(error).__name__)
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, _sentence(HTTPStatus.SERVICE_UNAVAILABLE))

    @app.errorhandler(DataError)
    def database_cannot_hold_it(error: DataError) -> ResponseReturnValue:
        # A number or a date beyond its column's: typed by nobody, and no fault of the database.
        structlog.get_logger().warning("value_out_of_range", error=type(error.orig).__name__)
        return _answer(HTTPStatus.BAD_REQUEST, _sentence(HTTPStatus.BAD_REQUEST))


def _answer(status: HTTPStatus, sentence: str) -> ResponseReturnValue:
    later = {"Retry-After": _SOON} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    if best == "text/html" and not request.path.startswith("/webhooks/"):
        heading = _heading(status)
        page = render_template(
            "errors.html", heading=heading, sentence=sentence, status=status.value
        )
        return page, status, later
    return jsonify(error=sentence), status, later


def _busy() -> str:
    if request.method == "POST":
        return _(
            "We’re very busy, so we don’t know whether this was done. Check in a "
            "minute before you try again."
        )
    return _("We’re very busy right now. Try again in a minute.")


def _heading(status: HTTPStatus) -> str:
    # Whoever comes here, or back from Stripe's page, may have just paid.
    if request.path.endswith("/thanks") or "canceled" in request.args:
        return _("We can’t look up your payment")
    match status:
        case HTTPStatus.NOT_FOUND:
            return _("There’s no page at this address")
        case HTTPStatus.FORBIDDEN:
            return _("You don’t have access to this page")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _("Too many attempts")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _("Something went wrong on our side")
    return _("That didn’t work")


def _sentence(status: HTTPStatus) -> str:
    match status:
        case HTTPStatus.NOT_FOUND:
            return _("Check the address, or start from the membership page.")
        case HTTPStatus.FORBIDDEN:
            return _("Sign in with an account that has access.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return _("Open the page again and use its buttons.")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _("You’ve sent more than we can accept. Shorten it and send it again.")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _("Wait a few minutes and try again.")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR and request.method == "POST":
            return _(
                "Something went wrong on our side, so we don’t know whether this was "
                "done. Check in a few minutes before you repeat it."
            )
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _("Something went wrong on our side. Try again in a few minutes.")
    return _("Go back, check what you entered and send it again.")
