"""Readers, staff and Stripe through the proxies of deploy/, in front of two web processes."""

from __future__ import annotations

import json
import os
import select
import shutil
import ssl
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
import requests
from bs4 import BeautifulSoup
from requests.adapters import HTTPAdapter

from demo.processes import end, spawn, wait_until
from demo.servers import free_port
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.headers import FRESH
from fundraiser.newsroom.models import Role
from simulator.core.webhooks import signature
from tests.conftest import WEBHOOK_SECRET
from tests.deployment import CERTIFICATE, ROOT, answers, python
from tests.factories import Stripe
from tests.joining import thanks_of
from tests.simulator_parts import wait_until as happens
from tests.staff import PASSWORD, hire

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from demo.servers import Postgres, Valkey

pytestmark = pytest.mark.timeout(300)
DEPLOY = ROOT / "deploy"
HAS_NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is not None
needs_nginx = pytest.mark.skipif(not HAS_NGINX, reason="nginx is not installed")
PROXIES = [pytest.param("nginx", marks=needs_nginx), "caddy"]
# A proxy that keeps the host's name to itself only matters where forms and links are.
also_without_host = pytest.mark.parametrize(
    "site",
    [*PROXIES, pytest.param("nginx without Host", marks=needs_nginx)],
    indirect=True,
    scope="module",
)


