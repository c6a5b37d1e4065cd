"""Amazon SES bounces and complaints through SNS, verified for our own topic.

Anybody can have an SNS topic, and Amazon signs for each, so we also check the topic. We take the
certificate only from Amazon's host, or from a folder that the operator filled.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests
import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fundraiser.db import now
from fundraiser.emails.feedback import Report
from fundraiser.emails.models import SuppressionReason
from fundraiser.errors import BadRequestError, UnavailableError

if TYPE_CHECKING:
    from fundraiser.config import Settings

HOST = re.compile(r"https://sns\.([a-z0-9-]{1,40})\.amazonaws\.com(\.cn)?/")
_CERTIFICATE = re.compile(r"SimpleNotificationService-[A-Za-z0-9_-]{1,100}\.pem")
_CONFIRMATION = re.compile(r"\?Action=ConfirmSubscription&[A-Za-z0-9=&%:._~-]{1,2000}")
_PATIENCE = 5.0  # seconds
_OLDEST = timedelta(days=1)
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
_WITH_SHA256 = "2"  # of SignatureVersion; Amazon's default, "1", is SHA-1
_ADVICE = "Set the attribute SignatureVersion of the SNS topic to 2."
_NO_SPAM = "not-spam"  # takes a complaint back: the reader says that the e-mail isn't spam
_known: dict[str, bytes] = {}
log = structlog.get_logger()


class ForgedReportError(BadRequestError):
    """The message isn't from our SNS topic, or is too old."""


def read(settings: Settings, body: bytes) -> list[Report]:
    """Verify an SNS message and parse its reports; confirms a new subscription.

    Raises:
        ForgedReportError: Amazon hasn't signed it, it is for another topic, or it is too old.
        UnavailableError: Amazon doesn't answer; it sends the message again.
    """
    try:
        message = json.loads(body)
        kind, topic = message["Type"], message["TopicArn"]
        signature = base64.b64decode(message["Signature"], validate=True)
        signed_at = datetime.fromisoformat(message["Timestamp"])
        fields = [(name, message[name]) for name in _SIGNED[kind] if name in message]
        text = "".join(f"{name}\n{value}\n" for name, value in fields)
        version = message["SignatureVersion"]
        certificate_url = str(message["SigningCertURL"])
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise ForgedReportError("This is no message of Amazon SNS.") from error
    if settings.ses_topic is None or topic != settings.ses_topic:
        raise ForgedReportError("The message is of another topic than SES_TOPIC_ARN.")
    if version != _WITH_SHA256:
        log.warning("ses_signature_too_weak", advice=_ADVICE)
        raise ForgedReportError(f"The message is signed with SHA-1. {_ADVICE}")
    if signed_at.tzinfo is None or abs(now() - signed_at) > _OLDEST:
        raise ForgedReportError("The message is too old.")
    key = _key(settings, certificate_url)
    try:
        key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise ForgedReportError("The signature does not fit this message.") from error
    if kind == "SubscriptionConfirmation":
        _confirm(str(message["SubscribeURL"]))
        return []
    return _reports(message["Message"])


def _key(settings: Settings, url: str) -> rsa.RSAPublicKey:
    host = HOST.match(url)
    name = url[host.end() :] if host else ""
    if host is None or not _CERTIFICATE.fullmatch(name):
        raise ForgedReportError("The certificate is not one of Amazon SNS.")
    try:
        if settings.ses_certificates is not None:
            source = (settings.ses_certificates / name).read_bytes()
        else:
            source = _known.get(url) or _fetch(url)
        certificate = x509.load_pem_x509_certificate(source)
    except (OSError, ValueError) as error:
        raise UnavailableError("The certificate of Amazon SNS can't be read.") from error
    key = certificate.public_key()
    is_valid = certificate.not_valid_before_utc <= now() <= certificate.not_valid_after_utc
    if not is_valid or not isinstance(key, rsa.RSAPublicKey):
        raise ForgedReportError("The certificate of Amazon SNS is not valid now.")
    _known[url] = source
    return key


def _confirm(url: str) -> None:
    host = HOST.match(url)
    if host is None or not _CONFIRMATION.fullmatch(url[host.end() :]):
        raise ForgedReportError("The subscription is not confirmed at Amazon SNS.")
    _fetch(url)


def _fetch(url: str) -> bytes:
    try:
        answer = requests.get(url, timeout=_PATIENCE, allow_redirects=False)
    except requests.RequestException as error:
        raise UnavailableError("Amazon SNS does not answer.") from error
    if answer.status_code != requests.codes.ok:
        raise UnavailableError("Amazon SNS does not answer.")
    return answer.content


def _reports(text: str) -> list[Report]:
    """The reports in a notification; none for deliveries and other news."""
    try:
        told: dict[str, Any] = json.loads(text)
        headers = told.get("mail", {}).get("commonHeaders") or {}
        message_id = headers.get("messageId")
        match told.get("notificationType") or told.get("eventType"):
            case "Bounce":
                bounce = told["bounce"]
                reason = SuppressionReason.BOUNCE if bounce["bounceType"] == "Permanent" else None
                return [
                    Report(one["emailAddress"], reason, one.get("diagnosticCode"), message_id)
                    for one in bounce["bouncedRecipients"]
                ]
            case "Complaint":
                complaint = told["complaint"]
                detail = complaint.get("complaintFeedbackType")
                if detail == _NO_SPAM:
                    return []
                return [
                    Report(one["emailAddress"], SuppressionReason.COMPLAINT, detail, message_id)
                    for one in complaint["complainedRecipients"]
                ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequestError(
            "The message is signed, but it is no report of Amazon SES."
        ) from error
    return []
