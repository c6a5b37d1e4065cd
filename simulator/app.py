"""The simulator's Flask app: API under /v1, hosted pages, and controls at /."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

from simulator.api import (
    account,
    balance,
    billing,
    catalog,
    checkout as api_checkout,
    customers,
    discounts,
    events,
    invoices,
    items,
    methods,
    payments,
    portal as api_portal,
    schedules,
)
from simulator.api.calls import ROUTES, Route, answer
from simulator.core.world import World
from simulator.pages import checkout as pages_checkout, control, money, portal as pages_portal

if TYPE_CHECKING:
    from simulator.core.description import Recorder

# Importing them declares their routes.
API = (
    *(account, balance, billing, catalog, api_checkout, customers, events),
    *(discounts, invoices, items, methods, payments, api_portal, schedules),
    money,
)
METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]
LARGEST_BODY = 1 << 20


def create_app(world: World, recorder: "Recorder | None" = None) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.extensions["world"] = world
    for found in ROUTES:
        app.add_url_rule(
            found.path,
            endpoint=f"{found.method} {found.path}",
            view_func=_view(world, found),
            methods=[found.method],
            provide_automatic_options=False,
        )
    for rest in ("/v1/<path:rest>", "/v2/<path:rest>"):
        app.add_url_rule(rest, endpoint=rest, view_func=_view(world, None), methods=METHODS)
    for pages in (pages_checkout, pages_portal, control):
        app.register_blueprint(pages.pages)
    if recorder:
        control.show_violations(app, recorder)

    @app.after_request
    def guard(response: Response) -> Response:
        if request.path.startswith(("/v1/", "/v2/")):
            # The description is of the first API alone.
            if recorder and request.path.startswith("/v1/"):
                recorder.record(request, response)
            return response
        # As Stripe's own pages: never in a frame, never kept.
        response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
        response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _view(world: World, found: Route | None) -> Callable[..., Any]:
    def view(**ids: str) -> Response:
        ids.pop("rest", None)
        return answer(world, found, request, ids)

    return view
