"""Passkeys (WebAuthn): registration, and checks at sign-in and confirmation.

The browser gets options with a challenge and returns JSON, which ``webauthn`` verifies. A challenge
works once, in its own session. The library takes half a second to import, so we import it when
somebody first uses a passkey.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import select, update

from fundraiser.config import current_settings
from fundraiser.db import clock
from fundraiser.errors import UnprocessableError
from fundraiser.newsroom.models import Passkey, StaffSession
from fundraiser.texts import Named, gettext as _

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    from fundraiser.newsroom.models import Staff

LARGEST = 8_000  # characters of what a browser sends back
MOST = 10


def are_possible() -> bool:
    """Whether browsers can make passkeys for our address: it must be a name, not an IP address."""
    try:
        ip_address(_host())
    except ValueError:
        return True
    return False


def registration_options(session: Session, staff: Staff, here: StaffSession) -> str:
    """The options for ``navigator.credentials.create``, as JSON."""
    import webauthn
    from webauthn.helpers import structs

    options = webauthn.generate_registration_options(
        rp_id=_host(),
        rp_name=current_settings().newsroom_name,
        user_id=f"staff {staff.id}".encode(),
        user_name=staff.email,
        user_display_name=staff.name,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_descriptors(staff),
    )
    _keep_challenge(session, here, options.challenge)
    return webauthn.options_to_json(options)


def sign_in_options(session: Session, staff: Staff, here: StaffSession) -> str:
    """The options for ``navigator.credentials.get``, as JSON."""
    import webauthn
    from webauthn.helpers import structs

    options = webauthn.generate_authentication_options(
        rp_id=_host(),
        allow_credentials=_descriptors(staff),
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    _keep_challenge(session, here, options.challenge)
    return webauthn.options_to_json(options)


def add(session: Session, staff: Staff, here: StaffSession, answer: str, name: str) -> Passkey:
    """Verify and store a new passkey.

    Raises:
        UnprocessableError: the answer doesn't match the last challenge, or there are ten
            already.
    """
    import webauthn

    if len(staff.passkeys) >= MOST:
        raise UnprocessableError(
            _("You already have %(count)s passkeys. Remove one before you add another.", count=MOST)
        )
    challenge = _take_challenge(session, here)
    try:
        made = webauthn.verify_registration_response(
            credential=_checked(answer),
            expected_challenge=challenge,
            expected_rp_id=_host(),
            expected_origin=current_settings().public_url,
            require_user_verification=True,
        )
    except _unreadable() as error:
        raise _refusal() from error
    if session.scalar(select(Passkey.id).where(Passkey.credential_id == made.credential_id)):
        raise _refusal()
    passkey = Passkey(
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        name=name,
        created_at=clock.machine(),
    )
    staff.passkeys.append(passkey)
    session.flush()
    return passkey


def check(session: Session, staff: Staff, here: StaffSession, answer: str) -> None:
    """Verify that one of the person's passkeys has signed the session's challenge.

    Raises:
        UnprocessableError: it has not.
    """
    import webauthn

    challenge = _take_challenge(session, here)
    try:
        credential = webauthn.helpers.parse_authentication_credential_json(_checked(answer))
        known = session.scalars(
            select(Passkey)
            .where(Passkey.staff_id == staff.id, Passkey.credential_id == credential.raw_id)
            .with_for_update()
        ).first()
        if known is None:
            raise _refusal()
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=_host(),
            expected_origin=current_settings().public_url,
            credential_public_key=known.public_key,
            credential_current_sign_count=known.sign_count,
            require_user_verification=True,
        )
    except _unreadable() as error:
        raise _refusal() from error
    known.sign_count, known.used_at = verified.new_sign_count, clock.machine()


def _descriptors(staff: Staff) -> list[PublicKeyCredentialDescriptor]:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [PublicKeyCredentialDescriptor(id=known.credential_id) for known in staff.passkeys]


def _keep_challenge(session: Session, here: StaffSession, challenge: bytes) -> None:
    from webauthn.helpers import bytes_to_base64url

    session.execute(
        update(StaffSession)
        .where(StaffSession.id == here.id)
        .values(challenge=bytes_to_base64url(challenge))
    )


def _take_challenge(session: Session, here: StaffSession) -> bytes:
    """Read and clear the session's challenge."""
    kept = session.scalar(
        select(StaffSession.challenge).where(StaffSession.id == here.id).with_for_update()
    )
    if kept is None:
        raise _refusal()
    session.execute(update(StaffSession).where(StaffSession.id == here.id).values(challenge=None))
    from webauthn.helpers import base64url_to_bytes

    return base64url_to_bytes(kept)


def _unreadable() -> tuple[type[Exception], ...]:
    """The exceptions of invalid answers; the last two are for deeply nested JSON or CBOR."""
    from webauthn.helpers.exceptions import WebAuthnException

    return WebAuthnException, RecursionError, ValueError


def _checked(answer: str) -> str:
    if len(answer) > LARGEST:
        raise _refusal()
    return answer


def _refusal() -> UnprocessableError:
    sentence = _("We couldn’t check your passkey. Try again, or use another way.")
    return UnprocessableError(Named("passkey-wrong", sentence), field="passkey")


def _host() -> str:
    return urlsplit(current_settings().public_url).hostname or ""
