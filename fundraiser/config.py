"""Settings from environment variables, read once; a missing or unsafe value stops the start."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import idna
import limits
import psycopg
from flask import current_app
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SHORTEST_SECRET = 32
_USUAL_PORTS = {"https": 443, "http": 80}
# NAME_FILE may name a file that contains the value instead.
_SECRETS = (
    *("DATABASE_URL", "REDIS_URL", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET"),
    *("SMTP_URL", "SECRET_KEY", "METRICS_TOKEN"),
    *("OPERATOR_WEBHOOK", "OPERATOR_PING", "SENTRY_DSN"),
    *("PATREON_ACCESS_TOKEN", "PATREON_REFRESH_TOKEN", "PATREON_CLIENT_SECRET"),
    *("PATREON_WEBHOOK_SECRET", "GHOST_ADMIN_API_KEY"),
)
_PATREON = "https://www.patreon.com"
_RENEWING = ("PATREON_REFRESH_TOKEN", "PATREON_CLIENT_ID", "PATREON_CLIENT_SECRET")
_SHARED_BY = 10


class ConfigError(Exception):
    """An environment variable is missing or invalid; the message names it."""


@dataclass(frozen=True, slots=True)
class PatreonAccess:
    """A Patreon campaign and its token, which we renew if the last three values are set."""

    api: str
    campaign: str
    currency: str | None
    access_token: str = field(repr=False)
    webhook_secret: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    client_id: str | None
    client_secret: str | None = field(repr=False)

    @property
    def is_renewed(self) -> bool:
        """Whether we can renew the token before it expires."""
        return bool(self.refresh_token)


@dataclass(frozen=True, slots=True)
class GhostAccess:
    """A Ghost site, and the key of its custom integration."""

    url: str
    key_id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a deployment; .env.example explains each."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    stripe_api_key: str = field(repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    smtp_url: str = field(repr=False)
    secret_keys: tuple[str, ...] = field(repr=False)  # newest first: the first signs, all verify
    public_url: str
    stripe_api_base: str | None
    clock_offset_file: Path | None
    newsroom_name: str
    newsroom_timezone: ZoneInfo
    newsroom_currency: str
    newsroom_url: str | None
    newsroom_address: str | None
    privacy_url: str | None
    imprint_url: str | None
    vat_rate: Decimal | None  # percent, included in each price
    vat_number: str | None
    mail_from: str
    mail_name: str | None
    emails_per_second: int
    ses_topic: str | None
    ses_certificates: Path | None
    grace_days: int
    stripe_calls_per_second: int
    stripe_calls_in_all: int
    settle_threads: int
    catch_up_seconds: int
    join_limit: str
    checkouts_per_minute: int
    trusted_proxies: int
    web_threads: int
    web_processes: int
    worker_processes: int
    log_level: str
    metrics_token: str | None = field(repr=False)
    dns_server: str | None = None
    operator_email: str | None = None
    operator_webhook: str | None = field(default=None, repr=False)
    operator_ping: str | None = field(default=None, repr=False)
    sentry_dsn: str | None = field(default=None, repr=False)
    review_names: bool = False
    patreon: PatreonAccess | None = None
    ghost: GhostAccess | None = None

    @property
    def grace(self) -> timedelta:
        """How long we still count a member after a payment failed."""
        return timedelta(days=self.grace_days)

    @property
    def livemode(self) -> bool:
        """Whether the key moves real money."""
        return "_live_" in self.stripe_api_key

    @property
    def network_limit(self) -> str:
        """How often one network, of up to 256 addresses, may ask to sign in or try a code.

        Ten times one address's limit, so that the readers of an office or a mobile operator get in.
        """
        return "; ".join(
            f"{one.amount * _SHARED_BY} per {one.get_expiry()} seconds"
            for one in limits.parse_many(self.join_limit)
        )

    @property
    def checkout_origin(self) -> str:
        """The origin of the hosted payment page, to which our forms may lead."""
        return self.stripe_api_base or "https://checkout.stripe.com"

    @property
    def portal_origin(self) -> str:
        """The origin of the hosted page for a new card, to which our forms may lead."""
        return self.stripe_api_base or "https://billing.stripe.com"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the web server listens, and with how many processes."""

    host: str
    port: int
    processes: int


