"""`python -m simulator.elsewhere --port N`: Patreon and Ghost as a process of their own."""

import argparse
import json
import sys
from pathlib import Path

from werkzeug.serving import make_server

from simulator.elsewhere.app import create_app
from simulator.elsewhere.ghost import Ghost
from simulator.elsewhere.patreon import Patreon
from simulator.serving import Handler


def main() -> None:
    parser = argparse.ArgumentParser(prog="simulator.elsewhere", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument("--patreon", type=Path, help="members: a JSON object, by their users' ids")
    parser.add_argument("--access", help="the access token; else a random one")
    parser.add_argument("--refresh", help="the refresh token; else a random one")
    options = parser.parse_args()
    patreon, ghost = Patreon(), Ghost()
    patreon.access = options.access or patreon.access
    patreon.refresh = options.refresh or patreon.refresh
    if options.patreon:
        for user, attributes in json.loads(options.patreon.read_text()).items():
            patreon.put(user, **attributes)
    server = make_server(
        "127.0.0.1",
        options.port,
        create_app(patreon, ghost),
        threaded=True,
        request_handler=Handler,
    )
    sys.stdout.write(f"Patreon is at http://127.0.0.1:{server.server_port}/patreon\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
