"""The way to Stripe: what is silent, refuses, shows a wrong certificate, or stands in between."""

import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import stripe

from fundraiser.payments.stripe.connections import Connections

CERTIFICATE = Path(__file__).parent / "localhost.pem"
Start = Callable[[type[BaseHTTPRequestHandler]], ThreadingHTTPServer]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[ThreadingHTTPServer] = []

    def serve(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked for, and by whose leave."""

    def do_GET(self) -> None:
        told = f"{self.path} {self.headers.get('Proxy-Authorization')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there


def address_of(server: ThreadingHTTPServer, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_port}"


def failure(address: str, read: float = 5) -> stripe.APIConnectionError:
    with pytest.raises(stripe.APIConnectionError) as raised:
        Connections(address, read).request("get", f"{address}/", {})
    return raised.value


def test_a_server_that_is_silent_or_away_may_be_tried_again(start: Start) -> None:
    over = threading.Event()

    class Silent(Echo):
        def do_GET(self) -> None:
            over.wait(5)

    server = start(Silent)
    assert failure(address_of(server), read=0.2).should_retry
    over.set()
    server.shutdown()
    server.server_close()
    assert failure(address_of(server)).should_retry


def test_an_answer_that_is_no_text_is_an_error_of_the_sdks(start: Start) -> None:
    class Broken(Echo):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"\xff\xfe{")

    address = address_of(start(Broken))
    client = stripe.StripeClient(
        "sk_test_nobody",
        http_client=Connections(address, 5),
        base_addresses={"api": address},
        max_network_retries=0,
    )
    with pytest.raises(stripe.APIError, match="Invalid response body"):
        client.raw_request("get", "/whose")


def test_a_certificate_that_nobody_vouches_for_is_final(start: Start) -> None:
    server = start(Echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    error = failure(address_of(server, "https"))
    assert not error.should_retry
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)


def test_the_proxy_of_the_environment_is_used_with_its_password(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = urlsplit(address_of(start(Echo)))
    monkeypatch.setenv("HTTP_PROXY", f"http://desk:secret@{proxy.netloc}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    told, status, _ = Connections("http://stripe.test", 5).request(
        "get", "http://stripe.test/whose", {"Authorization": "Bearer of nothing"}
    )
    password = b64encode(b"desk:secret").decode()
    assert (status, told) == (200, f"http://stripe.test/whose Basic {password}")


def test_connections_that_many_threads_use_at_once_stay_open(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(8, timeout=10)
    opened: set[tuple[str, int]] = set()

    class Together(Echo):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            opened.add(self.client_address)
            together.wait()
            super().do_GET()

    address = address_of(start(Together))
    connections = Connections(address, 10)
    for _ in range(2):
        hands = [
            threading.Thread(target=connections.request, args=("get", f"{address}/", {}))
            for _ in range(8)
        ]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()
    assert len(opened) == 8
    assert caplog.messages == []