def load_listening(environ: Mapping[str, str] = os.environ) -> Listening:
    """Read the settings that the web server needs; its processes read the rest.

    Raises:
        ConfigError: a value is not a number.
    """
    return Listening(
        host=environ.get("HOST") or "0.0.0.0",  # noqa: S104 - behind a platform's router
        port=_count(environ, "PORT", 8000),
        processes=_web_processes(environ),
    )


def current_settings() -> Settings:
    """The current app's settings."""
    return cast("Settings", current_app.extensions["settings"])


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment.

    Raises:
        ConfigError: a value is missing, empty or unsafe.
    """
    environ = {**environ, **_from_files(environ)}
    key = _stripe_key(environ)
    public_url = _public_url(environ)
    newsroom = environ.get("NEWSROOM_NAME") or "The Northern Ledger"
    mail_name, mail_from = _mail_from(environ, public_url)
    if environ.get("LETTERS_PER_SECOND"):
        raise ConfigError("LETTERS_PER_SECOND is called EMAILS_PER_SECOND now: rename it.")
    settings = Settings(
        database_url=_database_url(environ),
        redis_url=_redis_url(environ),
        stripe_api_key=key,
        stripe_webhook_secrets=_webhook_secrets(environ),
        smtp_url=_smtp_url(environ),
        secret_keys=_secret_keys(environ),
        public_url=public_url,
        stripe_api_base=_optional_url(environ, "STRIPE_API_BASE"),
        clock_offset_file=Path(path) if (path := environ.get("CLOCK_OFFSET_FILE")) else None,
        newsroom_name=newsroom,
        newsroom_timezone=_zone(environ),
        newsroom_currency=_currency(environ),
        newsroom_url=_optional_url(environ, "NEWSROOM_URL"),
        newsroom_address=environ.get("NEWSROOM_ADDRESS", "").replace("\\n", "\n").strip() or None,
        privacy_url=_optional_url(environ, "PRIVACY_URL"),
        imprint_url=_optional_url(environ, "IMPRINT_URL"),
        vat_rate=_vat_rate(environ),
        vat_number=environ.get("VAT_NUMBER", "").strip() or None,
        mail_from=mail_from,
        mail_name=mail_name,
        emails_per_second=_count(environ, "EMAILS_PER_SECOND", 10),
        ses_topic=environ.get("SES_TOPIC_ARN", "").strip() or None,
        ses_certificates=Path(path) if (path := environ.get("SES_CERTIFICATES")) else None,
        grace_days=_count(environ, "GRACE_DAYS", 14),
        stripe_calls_per_second=_count(environ, "STRIPE_CALLS_PER_SECOND", 25),
        stripe_calls_in_all=_calls_in_all(environ, key),
        settle_threads=max(_count(environ, "SETTLE_THREADS", 32), 1),
        catch_up_seconds=_count(environ, "CATCH_UP_SECONDS", 3600),
        join_limit=_join_limit(environ),
        checkouts_per_minute=_count(environ, "CHECKOUTS_PER_MINUTE", 300),
        trusted_proxies=_count(environ, "TRUSTED_PROXIES", 0),
        web_threads=max(_count(environ, "WEB_THREADS", 256), 1),
        web_processes=_web_processes(environ),
        worker_processes=_count(environ, "WORKER_CONCURRENCY", 2),
        log_level=_log_level(environ),
        metrics_token=environ.get("METRICS_TOKEN", "").strip() or None,
        dns_server=environ.get("DNS_SERVER", "").strip() or None,
        operator_email=_operator_email(environ),
        operator_webhook=_safe_url(environ, "OPERATOR_WEBHOOK"),
        operator_ping=_safe_url(environ, "OPERATOR_PING"),
        sentry_dsn=_sentry_dsn(environ),
        review_names=_switch(environ, "REVIEW_NAMES"),
        patreon=_patreon(environ),
        ghost=_ghost(environ),
    )
    patreon = settings.patreon.api if settings.patreon else _PATREON
    for is_moved, what in (
        (settings.stripe_api_base, "STRIPE_API_BASE points away from Stripe"),
        (patreon != _PATREON, "PATREON_API_BASE points away from Patreon"),
        (settings.clock_offset_file, "CLOCK_OFFSET_FILE moves the clock"),
    ):
        if settings.livemode and is_moved:
            raise ConfigError(f"{what}, and STRIPE_API_KEY is a live key: unset one of them.")
    return settings


def _calls_in_all(environ: Mapping[str, str], key: str) -> int:
    """Of all operations together: four times as many as of each, or in a sandbox no more."""
    each = _count(environ, "STRIPE_CALLS_PER_SECOND", 25)
    return _count(environ, "STRIPE_CALLS_IN_ALL", each * (4 if "_live_" in key else 1))


def _web_processes(environ: Mapping[str, str]) -> int:
    return _count(environ, "WEB_CONCURRENCY", 2)


def _from_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets kept in files, as Docker, systemd and Kubernetes provide them."""
    found = {}
    for name in _SECRETS:
        path = environ.get(f"{name}_FILE")
        if not path:
            continue
        if environ.get(name):
            raise ConfigError(f"{name} and {name}_FILE are both set: unset one of them.")
        try:
            found[name] = Path(path).read_text().strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name}_FILE names a file that can't be read: {path}.") from error
    return found


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"{name} is missing: see .env.example for what it holds.")
    return value


