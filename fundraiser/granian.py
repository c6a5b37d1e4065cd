"""Start the web server: ``python -m fundraiser.granian``, the Procfile's ``web``.

Granian's own command doesn't allow a time-out as long as load balancers need, so we start it here,
with HOST, PORT and WEB_CONCURRENCY from the environment.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from fundraiser.config import load_listening

# Load balancers reuse a connection for up to a minute after its last answer. If we closed it first,
# they would answer 502. For headers, it is the time to send them.
_IDLE_PATIENCE = 75_000  # milliseconds
_MOST_CONNECTIONS = 50_000  # a process
_FILES_FOR_ITSELF = 500  # for the database, Redis, Stripe, the log
_FEWEST_CONNECTIONS = 500
_OURS = {"()": "fundraiser.logs.make_formatter"}
# The server's own lines in our form: these replace its formatters, and its handlers stay.
_LOGGING = {"formatters": {"generic": _OURS, "access": _OURS}}


def main() -> None:
    """Serve until a signal; an optional argument names another ASGI application."""
    listening = load_listening()
    Granian(
        next(iter(sys.argv[1:]), "fundraiser.asgi:application"),
        address=listening.host,
        port=listening.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        workers=listening.processes,
        backlog=4096,
        backpressure=connections(),
        log_dictconfig=_LOGGING,
        http1_settings=HTTP1Settings(header_read_timeout=_IDLE_PATIENCE),
        respawn_failed_workers=True,
        respawn_interval=1,
        workers_kill_timeout=10,
    ).serve()


def connections() -> int:
    """How many connections a process accepts, idle ones included; each is an open file.

    Raises the limit of open files as far as the system allows. A process at its limit accepts
    nobody, so granian's default of 512 would let as many idle browsers block it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _FILES_FOR_ITSELF
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with suppress(ValueError, OSError):  # macOS has a second limit, which it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    files = wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)
    return max(files - _FILES_FOR_ITSELF, _FEWEST_CONNECTIONS)


if __name__ == "__main__":
    main()
