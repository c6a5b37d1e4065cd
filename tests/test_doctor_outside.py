"""The doctor from the outside: our public address, and the sender's SPF, DKIM and DMARC."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from demo.servers import free_port
from fundraiser.app import create_app
from fundraiser.doctor.outside import examine_public_address, examine_sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings

CERTIFICATE = Path(__file__).parent / "localhost.pem"
SPF, DMARC = "v=spf1 include:mail.example -all", "v=DMARC1; p=none"


@contextmanager
def named(records: dict[str, list[str]]) -> Iterator[str]:
    """A DNS server with these TXT records; gives its address."""
    names = [dns.name.from_text(name) for name in records]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))

        def serve() -> None:
            while len(packet := listener.recvfrom(4096)) and packet[0] != b"end":
                asked = dns.message.from_wire(packet[0])
                answer = dns.message.make_response(asked)
                answer.flags |= dns.flags.AA
                name = asked.question[0].name
                texts = records.get(name.to_text(omit_final_dot=True).lower(), [])
                if texts:
                    quoted = [f'"{text}"' for text in texts]
                    answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *quoted))
                elif not any(one.is_subdomain(name) for one in names):
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                listener.sendto(answer.to_wire(), packet[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listener.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ender:
                ender.sendto(b"end", (host, port))
            thread.join()


@pytest.mark.parametrize(
    ("sender", "records", "wrong"),
    [
        (
            "us@news.example",
            {"news.example": ["x", SPF], "s1._domainkey.news.example": ["v=DKIM1; p=abc"]}
            | {"_dmarc.news.example": [DMARC]},
            [],
        ),
        (
            "us@mail.news.example",
            {"mail.news.example": [SPF], "s1._domainkey.mail.news.example": ["p=abc"]}
            | {"_dmarc.news.example": [DMARC]},
            [],
        ),
        ("us@news.example", {"news.example": ["x"]}, ["no SPF", "no DKIM", "no DMARC"]),
        ("us@news.example", {}, ["no SPF", "no DKIM", "no DMARC"]),
        (
            "us@news.example",
            {"news.example": [SPF, "v=spf1 ~all"], "s1._domainkey.news.example": ["p=abc"]}
            | {"_dmarc.news.example": ["v=DMARC2"]},
            ["2 SPF records", "no DMARC"],
        ),
        ("us@127.0.0.1", {}, []),
    ],
)
def test_the_doctor_tells_what_the_senders_domain_lacks(
    settings: Settings, sender: str, records: dict[str, list[str]], wrong: list[str]
) -> None:
    with named(records) as server:
        found = list(examine_sender(replace(settings, mail_from=sender, dns_server=server)))
    told = [finding.sentence for finding in found if not finding.is_well]
    assert len(told) == len(wrong)
    assert all(part in sentence for part, sentence in zip(wrong, told, strict=True))


def test_the_doctor_tells_that_dns_is_silent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fundraiser.doctor.outside._DNS_PATIENCE", 0.5)
    silent = replace(settings, mail_from="us@news.example", dns_server="127.0.0.1:9")
    (found,) = examine_sender(silent)
    assert not found.is_well
    assert "DNS doesn't answer" in found.sentence
    (found,) = examine_sender(replace(silent, dns_server="nonsense:x"))
    assert not found.is_well


@contextmanager
def behind_tls(answer: Callable[[str], tuple[int, dict[str, str]]]) -> Iterator[str]:
    """A web server for https on this machine; gives its origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = answer(self.path)
            self.send_response(status)
            for name, value in (headers | {"Content-Length": "0"}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def served_by(app: FundraiserApp) -> Callable[[str], tuple[int, dict[str, str]]]:
    def answer(path: str) -> tuple[int, dict[str, str]]:
        found = app.test_client().get(path)
        kept = {name: value for name, value in found.headers if name.startswith("Fundraiser")}
        return found.status_code, kept

    return answer


def test_the_doctor_tells_where_the_public_address_leads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    apps: list[FundraiserApp] = []

    def start(url: str, *keys: str) -> FundraiserApp:
        apps.append(create_app(replace(settings, public_url=url, secret_keys=keys)))
        return apps[-1]

    def told(asker: FundraiserApp) -> tuple[bool, str]:
        with asker.app_context():
            return examine_public_address(asker.extensions["settings"])

    old, new = "an-older-key-" + "x1" * 12, "a-newer-key-" + "y2" * 12
    answers: list[Callable[[str], tuple[int, dict[str, str]]]] = [lambda _: (404, {})]

    def latest(path: str) -> tuple[int, dict[str, str]]:
        return answers[-1](path)

    with behind_tls(latest) as url:
        ours = start(url, new, old)
        is_well, sentence = told(ours)
        assert (is_well, "isn't this service" in sentence) == (False, True)
        answers.append(served_by(start(url, old)))
        assert told(ours)[0], "a process that has not got the new key yet is ours too"
        answers.append(served_by(start(url, "another-key-" + "z3" * 12)))
        is_well, sentence = told(ours)
        assert (is_well, "another deployment" in sentence) == (False, True)
        monkeypatch.delenv("SSL_CERT_FILE")
        assert "certificate" in told(ours)[1]
    gone = start(f"https://localhost:{free_port()}", new)
    assert "nothing listens" in told(gone)[1]
    for app in apps:
        app.database.dispose()