def _url(environ: Mapping[str, str], name: str, *schemes: str) -> str:
    value = _required(environ, name)
    try:
        parts = urlsplit(value)
        is_one = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ConfigError(f"{name} must be an address that begins with {schemes[0]}://.")
    return value


def _redis_url(environ: Mapping[str, str]) -> str:
    """Redis's URL; over TLS it says whether to verify the certificate."""
    value = _url(environ, "REDIS_URL", "redis", "rediss")
    parts = urlsplit(value)
    if parts.scheme == "redis" or "ssl_cert_reqs=" in parts.query:
        return value
    check = "none" if _switch(environ, "REDIS_SELF_SIGNED") else "required"
    query = "&".join(filter(None, (parts.query, f"ssl_cert_reqs={check}")))
    return urlunsplit(parts._replace(path=parts.path or "/0", query=query))


def _optional_url(environ: Mapping[str, str], name: str) -> str | None:
    return _url(environ, name, "https", "http").rstrip("/") if environ.get(name) else None


def _database_url(environ: Mapping[str, str]) -> str:
    """A URL for libpq: several hosts, a Unix socket and any password work too."""
    scheme, _, rest = _required(environ, "DATABASE_URL").partition("://")
    value = f"postgresql://{rest}"
    is_one = scheme in {"postgresql", "postgres"}
    try:
        conninfo_to_dict(value)
    except psycopg.ProgrammingError:
        is_one = False
    if not is_one:  # without libpq's reason, which quotes the password
        raise ConfigError(
            "DATABASE_URL must be an address like postgresql://user:password@host:5432/database. "
            "In the password, write % as %25, @ as %40, / as %2F and : as %3A."
        )
    return value


