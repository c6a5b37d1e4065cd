"""What can go wrong with an API, whichever it is: it limits, fails, is slow, goes away, or lies."""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Response


@dataclass
class Faults:
    """Each is off until it is set.

    ``status``: answer everything with it. ``seconds``: be silent so long before each answer.
    ``html``: a page instead of JSON, with 200, as a proxy in maintenance sends it. ``half``: the
    first half of the answer. ``drops``: leave out every n-th member of a listing. ``fields``: leave
    out all attributes, as where none was asked for.
    """

    status: int = 0
    seconds: float = 0
    html: bool = False
    half: bool = False
    drops: int = 0
    fields: bool = False

    def set(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if name not in self.__dataclass_fields__:
                raise ValueError(f"There is no fault {name!r}.")
            setattr(self, name, value)

    def answer(self, make: Callable[[], Response]) -> Response:
        """The answer, as it comes through."""
        if self.seconds:
            time.sleep(self.seconds)
        if self.html:
            return Response("<!doctype html><title>Back soon</title>", mimetype="text/html")
        if self.status:
            return Response(status=self.status)
        made = make()
        if self.half:
            made.set_data(made.get_data()[: len(made.get_data()) // 2])
        return made


@dataclass
class Window:
    """At most so many calls in so many seconds."""

    most: int
    seconds: float
    calls: deque[float] = field(default_factory=deque)

    def wait(self) -> float:
        """Count a call; how many seconds to wait where there were too many, else 0."""
        at = time.monotonic()
        while self.calls and self.calls[0] <= at - self.seconds:
            self.calls.popleft()
        if len(self.calls) >= self.most:
            return self.calls[0] + self.seconds - at
        self.calls.append(at)
        return 0


def as_json(content: object, status: int = 200, mimetype: str = "application/json") -> Response:
    return Response(json.dumps(content), status=status, mimetype=mimetype)
