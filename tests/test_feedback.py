"""What comes back: only what Amazon signed for our topic is believed, and is acted upon once."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from fundraiser import cli
from fundraiser.emails import amazon
from fundraiser.emails.feedback import suppressed
from fundraiser.emails.models import Suppression, SuppressionReason
from fundraiser.members.forwarding import hash_address
from fundraiser.outbox import EmailState, enqueue
from tests.mail import deliver, emails_in, enqueue_welcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from fundraiser.db import Database
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox

TOPIC = "arn:aws:sns:eu-west-1:123456789012:letters"
CERTIFICATE = "SimpleNotificationService-test.pem"
URL = f"https://sns.eu-west-1.amazonaws.com/{CERTIFICATE}"


class Amazon:
    """Amazon SNS as we see it: a key, its certificate, and messages signed by it."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def certificate(self, *, until: timedelta = timedelta(days=1)) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        at = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(name, name, self.key.public_key())
            .serial_number(1)
            .not_valid_before(at - timedelta(days=30))
            .not_valid_after(at + until)
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def message(self, content: object, *, version: str = "2", **values: str) -> dict[str, str]:
        message = {
            "Type": "Notification",
            "MessageId": "m-1",
            "TopicArn": TOPIC,
            "Message": json.dumps(content),
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SignatureVersion": version,
            "SigningCertURL": URL,
        } | values
        names = [*("Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token")]
        names += ["TopicArn", "Type"]
        text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
        algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303 - Amazon's
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return message | {"Signature": base64.b64encode(signature).decode()}

    def send(self, message: dict[str, str]) -> TestResponse:
        return self.client.post("/webhooks/email", data=json.dumps(message))


@pytest.fixture
def sns(app: FundraiserApp, client: FlaskClient, tmp_path: Path) -> Amazon:
    """Amazon, whose certificate the operator has put into a folder."""
    sns = Amazon(client)
    (tmp_path / CERTIFICATE).write_bytes(sns.certificate())
    set_up(app, ses_topic=TOPIC, ses_certificates=tmp_path)
    return sns


def set_up(app: FundraiserApp, **values: Any) -> None:
    settings: Settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, **values)


def bounce(address: str, kind: str = "Permanent", message_id: str | None = None) -> dict[str, Any]:
    recipient = {"emailAddress": address, "diagnosticCode": "smtp; 550 nobody here"}
    return {
        "notificationType": "Bounce",
        "bounce": {"bounceType": kind, "bouncedRecipients": [recipient]},
        "mail": {"commonHeaders": {"messageId": message_id}},
    }


def complaint(address: str) -> dict[str, Any]:
    return {
        "eventType": "Complaint",
        "complaint": {
            "complainedRecipients": [{"emailAddress": address}],
            "complaintFeedbackType": "abuse",
        },
        "mail": {},
    }


_TOLD_OF = ("olena@example.org", "a@b.c", "a@example.org", "b@example.org")


def reasons(database: Database) -> dict[str, SuppressionReason]:
    """What is on the suppression list; the addresses that the tests use told by their hashes."""
    known = {hash_address(one): one for one in _TOLD_OF}
    with database.transaction() as session:
        return {known[row.address_hash]: row.reason for row in session.scalars(select(Suppression))}


def test_an_address_that_bounced_is_not_written_to_again(
    database: Database, postbox: Postbox, mail_server: MailServer, sns: Amazon
) -> None:
    with database.transaction() as session:
        member = enqueue_welcome(session, email="Olena@example.org")
    deliver(database, mail_server)
    told = bounce("olena@Example.org", message_id=postbox.emails[0]["Message-ID"])
    for _ in range(2):
        assert sns.send(sns.message(told, Subject="Amazon SES")).status_code == 204
    assert reasons(database) == {"olena@example.org": SuppressionReason.BOUNCE}
    (email,) = emails_in(database)
    assert (email.state, email.error) == (
        EmailState.BOUNCED,
        "It came back: smtp; 550 nobody here",
    )
    with database.transaction() as session:
        kept = session.execute(select(Suppression.__table__)).one()
    assert "@" not in str(kept)
    assert "olena" not in str(kept)
    with database.transaction() as session:
        member = session.merge(member)
        enqueue(session, "welcome", to=member.id, key="again")
    deliver(database, mail_server)
    assert emails_in(database)[1].state is EmailState.WITHDRAWN
    assert len(postbox.emails) == 1


