import argparse
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from werkzeug.serving import make_server

import demo.mailbox
from demo.mailbox.pages import create_mailbox
from demo.mailbox.store import Store


class Postman:
    """What the SMTP server calls: an e-mail is kept before it is accepted."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        source = envelope.original_content or b""
        self.store.keep(envelope.mail_from or "", envelope.rcpt_tos, source)
        return "250 Kept"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demo.mailbox", description=demo.mailbox.__doc__
    )
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--port", type=int, required=True, help="of the web page")
    parser.add_argument("--store", type=Path, required=True, help="the SQLite file")
    options = parser.parse_args()
    store = Store(options.store)
    smtp = Controller(Postman(store), hostname="127.0.0.1", port=options.smtp_port)
    smtp.start()
    make_server("127.0.0.1", options.port, create_mailbox(store), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
