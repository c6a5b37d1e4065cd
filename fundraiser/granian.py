"""Start the web server: ``python -m fundraiser.granian``, what the Procfile calls web.

Granian's own command refuses a time-out as long as load balancers need it, so it is started from
here, with HOST, PORT and WEB_CONCURRENCY of the environment.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from fundraiser.config import load_listening

# Load balancers use a connection again for up to a minute after its last answer: whoever closes
# first must not be us, or they meet a closed door (502). For heads, it is the time to send one.
_IDLE_PATIENCE = 75_000  # milliseconds
_MOST_CONNECTIONS = 50_000  # a process
_FILES_FOR_ITSELF = 500  # the database, Redis, Stripe, the log
_FEWEST_CONNECTIONS = 500


def main() -> None:
    """Serve until a signal; an argument names another ASGI application than ours."""
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
        http1_settings=HTTP1Settings(header_read_timeout=_IDLE_PATIENCE),
        respawn_failed_workers=True,
        respawn_interval=1,
        workers_kill_timeout=10,
    ).serve()


def connections() -> int:
    """How many connections a process keeps open, idle ones included: each is an open file.

    It raises the limit of open files as far as the system lets it. A process that has reached
    its limit accepts nobody, so that granian's own 512 let as many idle browsers shut it.
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
