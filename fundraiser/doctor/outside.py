"""The checks of ``fundraiser doctor`` from outside: our public address, and the sender's DNS."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import dns.exception
import dns.resolver
import urllib3

from fundraiser.config import LOOPBACK
from fundraiser.doctor.stripe import Finding
from fundraiser.security import DEPLOYMENT, deployments, is_one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.config import Settings

_PATIENCE = urllib3.Timeout(connect=5.0, read=10.0)
_DNS_PATIENCE = 5.0  # seconds for each question
_FEWEST_LABELS = 2


def examine_public_address(settings: Settings) -> Finding:
    """Whether PUBLIC_URL leads to this deployment, asked as a browser would."""
    url = settings.public_url
    if url.startswith("http://"):
        return Finding(True, f"{url} is on this machine: nobody else can open it.")
    try:
        with urllib3.PoolManager() as pool:
            answer = pool.request(
                "GET", f"{url}/healthz", timeout=_PATIENCE, retries=False, redirect=False
            )
    except urllib3.exceptions.HTTPError as error:
        reason = _reason(error)
        return Finding(False, f"{url} can't be opened from here: {reason}.")
    shown = answer.headers.get(DEPLOYMENT, "")
    if is_one_of(shown, deployments()):
        return Finding(True, f"{url} leads to this deployment.")
    if shown:
        return Finding(
            False,
            f"{url} leads to another deployment, or one with another SECRET_KEY: see its DNS "
            "record and the proxy.",
        )
    return Finding(
        False,
        f"{url} leads to something that isn't this service (it answered {answer.status}): see "
        "its DNS record and the proxy, and whether the web process runs.",
    )


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    match error:
        case urllib3.exceptions.NameResolutionError():
            return "its name has no DNS record"
        case urllib3.exceptions.NewConnectionError():
            return "nothing listens there, or the proxy is down"
        case urllib3.exceptions.SSLError():
            return "its certificate is missing, expired or another name's"
        case urllib3.exceptions.TimeoutError():
            return "nothing answers in time; a firewall may be between"
    return "the connection breaks off"


def examine_sender(settings: Settings) -> Iterator[Finding]:
    """Check the SPF, DKIM and DMARC records of the sender's domain, which mailboxes ask for."""
    domain = settings.mail_from.rpartition("@")[2].strip("[]")
    if _is_here(domain):
        yield Finding(True, "The sender is on this machine, so no DNS record is needed.")
        return
    try:
        resolver = _resolver(settings)
        yield _of_spf(resolver, domain)
        yield _of_dkim(resolver, domain)
        yield _of_dmarc(resolver, domain)
    except (dns.exception.DNSException, OSError, ValueError):
        yield Finding(False, f"DNS doesn't answer for {domain}: check the network, or ask again.")


def _of_spf(resolver: dns.resolver.Resolver, domain: str) -> Finding:
    found = [text for text in _texts(resolver, domain) if text.lower().split(" ")[0] == "v=spf1"]
    match len(found):
        case 0:
            return Finding(
                False, f"{domain} has no SPF record, so e-mails look forged: see docs/email.md."
            )
        case 1:
            return Finding(True, f"{domain} has an SPF record.")
    return Finding(False, f"{domain} has {len(found)} SPF records, so none counts: keep one.")


def _of_dkim(resolver: dns.resolver.Resolver, domain: str) -> Finding:
    """Whether there is any key: its name, the selector, is the provider's secret.

    A name with others below it exists, so ``_domainkey`` does if a key is there (RFC 8020).
    """
    try:
        resolver.resolve(f"_domainkey.{domain}", "TXT", raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return Finding(
            False, f"{domain} has no DKIM key: add the records that your mail provider shows."
        )
    return Finding(True, f"{domain} has DKIM keys, or its DNS server doesn't tell.")


def _of_dmarc(resolver: dns.resolver.Resolver, domain: str) -> Finding:
    """The record may be at a parent: it counts for all names below it."""
    labels = domain.split(".")
    for first in range(max(len(labels) - _FEWEST_LABELS + 1, 1)):
        name = ".".join(labels[first:])
        for text in _texts(resolver, f"_dmarc.{name}"):
            if text.lower().startswith("v=dmarc1"):
                return Finding(True, f"{name} has a DMARC record.")
    return Finding(
        False,
        f"{domain} has no DMARC record, which Gmail and Yahoo demand of who sends to many: see "
        "docs/email.md.",
    )


def _texts(resolver: dns.resolver.Resolver, name: str) -> list[str]:
    try:
        answer = resolver.resolve(name, "TXT", raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return []
    return [b"".join(row.strings).decode(errors="replace") for row in answer.rrset or ()]


def _resolver(settings: Settings) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=settings.dns_server is None)
    if settings.dns_server:
        host, _, port = settings.dns_server.partition(":")
        resolver.nameservers, resolver.port = [host], int(port or 53)
    resolver.lifetime = _DNS_PATIENCE
    return resolver


def _is_here(domain: str) -> bool:
    if domain in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(domain).is_loopback
    except ValueError:
        return False
