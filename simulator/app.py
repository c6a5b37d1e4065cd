"""The Flask app: Stripe's API under /v1, the hosted pages beside it, the controls at /."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

from simulator import (
    api_account,
    api_balance,
    api_billing,
    api_catalog,
    api_checkout,
    api_customers,
    api_discounts,
    api_events,
    api_invoices,
    api_items,
    api_methods,
    api_payments,
    api_portal,
    api_schedules,
    pages_checkout,
    pages_control,
    pages_money,
    pages_portal,
)
from simulator.api import ROUTES, Route, answer
from simulator.world import World

if TYPE_CHECKING:
    from simulator.description import Recorder

# Importing them declares their routes.
API = (
    *(api_account, api_balance, api_billing, api_catalog, api_checkout, api_customers, api_events),
    *(api_discounts, api_invoices, api_items, api_methods, api_payments, api_portal, api_schedules),
    pages_money,
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
    for pages in (pages_checkout, pages_portal, pages_control):
        app.register_blueprint(pages.pages)
    if recorder:
        pages_control.show_violations(app, recorder)

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