def test_a_full_mailbox_is_noted_and_written_to_again(
    database: Database, postbox: Postbox, mail_server: MailServer, sns: Amazon
) -> None:
    with database.transaction() as session:
        enqueue_welcome(session)
    deliver(database, mail_server)
    message = postbox.emails[0]
    told = bounce(message["To"], "Transient", message["Message-ID"])
    assert sns.send(sns.message(told)).status_code == 204
    assert reasons(database) == {}
    assert emails_in(database)[0].state is EmailState.BOUNCED


def test_who_complained_gets_no_email(
    database: Database, postbox: Postbox, mail_server: MailServer, sns: Amazon
) -> None:
    with database.transaction() as session:
        enqueue_welcome(session, email="a@example.org")
    assert sns.send(sns.message(complaint("a@example.org"))).status_code == 204
    deliver(database, mail_server)
    assert emails_in(database)[0].state is EmailState.WITHDRAWN
    assert not postbox.emails


def test_a_report_that_an_email_is_no_spam_suppresses_nobody(
    database: Database, sns: Amazon
) -> None:
    told = complaint("a@example.org")
    told["complaint"]["complaintFeedbackType"] = "not-spam"
    assert sns.send(sns.message(told)).status_code == 204
    assert reasons(database) == {}


def test_a_bounce_of_an_international_domain_suppresses_the_address_as_it_was_typed(
    database: Database, postbox: Postbox, mail_server: MailServer, sns: Amazon
) -> None:
    """Providers report the domain in Punycode, as we have sent it."""
    with database.transaction() as session:
        member = enqueue_welcome(session, email="olena@Пошта.укр")
    deliver(database, mail_server)
    assert postbox.emails[0]["To"] == "olena@xn--80a1acn3a.xn--j1amh"
    told = bounce(postbox.emails[0]["To"], message_id=postbox.emails[0]["Message-ID"])
    assert sns.send(sns.message(told)).status_code == 204
    with database.transaction() as session:
        assert suppressed(session, "olena@пошта.укр") is SuppressionReason.BOUNCE
        enqueue(session, "welcome", to=session.merge(member).id, key="again")
    deliver(database, mail_server)
    assert [email.state for email in emails_in(database)] == ["bounced", "withdrawn"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda sns: sns.message(bounce("a@b.c"), TopicArn=TOPIC.replace("1234", "9999")),
        lambda sns: sns.message(bounce("a@b.c")) | {"Message": json.dumps(bounce("x@b.c"))},
        lambda sns: sns.message(bounce("a@b.c"), SigningCertURL=f"https://evil.org/{CERTIFICATE}"),
        lambda sns: sns.message(
            bounce("a@b.c"), SigningCertURL=URL.replace(".com/", ".com.evil.org/")
        ),
        lambda sns: sns.message(
            bounce("a@b.c"), SigningCertURL=URL.replace("https://", "https://evil.org\\@")
        ),
        lambda sns: sns.message(
            bounce("a@b.c"), SigningCertURL=URL.replace(CERTIFICATE, f"../{CERTIFICATE}")
        ),
        lambda sns: sns.message(bounce("a@b.c"), Timestamp="2026-01-01T00:00:00.000Z"),
        lambda sns: sns.message(bounce("a@b.c"), Timestamp="2026-01-01T00:00:00"),
        lambda sns: sns.message(bounce("a@b.c")) | {"SignatureVersion": "0"},
        lambda sns: sns.message(bounce("a@b.c")) | {"Signature": ""},
        lambda sns: sns.message(bounce("a@b.c")) | {"Signature": "no base64"},
        lambda sns: Amazon(sns.client).message(bounce("a@b.c")),
        lambda _sns: {},
    ],
)
def test_what_amazon_did_not_sign_for_our_topic_is_refused(
    database: Database, sns: Amazon, forge: Callable[[Amazon], dict[str, str]]
) -> None:
    assert sns.send(forge(sns)).status_code == 400
    assert reasons(database) == {}


