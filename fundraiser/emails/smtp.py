"""The SMTP client: one connection, opened when needed and reused."""

from __future__ import annotations

import smtplib
import ssl
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from fundraiser.config import LOOPBACK
from fundraiser.redaction import redact

if TYPE_CHECKING:
    from fundraiser.config import Settings
    from fundraiser.emails.message import Message

_PATIENCE = 10.0  # seconds for each answer: a task has 50 for all of it
_IDLE = 60.0  # seconds: servers hang up on who says nothing for minutes
_LONGEST_REPLY = 300
_OK, _TEMPORARY, _GONE, _PERMANENT = 250, 400, 421, 500


class UnreachableError(Exception):
    """The mail server can't be used now; the message is a sentence without personal data."""


class Fate(StrEnum):
    """The result of sending; ``unknown``: the server may have accepted the e-mail."""

    SENT = "sent"
    REFUSED = "refused"
    PUT_OFF = "put_off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result; ``sentence`` gives the reason unless the e-mail was sent."""

    fate: Fate
    sentence: str | None = None


class MailServer:
    """Sends over ``smtps://``, or ``smtp://`` with STARTTLS, which only loopback may lack."""

    def __init__(self, settings: Settings) -> None:
        self._url = urlsplit(settings.smtp_url)
        self._our_name = settings.mail_from.rpartition("@")[2]
        self._connection: smtplib.SMTP | None = None
        self._used_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> smtplib.SMTP:
        """Return the connection, reconnecting if it is missing or was idle too long.

        Raises:
            UnreachableError: the server doesn't answer, isn't secure or refuses our password.
        """
        if time.monotonic() - self._used_at > _IDLE:
            self.close()
        if self._connection is None:
            try:
                self._connection = self._connect()
            except OSError as error:  # smtplib's errors are of this kind too
                raise UnreachableError(
                    f"The mail server can't be used: {type(error).__name__}."
                ) from error
        self._used_at = time.monotonic()
        return self._connection

    def close(self) -> None:
        """End the connection politely."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.quit()
            except OSError:
                connection.close()

    def send(self, message: Message) -> Outcome:
        """Send one e-mail to one recipient."""
        try:
            reply = self._announce(message.sender, message.recipient)
        except (OSError, UnreachableError):
            self.close()
            return Outcome(Fate.PUT_OFF, "The mail server went away before the e-mail was sent.")
        if reply is not None:
            return reply
        return self._hand_over(message.source)

    def _connect(self) -> smtplib.SMTP:
        host, port = self._url.hostname or "", self._url.port
        connection: smtplib.SMTP
        if self._url.scheme == "smtps":
            connection = smtplib.SMTP_SSL(
                host,
                port or smtplib.SMTP_SSL_PORT,
                self._our_name,
                timeout=_PATIENCE,
                context=ssl.create_default_context(),
            )
        else:
            connection = smtplib.SMTP(host, port or 587, self._our_name, timeout=_PATIENCE)
        try:
            if self._url.scheme == "smtp" and host not in LOOPBACK:
                connection.starttls(context=ssl.create_default_context())
            if self._url.username:
                connection.login(unquote(self._url.username), unquote(self._url.password or ""))
            connection.ehlo_or_helo_if_needed()
        except OSError:
            connection.close()
            raise
        return connection

    def _announce(self, sender: str, recipient: str) -> Outcome | None:
        """Send sender and recipient; returns the reason if the server refuses.

        A server may have closed an idle connection, or do so now: Amazon answers 451 4.4.2 after
        ten seconds, Postfix 421 4.4.2. Nothing is lost, so we repeat it once on a new connection.
        """
        is_reused = self._connection is not None
        connection = self.open()
        try:
            code, reply = connection.mail(sender)
        except smtplib.SMTPServerDisconnected:
            if not is_reused:
                raise
            code, reply = _GONE, b""
        if is_reused and _TEMPORARY <= code < _PERMANENT:
            self.close()
            connection = self.open()
            code, reply = connection.mail(sender)
        if code != _OK:
            # Of the sender, so none of the recipient's fault: the operator has a day to repair it.
            self._start_over(code)
            return Outcome(Fate.PUT_OFF, _sentence("doesn't let us send", code, reply))
        code, reply = connection.rcpt(recipient)
        if code not in {_OK, 251}:
            self._start_over(code)
            return _refusal("refuses the address", code, reply)
        return None

    def _hand_over(self, source: bytes) -> Outcome:
        code: int
        reply: bytes | str
        try:
            code, reply = self.open().data(source)
        except smtplib.SMTPDataError as error:
            code, reply = error.smtp_code, error.smtp_error
        except OSError:
            self.close()
            return Outcome(
                Fate.UNKNOWN, "The mail server went away before it said whether it took the e-mail."
            )
        if code == _OK:
            return Outcome(Fate.SENT)
        self._start_over(code)
        return _refusal("refuses the e-mail", code, reply)

    def _start_over(self, code: int) -> None:
        """Reset the connection for the next e-mail, or drop it."""
        try:
            if self._connection is not None and code != _GONE:
                self._connection.rset()
                return
        except OSError:
            pass
        self.close()


def _refusal(what: str, code: int, reply: bytes | str) -> Outcome:
    fate = Fate.REFUSED if code >= _PERMANENT else Fate.PUT_OFF
    return Outcome(fate, _sentence(what, code, reply))


def _sentence(what: str, code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return redact(f"The mail server {what}: {code} {' '.join(text.split())}")[:_LONGEST_REPLY]
