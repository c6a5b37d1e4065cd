"""Proofs of work for browsers (ALTCHA), or a short wait for browsers without JavaScript.

A proof works once, for some minutes. It doesn't identify anybody.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from hashlib import sha256

from altcha import create_challenge, verify_solution
from itsdangerous import BadSignature, TimestampSigner

from fundraiser.security import keyed_digest, keyed_digests, signing_keys

LIVES = 15 * 60  # seconds
WAIT = 10  # seconds until a ticket is valid
_ALGORITHM = "PBKDF2/SHA-256"  # every browser has it built in
_PREFIX = "00"  # one counter in 256 is a solution
_COST = 2_000  # iterations a counter: half a second on a laptop, two or three on a phone
_LONGEST = 4_000  # characters


def new_challenge(harder: int = 1) -> str:
    """A new challenge as JSON; ``harder`` multiplies the usual time to solve it."""
    challenge = create_challenge(
        _ALGORITHM,
        _COST * harder,
        key_prefix=_PREFIX,
        expires_at=int(time.time()) + LIVES,
        hmac_secret=keyed_digest("altcha", ""),
    )
    return json.dumps(challenge.to_dict(), separators=(",", ":"))


def name_of_proof(solution: str) -> str | None:
    """A unique name of a correct solution, to detect reuse; None if it is wrong or too old.

    ``solution`` is the content of ALTCHA's form field: base64 of the challenge and its solution.
    """
    if len(solution) > _LONGEST or not _is_solved(solution):
        return None
    signature = json.loads(base64.b64decode(solution))["challenge"]["signature"]
    return sha256(signature.encode()).hexdigest()


def new_ticket() -> str:
    """A ticket to wait with, for browsers without JavaScript."""
    return _signer().sign(secrets.token_hex(8)).decode()


def seconds_to_wait(ticket: str) -> int | None:
    """How long this ticket must still wait; None if it isn't ours or is too old."""
    try:
        _name, at = _signer().unsign(ticket[:_LONGEST], max_age=LIVES, return_timestamp=True)
    except BadSignature:
        return None
    return max(0, round(WAIT - (time.time() - at.timestamp())))


def _signer() -> TimestampSigner:
    return TimestampSigner(signing_keys(), salt="ticket to wait with")


def _is_solved(solution: str) -> bool:
    secrets_of_ours = keyed_digests("altcha", "")
    return any(verify_solution(solution, secret).verified for secret in secrets_of_ours)
