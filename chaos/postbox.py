"""The other end of SMTP: takes every e-mail and remembers whose it was."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

from demo.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Postbox:
    """``taken`` counts the deliveries."""

    url: str
    taken: int = field(default=0)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self,
        _server: Any,  # noqa: ANN401 - aiosmtpd is untyped
        _session: Any,  # noqa: ANN401
        _envelope: Any,  # noqa: ANN401
    ) -> str:
        self.taken += 1
        return "250 OK"


@contextmanager
def postbox() -> Iterator[Postbox]:
    port = free_port()
    box = Postbox(f"smtp://127.0.0.1:{port}")
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