def test_a_signature_with_sha1_is_refused_and_the_operator_told_what_to_set(
    database: Database, sns: Amazon, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = sns.send(sns.message(bounce("a@b.c"), version="1"))
    assert answer.status_code == 400
    assert reasons(database) == {}
    assert "SignatureVersion" in capsys.readouterr().out
    confirmation = sns.message("", version="1", Type="SubscriptionConfirmation")
    assert sns.send(confirmation).status_code == 400


def test_without_a_topic_nothing_is_believed(
    app: FundraiserApp, database: Database, sns: Amazon
) -> None:
    set_up(app, ses_topic=None)
    assert sns.send(sns.message(bounce("a@b.c"))).status_code == 400
    assert reasons(database) == {}


def test_a_certificate_that_has_expired_or_is_missing_proves_nothing(
    database: Database, sns: Amazon, tmp_path: Path
) -> None:
    (tmp_path / CERTIFICATE).write_bytes(sns.certificate(until=-timedelta(days=1)))
    assert sns.send(sns.message(bounce("a@b.c"))).status_code == 400
    (tmp_path / CERTIFICATE).unlink()
    assert sns.send(sns.message(bounce("a@b.c"))).status_code == 503, "Amazon sends it again"
    assert reasons(database) == {}


def test_a_subscription_is_confirmed_and_the_certificate_fetched_from_the_same_host(
    app: FundraiserApp, database: Database, sns: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amazon's host is a server of ours here; its pattern is what the test moves."""
    asked: list[str] = []
    certificate = sns.certificate()

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(certificate)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(amazon, "HOST", re.compile(re.escape(home)))
    set_up(app, ses_certificates=None)
    own = {"SigningCertURL": f"{home}{CERTIFICATE}"}
    confirm = f"{home}?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"
    wish = {"Type": "SubscriptionConfirmation", "Token": "abc", "SubscribeURL": confirm}
    try:
        assert sns.send(sns.message("", **own, **wish)).status_code == 204
        elsewhere = wish | {"SubscribeURL": "http://127.0.0.1:9/?Action=ConfirmSubscription&a=b"}
        assert sns.send(sns.message("", **own, **elsewhere)).status_code == 400
        assert sns.send(sns.message(bounce("a@b.c"), **own)).status_code == 204
    finally:
        server.shutdown()
        server.server_close()
    assert asked == [f"/{CERTIFICATE}", confirm.removeprefix(home[:-1])], "and it is kept"
    assert reasons(database) == {"a@b.c": SuppressionReason.BOUNCE}


def test_a_list_of_bounces_is_imported_whole_or_not_at_all(
    database: Database,
    environment: dict[str, str],
    settings: Settings,
    tmp_path: Path,
) -> None:
    secret = {"SECRET_KEY": settings.secret_keys[0]}
    own = environment | secret | {"DATABASE_URL": settings.database_url}
    file = tmp_path / "list.csv"
    file.write_text("address,reason\nA@example.org,\nb@example.org,complaint\nnobody,bounce\n")
    answer = CliRunner().invoke(cli.main, ["bounces", "import", str(file)], env=own)
    assert answer.exit_code == 1
    assert "Line 4 can't be read" in answer.output
    assert reasons(database) == {}
    file.write_text("address,reason\nA@example.org,\nb@example.org,complaint\n")
    answer = CliRunner().invoke(cli.main, ["bounces", "import", str(file)], env=own)
    assert answer.output == "2 addresses get no e-mails any more.\n"
    assert reasons(database) == {
        "a@example.org": SuppressionReason.BOUNCE,
        "b@example.org": SuppressionReason.COMPLAINT,
    }