def nginx(folder: Path, port: int, webs: list[int], *, passes_host: bool = True) -> list[str]:
    """deploy/nginx.conf with this machine's ports and certificate; returns nginx's command."""
    site = (DEPLOY / "nginx.conf").read_text()
    for before, after in {
        "/etc/letsencrypt/live/members.example.org/fullchain.pem": str(CERTIFICATE),
        "/etc/letsencrypt/live/members.example.org/privkey.pem": str(CERTIFICATE),
        "members.example.org": "localhost",
        "/var/cache/nginx/fundraiser": f"{folder}/cache",
        "/var/log/nginx/fundraiser.log": f"{folder}/access.log",
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl http2;\n": "",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "127.0.0.1:8001": f"127.0.0.1:{webs[0]}",
        "127.0.0.1:8002": f"127.0.0.1:{webs[1]}",
    }.items():
        assert before in site, before
        site = site.replace(before, after)
    if not passes_host:
        line = "proxy_set_header Host $host;"
        assert line in site
        site = site.replace(line, "")
    places = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""  # the tests' folders are private
    (folder / "nginx.conf").write_text(
        f"daemon off;\n{user}pid {folder}/pid;\nerror_log stderr warn;\nworker_processes 1;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{\n{places}{site}\n}}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program
    return [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, webs: list[int]) -> list[str]:
    """deploy/Caddyfile with this machine's ports and certificate; returns Caddy's command."""
    site = (DEPLOY / "Caddyfile").read_text()
    for before, after in {
        "{$PUBLIC_URL:https://members.example.org} {": (
            f"https://localhost:{port} {{\n\ttls {CERTIFICATE} {CERTIFICATE}"
        ),
        "127.0.0.1:8001 127.0.0.1:8002": " ".join(f"127.0.0.1:{web}" for web in webs),
    }.items():
        assert before in site, before
        site = site.replace(before, after)
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n"
    (folder / "Caddyfile").write_text(options + site)
    program = Path(python()[0]).with_name("caddy")
    return [str(program), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@dataclass
class Site:
    """A deployment: its public address, its database, and its web processes."""

    url: str
    database_url: str
    stripe: Stripe
    logs: Path
    start_web: Callable[[int], subprocess.Popen[bytes]]
    webs: list[subprocess.Popen[bytes]]

    def reader(self, address: str = "127.0.0.1") -> requests.Session:
        """A browser at an address of this machine, with its own cookies."""
        browser = requests.Session()
        browser.verify, browser.trust_env = str(CERTIFICATE), False
        browser.mount("https://", From(address))
        browser.headers.update(
            {"Origin": self.url, "Referer": f"{self.url}/", "Accept": "text/html"}
        )
        return browser


class From(HTTPAdapter):
    """Connections that come from one of this machine's loopback addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, source_address=(self._address, 0), **options)


@pytest.fixture(scope="module", params=PROXIES)
def site(  # noqa: PLR0917 - pytest names each fixture
    request: pytest.FixtureRequest,
    servers: tuple[Postgres, Valkey],
    template: str,
    environment: dict[str, str],
    second_simulator: tuple[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A proxy, two web processes behind it, and the simulator as Stripe."""
    folder, port = tmp_path_factory.mktemp("proxy"), free_port()
    folder.chmod(0o755)
    name = f"proxies_{uuid4().hex}"
    with psycopg.connect(servers[0].url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    ports = [free_port(), free_port()]
    env = environment | {
        "DATABASE_URL": servers[0].url_of(name),
        "STRIPE_API_BASE": second_simulator[0],
        "CLOCK_OFFSET_FILE": str(second_simulator[1] / "clock"),
        "PUBLIC_URL": f"https://localhost:{port}",
        "SECRET_KEY": f"of-one-proxys-tests-{uuid4().hex}",
        "JOIN_LIMIT": "1 per minute",
        "TRUSTED_PROXIES": "1",
        "HOST": "127.0.0.1",
        "WEB_CONCURRENCY": "1",
    }
    app = create_app(load_settings(env))
    stripe = Stripe(second_simulator[0], app)
    with app.app_context():
        stripe.open_shop()

    def start_web(at: int) -> subprocess.Popen[bytes]:
        child = spawn(
            python("-m", "fundraiser.granian"),
            log=folder / f"web-{at}.log",
            cwd=ROOT,
            env=os.environ | env | {"PORT": str(ports[at])},
        )
        url = f"http://127.0.0.1:{ports[at]}/readyz"
        wait_until(lambda: answers(url), child, name="web", log=folder, patience=60)
        return child

    command = {
        "nginx": lambda: nginx(folder, port, ports),
        "nginx without Host": lambda: nginx(folder, port, ports, passes_host=False),
        "caddy": lambda: caddy(folder, port, ports),
    }[request.param]()
    with ExitStack() as stack:
        stack.callback(app.database.dispose)
        webs = [start_web(at) for at in range(2)]
        stack.callback(lambda: end(webs))
        log = folder / "proxy.log"
        proxy = spawn(command, log=log, cwd=folder, env=os.environ | {"HOME": str(folder)})
        stack.callback(lambda: end([proxy]))
        url = f"https://localhost:{port}"
        wait_until(lambda: answers(f"{url}/healthz"), proxy, name="proxy", log=log, patience=30)
        yield Site(url, env["DATABASE_URL"], stripe, folder, start_web, webs)


def fields_of(page: requests.Response) -> dict[str, str]:
    """What the page's first form would send as it stands."""
    found = BeautifulSoup(page.text, "html.parser").select(
        "form input[type=hidden], form input[checked], form input[name=amount]"
    )
    return {str(field["name"]): str(field.get("value", "")) for field in found}


def members(site: Site) -> int:
    """The number, as the widget gets it."""
    answer = requests.get(
        f"{site.url}/campaigns/25000/progress", verify=str(CERTIFICATE), timeout=10
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return int(answer.json()["members"])


@also_without_host
def test_a_reader_joins_and_is_counted(site: Site) -> None:
    reader, before = site.reader("127.0.2.1"), members(site)
    form = fields_of(reader.get(f"{site.url}/join", timeout=10))
    answer = reader.post(f"{site.url}/join", data=form, allow_redirects=False, timeout=30)
    assert answer.status_code == 303, answer.text
    hosted = answer.headers["Location"]
    paid = site.stripe.pay(hosted, f"{uuid4().hex}@example.org")
    assert paid.headers["Location"].startswith(f"{site.url}/join/thanks")
    assert reader.get(f"{site.url}{thanks_of(hosted)}", timeout=30).status_code == 200
    happens(lambda: members(site) == before + 1)


def sign_in(site: Site, browser: requests.Session) -> requests.Response:
    email = hire(site.stripe.app.database, Role.MANAGER)
    form = fields_of(browser.get(f"{site.url}/staff/sign-in", timeout=10))
    form |= {"email": email, "password": PASSWORD}
    return browser.post(f"{site.url}/staff/sign-in", data=form, timeout=30)


@also_without_host
def test_staff_sign_in_with_a_cookie_for_https_alone(site: Site) -> None:
    browser = site.reader("127.0.3.1")
    answer = sign_in(site, browser)
    assert answer.status_code == 200, answer.text
    assert answer.url.startswith(f"{site.url}/staff")
    assert not answer.url.endswith("/sign-in")
    assert "__Host-staff" in browser.cookies
    assert browser.get(f"{site.url}/staff", timeout=10).url != f"{site.url}/staff/sign-in"


def test_staff_upload_a_list_of_more_than_a_megabyte(site: Site) -> None:
    browser = site.reader("127.0.3.2")
    assert sign_in(site, browser).status_code == 200
    form = fields_of(browser.get(f"{site.url}/staff/sources", timeout=10))
    rows = b"".join(b"Name %d,reader.%d@example.org\n" % (n, n) for n in range(50_000))
    answer = browser.post(
        f"{site.url}/staff/sources/files",
        data={"csrf_token": form["csrf_token"], "source": "bank"},
        files={"file": ("list.csv", b"Name,Email\n" + rows)},
        timeout=60,
    )
    assert len(rows) > 1 << 20
    assert answer.status_code == 200, answer.text
    assert "/staff/sources/imports/" in answer.url


def deliver(site: Site, number: object) -> requests.Response:
    body = json.dumps(
        {
            "id": f"evt_{number}",
            "type": "customer.updated",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": {"id": f"cus_{number}", "object": "customer"}},
        }
    ).encode()
    header = {"Stripe-Signature": signature(body, WEBHOOK_SECRET, int(time.time()))}
    url = f"{site.url}/webhooks/stripe"
    return requests.post(url, data=body, headers=header, timeout=30, verify=str(CERTIFICATE))


def test_stripes_bytes_come_through_as_they_were_signed(site: Site) -> None:
    assert deliver(site, f"signed_{uuid4().hex}").status_code == 204


def test_each_reader_has_limits_of_their_own_whatever_they_say(site: Site) -> None:
    """Ten requests for a code a minute from one network; another's are its own."""

    def ask(address: str, said: str) -> int:
        return (
            site.reader(address)
            .post(
                f"{site.url}/account/sign-in",
                data={"email": f"{uuid4().hex}@example.org"},
                headers={"X-Forwarded-For": said, "X-Real-IP": said, "Forwarded": f"for={said}"},
                allow_redirects=False,
                timeout=10,
            )
            .status_code
        )

    mine = [ask("127.0.5.1", f"198.51.{number}.7") for number in range(12)]
    assert Counter(mine) == {303: 10, 429: 2}
    assert ask("127.0.6.1", "127.0.5.1") == 303
    with psycopg.connect(site.database_url) as connection:
        query = "SELECT count(*) FROM security_event WHERE kind IN ('proxy', 'forwarded')"
        assert connection.execute(query).fetchone() == (0,)


def test_the_operators_figures_are_nobodys_else(site: Site) -> None:
    assert site.reader().get(f"{site.url}/metrics", timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("path", "largest"), [("/webhooks/stripe", 1 << 20), ("/staff/sources/files", 32 << 20)]
)
def test_a_body_that_is_too_large_is_refused_before_it_is_sent(
    site: Site, path: str, largest: int
) -> None:
    tls = ssl.create_default_context(cafile=str(CERTIFICATE))
    host = site.url.removeprefix("https://")
    with closing(HTTPSConnection(host, timeout=10, context=tls)) as connection:
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(largest + 1))
        connection.endheaders()
        assert connection.getresponse().status == 413
    assert deliver(site, f"after_{uuid4().hex}").status_code == 204


def test_a_body_of_no_stated_length_is_cut_off(site: Site) -> None:
    chunk, sent = b"10000\r\n" + b"x" * (1 << 16) + b"\r\n", 0
    tls = ssl.create_default_context(cafile=str(CERTIFICATE))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # later ones send tickets, and no answer yet
    host = site.url.removeprefix("https://")
    with closing(HTTPSConnection(host, timeout=10, context=tls)) as connection:
        connection.putrequest("POST", "/webhooks/stripe")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        try:
            while not select.select([connection.sock], [], [], 0)[0]:
                assert sent < 32 << 20, "nothing stops it"
                connection.send(chunk)
                sent += 1 << 16
            assert connection.getresponse().status in {400, 413, 502}
        except ConnectionError:
            return  # the connection ends while the body is still coming


def test_nobody_notices_that_each_web_process_restarts_in_turn(site: Site) -> None:
    failures: list[object] = []
    sent = []
    over = threading.Event()

    def go_on(ask: Callable[[], requests.Response]) -> None:
        while not over.is_set():
            answer = ask()
            sent.append(answer.status_code)
            if not answer.ok:
                failures.append((answer.request.path_url, answer.status_code, answer.text[:200]))
            time.sleep(0.02)

    pages = ("/join", "/campaigns/25000/appearance", "/campaigns/25000/progress")
    asks: list[Callable[[], requests.Response]] = [
        lambda page=page: site.reader().get(f"{site.url}{page}", timeout=30)  # type: ignore[misc]  # mypy can't see the default
        for page in pages
    ]
    asks.append(lambda: deliver(site, uuid4().hex))
    threads = [threading.Thread(target=go_on, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        for at in range(2):
            site.webs[at].terminate()
            site.webs[at].wait(30)
            site.webs[at] = site.start_web(at)
            time.sleep(0.5)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(sent) > 100


def test_the_proxys_log_names_nobody(site: Site) -> None:
    secret = f"key-of-an-email-{uuid4().hex}"
    site.reader("127.0.7.7").get(f"{site.url}/account/{secret}", timeout=10)
    log = site.logs / ("access.log" if (site.logs / "access.log").exists() else "proxy.log")
    happens(lambda: "request_id" in log.read_text())
    time.sleep(0.2)
    lines = [line for line in log.read_text().splitlines() if "request_id" in line]
    assert all(json.loads(line)["request_id"] for line in lines)
    assert not any(word in line for word in (secret, "127.0.7.7") for line in lines)


def test_a_requests_id_is_the_same_in_the_proxys_log_and_in_ours(site: Site) -> None:
    """Whatever the reader sent: only the proxy's own is taken."""
    reader = site.reader("127.0.7.8")
    reader.headers["X-Request-ID"] = "chosen-by-a-reader"
    reader.get(f"{site.url}/how-we-count", timeout=10)
    page = '"route": "/how-we-count"'

    def our_lines() -> list[str]:
        logs = [(site.logs / f"web-{at}.log").read_text() for at in range(2)]
        return [line for log in logs for line in log.splitlines() if page in line]

    happens(lambda: bool(our_lines()))
    line = json.loads(our_lines()[-1])
    assert (line["event"], line["method"], line["status"]) == ("request", "GET", 200)
    assert line["request"] != "chosen-by-a-reader"
    log = site.logs / ("access.log" if (site.logs / "access.log").exists() else "proxy.log")
    happens(lambda: line["request"] in log.read_text())
    assert "127.0.7.8" not in "".join(our_lines())


# The cache


class Origin(BaseHTTPRequestHandler):
    """Answers as the progress layer does, and counts."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        body = b'{"members":16000}'
        self.send_header("Cache-Control", FRESH)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def cached(folder: Path) -> Iterator[str]:
    """nginx with an origin that counts; yields the number's address."""
    Origin.asked = 0
    origin, port = ThreadingHTTPServer(("127.0.0.1", 0), Origin), free_port()
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    command = nginx(folder, port, [origin.server_port] * 2)
    log = folder / "log"
    proxy = spawn(command, log=log, cwd=folder, env=os.environ)
    url = f"https://localhost:{port}/campaigns/25000/progress"
    try:
        wait_until(lambda: answers(url), proxy, name="nginx", log=log, patience=30)
        yield url
    finally:
        end([proxy])
        origin.shutdown()
        origin.server_close()


@needs_nginx
def test_however_many_ask_the_origin_is_asked_once_a_second(tmp_path: Path) -> None:
    with cached(tmp_path) as url:
        began, total = time.monotonic(), Counter[int]()
        asked_before = Origin.asked

        def read_on(number: int) -> None:
            with requests.Session() as browser:
                browser.verify, browser.trust_env = str(CERTIFICATE), False
                while time.monotonic() - began < 4:
                    answer = browser.get(f"{url}?nobody-has-this={number}", timeout=10)
                    total[answer.status_code] += 1

        threads = [threading.Thread(target=read_on, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(total) == {200}
        assert total[200] > 200
        assert Origin.asked - asked_before <= 5


@needs_nginx
def test_the_last_number_is_served_while_nobody_answers(tmp_path: Path) -> None:
    with cached(tmp_path) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Origin, "do_GET", lambda self: self.send_error(503))
        time.sleep(4)  # longer than it may be served without asking
        answer = requests.get(url, timeout=10, verify=str(CERTIFICATE))
        assert (answer.status_code, answer.json()) == (200, {"members": 16000})
