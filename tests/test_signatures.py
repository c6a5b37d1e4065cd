"""Signed links and cookies: HMAC-SHA256, a key for each purpose, and nothing weaker."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from flask_wtf.csrf import generate_csrf
from itsdangerous import BadSignature, Signer, URLSafeSerializer, URLSafeTimedSerializer

from fundraiser.emails.links import Reference, address_of, read_token
from fundraiser.errors import NotFoundError
from fundraiser.members.email_links import read_undo_link, undo_link
from fundraiser.payments.proofs import new_ticket
from tests.staff import hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

SHA256_LENGTH = 43  # characters of base64; SHA-1 has 27


def length_of_signature(signed: str) -> int:
    return len(signed.rpartition(".")[2])


def test_what_is_signed_is_signed_with_sha256(
    app: FundraiserApp, client: FlaskClient, database: Database
) -> None:
    sign_in(client, hire(database))
    for name in ("staff", "device"):
        cookie = client.get_cookie(name)
        assert cookie, name
        assert length_of_signature(cookie.value) == SHA256_LENGTH, name
    with app.test_request_context():
        assert length_of_signature(generate_csrf()) == SHA256_LENGTH
    for signed in (undo_link(1), address_of(Reference(member_id=1)), new_ticket()):
        assert length_of_signature(signed) == SHA256_LENGTH


def test_a_signature_by_another_key_or_with_sha1_is_none(app: FundraiserApp) -> None:
    key = app.extensions["settings"].secret_keys[0]
    for secret, method in ((key, hashlib.sha1), ("another key", hashlib.sha256)):
        made_by = {"digest_method": method}
        links = URLSafeSerializer(secret, salt="letters", signer_kwargs=made_by)
        with pytest.raises(NotFoundError):
            read_token(str(links.dumps(["member", 7, None])))
        timed = URLSafeTimedSerializer(secret, salt="undo-an-address", signer_kwargs=made_by)
        with pytest.raises(NotFoundError):
            read_undo_link(str(timed.dumps(7)))
    links = URLSafeSerializer(key, salt="letters", signer_kwargs={"digest_method": hashlib.sha256})
    assert read_token(str(links.dumps(["member", 7, None]))).member_id == 7, "the control"
    with pytest.raises(BadSignature):
        Signer(key).unsign(Signer(key, digest_method=hashlib.sha1).sign("a cookie"))


@pytest.mark.usefixtures("app")
def test_a_link_is_good_for_its_purpose_alone() -> None:
    with pytest.raises(NotFoundError):
        read_token(undo_link(7).rpartition("/")[2])
