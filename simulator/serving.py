"""The simulator's HTTP server: werkzeug's, but a connection stays open for the next request."""

import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

from werkzeug.serving import WSGIRequestHandler


class Handler(WSGIRequestHandler):
    """Reads a request's body whole before it is answered, so that the next one begins behind it.

    Werkzeug's own closes each connection; a settlement asks four times in a row. Nothing is said
    of the requests that go well.
    """

    seconds: Callable[[], float] = staticmethod(time.time)  # what Stripe's clock shows

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        environ["wsgi.input"] = BytesIO(self.rfile.read(int(self.headers["Content-Length"] or 0)))
        status, headers = "", []

        def start_response(said: str, named: list[tuple[str, str]], _error: object = None) -> Any:  # noqa: ANN401 - nobody writes by it
            nonlocal status, headers
            status, headers = said, named

        answer = self.server.app(environ, start_response)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        self.send_response(int(status[:3]), status[4:])
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by Stripe's clock."""
        return super().date_time_string(timestamp or self.seconds())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if str(code).startswith("5"):
            super().log_request(code, size)


def handler_by(seconds: Callable[[], float]) -> type[Handler]:
    """The handler of a server whose clock shows this."""
    return type("HandlerByClock", (Handler,), {"seconds": staticmethod(seconds)})
