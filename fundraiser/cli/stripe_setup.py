"""`fundraiser stripe set-up`: find what is missing or wrong at Stripe, and fix it."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fundraiser.errors import UnprocessableError
from fundraiser.payments import OtherAccountError, check_account, is_as_it_should_be
from fundraiser.payments.products import missing_from_catalogue, publish_catalogue
from fundraiser.webhooks.inbox import HANDLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.payments import AccountGateway

_SECRET = "STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
_LINE = re.compile(rf"^(?:export\s+)?{_SECRET}=.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A step at Stripe: ``plan`` describes it, ``do`` runs it and describes the result."""

    plan: str
    do: Callable[[], str]


def plan_set_up(
    session: Session, gateway: AccountGateway, settings: Settings, env_file: Path | None
) -> list[Step]:
    """The steps needed at Stripe; empty if everything is right.

    Raises:
        OtherAccountError: the key belongs to another account than the members.
        UnprocessableError: Stripe will show a secret, and no file was named for it.
    """
    account = gateway.fetch_account()
    if account and not check_account(session, account.id):
        raise OtherAccountError(
            f"STRIPE_API_KEY is of {account.id}, and this database belongs to another account."
        )
    return [
        *_plan_endpoint(gateway, env_file),
        *_plan_portal(gateway, settings),
        *_plan_catalogue(session, gateway),
    ]


def _plan_endpoint(gateway: AccountGateway, env_file: Path | None) -> list[Step]:
    address = gateway.webhook_address
    ours = [
        one
        for one in gateway.list_endpoints()
        if one.url.rstrip("/") == address and not one.is_thin
    ]
    found = next((one for one in ours if one.is_enabled), ours[0] if ours else None)
    if found is None:
        if env_file is None:
            raise UnprocessableError(
                "Stripe has no endpoint for us, and tells the secret of a new one only once: "
                "name the file that it goes to, with --write-env FILE."
            )
        return [
            Step(
                f"make a webhook endpoint for {address}, and write its secret to {env_file}",
                lambda: _make_endpoint(gateway, env_file),
            )
        ]
    lacking = found.lacks(HANDLED)
    if found.is_enabled and not lacking:
        return []
    plan = f"have {found.id} send {len(lacking)} more types of events"
    if not found.is_enabled:
        plan = f"enable {found.id}, and have it send all that is needed"

    def repair() -> str:
        gateway.repair_endpoint(found, HANDLED)
        return f"{found.id} is sent what is needed."

    return [Step(plan, repair)]


def _make_endpoint(gateway: AccountGateway, env_file: Path) -> str:
    check_writable(env_file)
    endpoint_id, secret = gateway.make_endpoint(HANDLED)
    try:
        write_secret(env_file, secret)
    except OSError as error:
        gateway.delete_endpoint(endpoint_id)
        raise UnprocessableError(
            f"{env_file} can't be written ({error.strerror}): the new endpoint was deleted again."
        ) from error
    return f"{endpoint_id} calls us; its secret is in {env_file}: restart the service with it."


def _plan_portal(gateway: AccountGateway, settings: Settings) -> list[Step]:
    found = gateway.find_portal()
    if found is None:
        return [
            Step(
                "configure Stripe's portal for new payment methods and invoices",
                lambda: f"{gateway.portal_configuration()} is our portal's configuration.",
            )
        ]
    if is_as_it_should_be(found, settings.public_url):
        return []

    def repair() -> str:
        gateway.repair_portal(found["id"])
        return f"{found['id']} is as it was made."

    return [Step(f"set {found['id']}, our portal's configuration, as it was made", repair)]


def _plan_catalogue(session: Session, gateway: AccountGateway) -> list[Step]:
    missing = missing_from_catalogue(session)
    if not missing:
        return []
    return [
        Step(
            f"make or change {missing} products and prices",
            lambda: f"Made {publish_catalogue(session, gateway)} products and prices at Stripe.",
        )
    ]


def check_writable(file: Path) -> None:
    """Check that a file is writable before making something whose secret goes there.

    Raises:
        UnprocessableError: it isn't.
    """
    parent = file.resolve().parent
    if file.is_dir() or not os.access(parent, os.W_OK) or file.is_symlink():
        raise UnprocessableError(f"{file} can't be written: name a file in a folder of yours.")


def write_secret(file: Path, secret: str) -> None:
    """Write the secret into an environment file, readable only by its owner; keep other lines."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    line = f"{_SECRET}={secret}"
    if _LINE.search(before):
        after = _LINE.sub(line, before, count=1)
    else:
        after = f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n"
    handle, beside = tempfile.mkstemp(dir=file.resolve().parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:  # made with mode 0600
            new.write(after)
        Path(beside).replace(file)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise
