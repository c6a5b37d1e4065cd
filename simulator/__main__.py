"""`python -m simulator --port N --store FILE.sqlite`: run the simulator."""

import argparse
import ipaddress
import os
import re
import signal
import sys
import threading
from pathlib import Path

from werkzeug.serving import make_server

from simulator.app import create_app
from simulator.core.clock import Clock
from simulator.core.engine import Ticker
from simulator.core.events import listen_for
from simulator.core.faults import Faults
from simulator.core.store import Store
from simulator.core.webhooks import Senders
from simulator.core.world import World
from simulator.serving import handler_by


def main() -> None:
    options = _options()
    store = Store(options.store)
    world = World(
        store=store,
        clock=Clock(store, options.clock_file),
        faults=Faults(store),
        base_url=options.base_url or f"http://{options.host}:{options.port}",
        webhook_url=options.webhook_url,
        webhook_secret=options.webhook_secret,
        retry_seconds=options.webhook_retry,
        dunning_end=options.dunning_end,
    )
    try:
        world.behaviours.switch(dict.fromkeys(options.without, False))
        if options.rate_limits:
            world.behaviours.choose({"rate_limits": options.rate_limits})
        if options.latency is not None:
            world.faults.set({"latency_seconds": options.latency})
    except ValueError as error:
        sys.exit(f"simulator: {error}")
    recorder = None
    if options.describe:
        # Needs the validating libraries, which only the tests install.
        from simulator.core.description import Recorder

        recorder = Recorder(options.describe, options.report)
    server = make_server(
        options.host,
        options.port,
        create_app(world, recorder),
        threaded=True,
        request_handler=handler_by(world.faults.seconds),
    )
    if not options.base_url:
        world.base_url = f"http://{options.host}:{server.server_port}"
    listen_for(world)
    senders = Senders(world, recorder.record_event if recorder else None)
    ticker = Ticker(world)
    senders.start()
    ticker.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start()
        )
    sys.stdout.write(f"The Stripe simulator is at {world.base_url}\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=0.1)
    world.stopping.set()
    ticker.stop()
    senders.stop()
    store.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", type=_loopback)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument(
        "--store", type=Path, required=True, help="a SQLite file, made when missing"
    )
    parser.add_argument("--base-url", help="how browsers reach it, when not by host and port")
    parser.add_argument("--webhook-url")
    parser.add_argument("--webhook-secret")
    parser.add_argument("--webhook-retry", type=float, default=1.0, help="seconds before the first")
    parser.add_argument("--clock-file", type=Path, help="gets the clock's offset in seconds")
    parser.add_argument("--dunning-end", choices=("cancel", "unpaid", "past_due"), default="cancel")
    parser.add_argument("--rate-limits", choices=("off", "live", "sandbox"))
    parser.add_argument(
        "--latency",
        type=_seconds,
        help="how long an answer takes, as 250ms or 0.25s: a log-normal around it",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=os.environ.get("SIMULATOR_WITHOUT", "").split(),
        metavar="NAME",
        help="switch a behaviour of Stripe's off (see simulator/README.md); repeatable",
    )
    parser.add_argument(
        "--describe",
        type=Path,
        default=os.environ.get("SIMULATOR_DESCRIBE"),
        help="Stripe's spec3.json: every call, answer and webhook is held against it",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=os.environ.get("SIMULATOR_REPORT"),
        help="a folder that gets a file of one line for each thing validated",
    )
    options = parser.parse_args()
    if bool(options.webhook_url) is not bool(options.webhook_secret):
        parser.error("--webhook-url and --webhook-secret go together.")
    return options


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)(ms|s)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is no duration, like 250ms or 0.25s.")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def _loopback(host: str) -> str:
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise argparse.ArgumentTypeError(f"{host} is not a loopback address.")
    return host


if __name__ == "__main__":
    main()