def _public_url(environ: Mapping[str, str]) -> str:
    """The origin as browsers write it, because they compare it as text."""
    parts = urlsplit(_url(environ, "PUBLIC_URL", "https", "http"))
    if parts.path.rstrip("/") or parts.query or parts.fragment or parts.username:
        raise ConfigError("PUBLIC_URL must be an origin alone, like https://members.example.org.")
    host = parts.hostname or ""
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ConfigError("PUBLIC_URL must begin with https:// outside this machine.")
    if ":" in host:
        host = f"[{host}]"
    elif not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise ConfigError(f"PUBLIC_URL has a host that is no name: {host}.") from error
    port = parts.port
    if port is None or port == _USUAL_PORTS[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def _mail_from(environ: Mapping[str, str], public_url: str) -> tuple[str | None, str]:
    """The sender's name, if any, and address: "Name <address>", or only an address."""
    value = environ.get("MAIL_FROM", "").strip()
    if not value:
        return None, f"members@{urlsplit(public_url).hostname}"
    name, address = parseaddr(value)
    if not _is_address(address):
        raise ConfigError(
            "MAIL_FROM must be an e-mail address, like members@example.org, or a name and an "
            "address, like The Ledger <members@example.org>."
        )
    return name or None, address


def _operator_email(environ: Mapping[str, str]) -> str | None:
    value = environ.get("OPERATOR_EMAIL", "").strip()
    if value and (not _is_address(value) or not value.isascii()):
        raise ConfigError("OPERATOR_EMAIL must be one e-mail address, like ops@example.org.")
    return value or None


def _is_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return bool(local and domain) and not any(sign.isspace() or sign in ",<>" for sign in text)


def _safe_url(environ: Mapping[str, str], name: str) -> str | None:
    """An address that holds a secret, so that nobody on the way may read it."""
    value = _optional_url(environ, name)
    if value and value.startswith("http://") and urlsplit(value).hostname not in LOOPBACK:
        raise ConfigError(f"{name} must begin with https:// outside this machine.")
    return value


def _sentry_dsn(environ: Mapping[str, str]) -> str | None:
    value = _safe_url(environ, "SENTRY_DSN")
    if value:
        parts = urlsplit(value)
        if not parts.username or not parts.path.rpartition("/")[2].isdecimal():
            raise ConfigError("SENTRY_DSN must be a DSN, like https://key@sentry.example.org/1.")
    return value


def _smtp_url(environ: Mapping[str, str]) -> str:
    """The URL with user and password escaped: some providers' contain / and #."""
    scheme, _, rest = _required(environ, "SMTP_URL").partition("://")
    login, at, server = rest.rpartition("@")
    user, _, password = (quote(unquote(part), safe="") for part in login.partition(":"))
    value = f"{scheme}://{user}:{password}@{server}" if at else f"{scheme}://{server}"
    _url({"SMTP_URL": value}, "SMTP_URL", "smtp", "smtps")
    if password and scheme == "smtp" and urlsplit(value).port == 25:  # noqa: PLR2004 - SMTP's port
        raise ConfigError(
            "SMTP_URL would send a password over port 25: use port 587 or smtps:// on 465."
        )
    return value


def _patreon(environ: Mapping[str, str]) -> PatreonAccess | None:
    """The Patreon campaign to fetch members from, if configured."""
    given = {
        name: value.strip()
        for name, value in environ.items()
        if name.startswith("PATREON_") and not name.endswith("_FILE") and value.strip()
    }
    if not given:
        return None
    _required(environ, "PATREON_CAMPAIGN_ID")
    _required(environ, "PATREON_ACCESS_TOKEN")
    renewing = [name for name in _RENEWING if name in given]
    if renewing and len(renewing) < len(_RENEWING):
        missing = next(name for name in _RENEWING if name not in given)
        raise ConfigError(f"{missing} is missing: the token is renewed with {renewing[0]} and it.")
    if not given["PATREON_CAMPAIGN_ID"].isdecimal():
        raise ConfigError("PATREON_CAMPAIGN_ID must be the campaign's number.")
    return PatreonAccess(
        api=_optional_url(environ, "PATREON_API_BASE") or _PATREON,
        campaign=given["PATREON_CAMPAIGN_ID"],
        currency=_currency(environ, "PATREON_CURRENCY") if "PATREON_CURRENCY" in given else None,
        access_token=given["PATREON_ACCESS_TOKEN"],
        webhook_secret=given.get("PATREON_WEBHOOK_SECRET"),
        refresh_token=given.get("PATREON_REFRESH_TOKEN"),
        client_id=given.get("PATREON_CLIENT_ID"),
        client_secret=given.get("PATREON_CLIENT_SECRET"),
    )


def _ghost(environ: Mapping[str, str]) -> GhostAccess | None:
    """The Ghost site to fetch members from, if configured."""
    key = environ.get("GHOST_ADMIN_API_KEY", "").strip()
    if not key and not environ.get("GHOST_URL"):
        return None
    name, colon, secret = _required(environ, "GHOST_ADMIN_API_KEY").partition(":")
    try:
        found = bytes.fromhex(secret)
    except ValueError:
        found = b""
    if not name.isalnum() or not colon or not found:
        raise ConfigError(
            "GHOST_ADMIN_API_KEY must be an Admin API key of a custom integration, "
            "like 64f0…:9a31…."
        )
    _required(environ, "GHOST_URL")
    url = _safe_url(environ, "GHOST_URL") or ""
    return GhostAccess(url=url, key_id=name, secret=found)


def _join_limit(environ: Mapping[str, str]) -> str:
    value = environ.get("JOIN_LIMIT") or "20 per 10 minutes"
    try:
        limits.parse_many(value)
    except ValueError as error:
        raise ConfigError(
            f"JOIN_LIMIT {value!r} can't be read: write it like 20 per 10 minutes."
        ) from error
    return value


def _vat_rate(environ: Mapping[str, str]) -> Decimal | None:
    value = environ.get("VAT_RATE", "").strip().replace(",", ".")
    if not value:
        return None
    if not re.fullmatch(r"\d{1,2}(\.\d{1,2})?", value, re.ASCII):
        raise ConfigError("VAT_RATE must be a percentage like 20 or 5.5, without a sign.")
    return Decimal(value)


def _log_level(environ: Mapping[str, str]) -> str:
    value = (environ.get("LOG_LEVEL") or "INFO").upper()
    if value not in logging.getLevelNamesMapping():
        raise ConfigError("LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    return value


def _stripe_key(environ: Mapping[str, str]) -> str:
    value = _required(environ, "STRIPE_API_KEY")
    if not value.startswith(("sk_test_", "sk_live_", "rk_test_", "rk_live_")):
        raise ConfigError("STRIPE_API_KEY must be a secret or restricted key (sk_… or rk_…).")
    return value


def _webhook_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    secrets = tuple(part.strip() for part in _required(environ, "STRIPE_WEBHOOK_SECRET").split(","))
    if not all(secret.startswith("whsec_") and len(secret) > len("whsec_") for secret in secrets):
        raise ConfigError(
            "STRIPE_WEBHOOK_SECRET must hold signing secrets (whsec_…), separated by commas."
        )
    return secrets


def _secret_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    keys = tuple(part.strip() for part in _required(environ, "SECRET_KEY").split(","))
    if any(len(key) < _SHORTEST_SECRET or len(set(key)) < _SHORTEST_SECRET // 4 for key in keys):
        raise ConfigError(
            "SECRET_KEY must be at least 32 random characters, or several such keys with commas "
            "between them, the newest first: "
            "make one with python -c 'import secrets; print(secrets.token_urlsafe(48))'."
        )
    return keys


def _zone(environ: Mapping[str, str]) -> ZoneInfo:
    name = environ.get("NEWSROOM_TIMEZONE") or "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f"NEWSROOM_TIMEZONE {name!r} is not a time zone, like Europe/London."
        ) from error


def _currency(environ: Mapping[str, str], name: str = "NEWSROOM_CURRENCY") -> str:
    code = (environ.get(name) or "GBP").strip().upper()
    if not re.fullmatch("[A-Z]{3}", code):
        raise ConfigError(f"{name} {code!r} is not a currency, like GBP.")
    return code


def _switch(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in {"", "yes", "no"}:
        raise ConfigError(f"{name} must be yes or no.")
    return value == "yes"


def _count(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name, "").strip()
    if value and not value.isdecimal():
        raise ConfigError(f"{name} must be a whole number.")
    return int(value) if value else default
