"""Firefox and WebKitGTK from Debian, which Playwright can't drive, by W3C WebDriver commands.

Debian has no geckodriver, but Firefox itself takes these commands, by Mozilla's Marionette
protocol. Four commands are enough here; marionette-driver and Selenium would bring 25 packages.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from demo.servers import free_port
from tests.demonstration import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60  # seconds: beside other programs a browser starts and loads slowly
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's key of a reference to an element
# Marionette's names of the commands, and WebDriver's paths for the same.
PATHS = {
    "Navigate": "url",
    "ExecuteScript": "execute/sync",
    "ElementClick": "element/{id}/click",
    "ElementSendKeys": "element/{id}/value",
}
# The first element with these words that can be seen, on the page or inside a widget.
FIND = """
  const widgets = [...document.querySelectorAll('membership-progress')];
  return [document, ...widgets.map(widget => widget.shadowRoot)]
    .flatMap(root => root ? [...root.querySelectorAll(arguments[0])] : [])
    .find(element => element.checkVisibility() && element.textContent.includes(arguments[1]))
    ?? null;
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A browser's window; ``send`` runs one WebDriver command and returns its value."""

    send: Callable[[str, dict[str, Any]], Any]

    def visit(self, url: str) -> None:
        self.send("Navigate", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a JavaScript function in the page, and return what it returns."""
        return self.send("ExecuteScript", {"script": script, "args": arguments})

    def has(self, selector: str, words: str = "") -> bool:
        """Whether such an element can be seen now, on the page or inside a widget."""
        return self.run(FIND, selector, words) is not None

    def find(self, selector: str, words: str = "") -> dict[str, str]:
        """Wait until an element with these words can be seen; returns a reference to it."""
        wait_for(lambda: self.has(selector, words), PATIENCE)
        found: dict[str, str] = self.run(FIND, selector, words)
        return found

    def click(self, selector: str, words: str = "") -> None:
        self.send("ElementClick", {"id": self.find(selector, words)[ELEMENT]})

    def type(self, selector: str, text: str) -> None:
        self.send("ElementSendKeys", {"id": self.find(selector)[ELEMENT], "text": text})

    def box(self, selector: str) -> dict[str, float]:
        """Where an element is: ``left``, ``right``, ``width`` and so on, in CSS pixels."""
        script = "return arguments[0].getBoundingClientRect().toJSON()"
        box: dict[str, float] = self.run(script, self.find(selector))
        return box

    def expect_at(self, beginning: str) -> None:
        """Wait until the window's address begins so."""
        wait_for(lambda: self.run("return location.href").startswith(beginning), PATIENCE)


@contextmanager
def firefox() -> Iterator[Window]:
    """A Firefox without a window."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        pytest.skip("Firefox is missing. On Debian and Ubuntu: apt-get install firefox-esr")
    port = free_port()
    with ExitStack() as stack:
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        Path(profile, "user.js").write_text(f'user_pref("marionette.port", {port});\n')
        command = (path, "--headless", "--marionette", "--no-remote", "--profile", profile)
        stack.enter_context(_program(*command))
        answers = stack.enter_context(stack.enter_context(_connected(port)).makefile("rwb"))
        numbers = count(1)

        def receive() -> Any:
            size = b""
            while not size.endswith(b":"):
                size += answers.read(1)
            return json.loads(answers.read(int(size[:-1])))

        def send(command: str, values: dict[str, Any]) -> Any:
            message = json.dumps([0, next(numbers), f"WebDriver:{command}", values]).encode()
            answers.write(b"%d:%s" % (len(message), message))
            answers.flush()
            _, _, error, result = receive()
            assert error is None, error
            return result.get("value") if result else None

        receive()  # what it speaks
        send("NewSession", {})
        yield Window(send)


@contextmanager
def webkit() -> Iterator[Window]:
    """WebKitGTK's own small browser, on a display of its own."""
    path = shutil.which("WebKitWebDriver")
    if path is None or shutil.which("Xvfb") is None:
        pytest.skip(
            "WebKitGTK or Xvfb is missing. "
            "On Debian and Ubuntu: apt-get install webkit2gtk-driver xvfb"
        )
    port = free_port()
    with ExitStack() as stack:
        command = ("Xvfb", "-displayfd", "1", "-nolisten", "tcp")
        display = stack.enter_context(_program(*command, stdout=subprocess.PIPE))
        assert display.stdout
        environment = os.environ | {"DISPLAY": f":{display.stdout.readline().decode().strip()}"}
        stack.enter_context(_program(path, f"--port={port}", env=environment))
        stack.enter_context(_connected(port))
        http = stack.enter_context(requests.Session())
        url = f"http://127.0.0.1:{port}/session"

        def ask(method: str, url: str, values: dict[str, Any] | None = None) -> Any:
            answer = http.request(method, url, json=values, timeout=PATIENCE)
            assert answer.ok, answer.text
            return answer.json()["value"]

        session = f"{url}/{ask('POST', url, {'capabilities': {}})['sessionId']}"
        stack.callback(ask, "DELETE", session)
        yield Window(
            lambda command, values: ask(
                "POST", f"{session}/{PATHS[command].format(**values)}", values
            )
        )


@contextmanager
def _program(*command: str, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a program until the block ends; nobody reads what it says, unless ``options`` ask."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **(quiet | options)) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _connected(port: int) -> socket.socket:
    """Wait until a program listens on this port, and connect to it."""
    found: list[socket.socket] = []

    def listens() -> bool:
        with suppress(ConnectionRefusedError):
            found.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
        return bool(found)

    wait_for(listens, PATIENCE)
    return found[0]


ENGINES = {"firefox": firefox, "webkit": webkit}
