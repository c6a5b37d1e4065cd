"""The environment: what is accepted as it comes, and what stops the start with a sentence."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from dotenv import dotenv_values
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from fundraiser.config import ConfigError, load_settings
from fundraiser.db import make_engine

EXAMPLE = Path(__file__).parent.parent / ".env.example"
CERTIFICATE = Path(__file__).parent / "localhost.pem"  # with its key
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"  # how each client of PostgreSQL asks for TLS


@pytest.mark.parametrize(
    ("value", "user", "password", "host", "port"),
    [
        ("smtp://AKIA:BPa/s#w+d@smtp.example:587", "AKIA", "BPa/s#w+d", "smtp.example", 587),
        ("smtps://me%40a.example:a%2Fb@b.example", "me@a.example", "a/b", "b.example", None),
        (
            "smtp://me@a.example:p@s:[1]@b.example:2525",
            "me@a.example",
            "p@s:[1]",
            "b.example",
            2525,
        ),
        ("smtp://127.0.0.1:1025", None, None, "127.0.0.1", 1025),
    ],
)
def test_a_mail_password_may_hold_any_sign(  # noqa: PLR0917 - one row an address
    environment: dict[str, str],
    value: str,
    user: str | None,
    password: str | None,
    host: str,
    port: int | None,
) -> None:
    parts = urlsplit(load_settings(environment | {"SMTP_URL": value}).smtp_url)
    assert (parts.hostname, parts.port) == (host, port)
    assert [part and unquote(part) for part in (parts.username, parts.password)] == [user, password]


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        ("The Ledger <hello@example.org>", "The Ledger", "hello@example.org"),
        ('"Ledger, The" <hello@example.org>', "Ledger, The", "hello@example.org"),
        ("hello@example.org", None, "hello@example.org"),
        ("", None, "members@members.example.org"),
    ],
)
def test_the_sender_may_have_a_name(
    environment: dict[str, str], value: str, name: str | None, address: str
) -> None:
    told = {"MAIL_FROM": value, "PUBLIC_URL": "https://members.example.org"}
    settings = load_settings(environment | told)
    assert (settings.mail_name, settings.mail_from) == (name, address)


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://Members.Example.ORG", "https://members.example.org"),
        ("https://members.example.org:443/", "https://members.example.org"),
        ("https://members.example.org:8443", "https://members.example.org:8443"),
        ("https://mitglieder.müller.example", "https://mitglieder.xn--mller-kva.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_the_public_address_is_written_as_browsers_write_it(
    environment: dict[str, str], value: str, origin: str
) -> None:
    assert load_settings(environment | {"PUBLIC_URL": value}).public_url == origin


@pytest.mark.parametrize(
    "value",
    [
        "postgresql:///fundraiser?host=/var/run/postgresql",
        "postgresql://fundraiser@%2Fvar%2Frun%2Fpostgresql/fundraiser",
        "postgres://me:secret@one:5432,two:5433/fundraiser?target_session_attrs=read-write",
        "postgresql://me:p[a]ss@db.example.org/fundraiser?sslmode=require",
    ],
)
def test_a_database_address_may_be_any_that_postgresql_knows(
    environment: dict[str, str], value: str
) -> None:
    url = load_settings(environment | {"DATABASE_URL": value}).database_url
    assert url == value.replace("postgres://", "postgresql://")


def test_a_database_of_several_hosts_is_reached_at_the_one_that_answers(
    environment: dict[str, str], database_url: str
) -> None:
    parts = urlsplit(database_url)
    login, _, host = parts.netloc.rpartition("@")
    several = f"postgresql://{login}@127.0.0.1:9,{host}{parts.path}?application_name=ours"
    engine = make_engine(load_settings(environment | {"DATABASE_URL": several}).database_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW timezone")) == "UTC"
        assert connection.scalar(text("SELECT current_database()")) == parts.path[1:]
    engine.dispose()


@pytest.mark.parametrize("shows", [True, False])
def test_a_certificate_in_the_databases_address_is_shown_to_postgresql(
    environment: dict[str, str], tmp_path: Path, *, shows: bool
) -> None:
    """The wheel's PostgreSQL has no TLS: its greeting is played, and libpq does the rest."""
    own = tmp_path / "web.pem"
    own.write_bytes(CERTIFICATE.read_bytes())
    own.chmod(0o600)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(CERTIFICATE))
    tls.load_cert_chain(CERTIFICATE)
    tls.verify_mode = ssl.CERT_REQUIRED
    shown: list[object] = []

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(8) == SSL_REQUEST
            connection.sendall(b"S")
            try:
                with tls.wrap_socket(connection, server_side=True) as secure:
                    shown.append(secure.getpeercert(binary_form=True))
            except ssl.SSLError:
                shown.append(None)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer, args=(listener,))
        server.start()
        port = listener.getsockname()[1]
        url = f"postgresql://web@127.0.0.1:{port}/fundraiser?sslmode=require"
        url += f"&sslcert={own}&sslkey={own}" if shows else "&sslcert=/nowhere"
        engine = make_engine(load_settings(environment | {"DATABASE_URL": url}).database_url)
        with pytest.raises(OperationalError):
            engine.connect()
        server.join()
        engine.dispose()
    ours = ssl.PEM_cert_to_DER_cert(
        CERTIFICATE.read_text()[own.read_text().index("-----BEGIN C") :]
    )
    assert shown == [ours if shows else None]


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ({"REDIS_URL": "redis://a:6379"}, "redis://a:6379"),
        ({"REDIS_URL": "rediss://a:6379"}, "rediss://a:6379/0?ssl_cert_reqs=required"),
        ({"REDIS_URL": "rediss://a/1?x=y"}, "rediss://a/1?x=y&ssl_cert_reqs=required"),
        (
            {"REDIS_URL": "rediss://a:6379", "REDIS_SELF_SIGNED": "yes"},
            "rediss://a:6379/0?ssl_cert_reqs=none",
        ),
        ({"REDIS_URL": "rediss://a?ssl_cert_reqs=none"}, "rediss://a?ssl_cert_reqs=none"),
    ],
)
def test_a_redis_over_tls_is_verified_unless_told(
    environment: dict[str, str], told: dict[str, str], url: str
) -> None:
    assert load_settings(environment | told).redis_url == url


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE_URL", "mysql://a:hidden@b/c", "DATABASE_URL must be an address like"),
        ("DATABASE_URL", "postgresql://a:hidden@b/c?nonsense=1", "DATABASE_URL must be an address"),
        ("REDIS_URL", "redis://:hidden[@b:6379/0", "REDIS_URL must be an address"),
        ("SMTP_URL", "smtp://a:hidden@b:port", "SMTP_URL must be an address"),
        ("SMTP_URL", "smtp://a:hidden@b:25", "SMTP_URL would send a password over port 25"),
        ("MAIL_FROM", "The Ledger", "MAIL_FROM must be an e-mail address"),
        ("MAIL_FROM", "The Ledger <members at example.org>", "MAIL_FROM must be an e-mail address"),
        ("PUBLIC_URL", "https://members.example.org/join", "PUBLIC_URL must be an origin alone"),
        ("PUBLIC_URL", "https://-müller-.example", "PUBLIC_URL has a host that is no name"),
        ("PUBLIC_URL", "https://members.example.org:99999", "PUBLIC_URL must be an address"),
        ("JOIN_LIMIT", "twenty a minute", "JOIN_LIMIT 'twenty a minute' can't be read"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL."),
        ("OPERATOR_EMAIL", "ops@example.org, me@example.org", "OPERATOR_EMAIL must be one e-mail"),
        (
            "OPERATOR_WEBHOOK",
            "http://hooks.example/hidden",
            "OPERATOR_WEBHOOK must begin with https",
        ),
        ("OPERATOR_PING", "hidden", "OPERATOR_PING must be an address"),
        ("SENTRY_DSN", "https://sentry.example/hidden", "SENTRY_DSN must be a DSN"),
        ("VAT_RATE", "20 %", "VAT_RATE must be a percentage"),
        ("VAT_RATE", "-5", "VAT_RATE must be a percentage"),
        ("PRIVACY_URL", "news.example.org/privacy", "PRIVACY_URL must be an address"),
        ("SECRET_KEY_FILE", "/nowhere/key", "SECRET_KEY and SECRET_KEY_FILE are both set"),
    ],
)
def test_what_would_fail_later_stops_the_start_and_shows_no_secret(
    environment: dict[str, str], name: str, value: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(environment | {name: value})
    assert str(refused.value).startswith(sentence)
    assert "hidden" not in str(refused.value)


def test_secrets_may_be_kept_in_files(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a-key-of-at-least-32-random-characters\n")
    told = environment | {"SECRET_KEY": "", "SECRET_KEY_FILE": str(file)}
    assert load_settings(told).secret_keys == ("a-key-of-at-least-32-random-characters",)
    file.unlink()
    with pytest.raises(ConfigError, match="SECRET_KEY_FILE names a file that can't be read"):
        load_settings(told)


def test_the_example_means_the_same_to_a_shell_to_compose_and_to_systemd() -> None:
    said = dotenv_values(EXAMPLE)  # as compose reads it
    script = f'set -a; . "{EXAMPLE}"; env -0'
    sourced = subprocess.run(
        ["/bin/sh", "-euc", script],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout.decode()
    values = dict(line.split("=", 1) for line in sourced.split("\0") if "=" in line)
    assert said["NEWSROOM_NAME"] == "The Northern Ledger"
    assert {name: values.get(name) for name in said} == said
    # systemd can't be asked here: no value has a sign that it reads in another way, and each line
    # that somebody uncomments is as simple.
    for line in EXAMPLE.read_text().splitlines():
        found = re.fullmatch(r"(?:# )?[A-Z][A-Z0-9_]*=(.*)", line)
        if found:
            value = found[1]
            assert re.fullmatch(r'[^\s"\'$`;#]*|"[^"$`\\]*"|[\w.\\ ]+', value), line
        else:
            assert not line or line.startswith("#"), line
