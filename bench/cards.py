"""Card testers and readers at once: how many payments each start at Stripe.

All of `make run`, with a newsroom's limits and behind one trusted proxy, whose part this plays:
each request says whose it is by X-Forwarded-For. The browser check is off when it begins. Attackers
send a join form's POST without fetching a page, from IPv4 and IPv6 networks all over the world; a
thousand of them share the address of a mobile operator with fifty readers. Each reader opens the
join page, chooses the button, and does what the page's script does.
"""

from __future__ import annotations

import json
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import altcha
import requests
from bs4 import BeautifulSoup

from tests.demonstration import Demonstration, remove_elsewhere, seven_free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPTS = 12_000  # --attempts: the attack on Newspack's forms had 120,000
ADDRESSES, ON_THE_OPERATOR = 5_000, 1_000
READERS, OF_THE_OPERATOR = 200, 50
OPERATOR = "100.64.7.7"
_ATTACKERS, _READERS = 6, 4  # threads
_PATIENCE = 60  # seconds for one answer
_TRIES = 5  # pages that a reader's browser goes on from by itself


@dataclass(frozen=True, slots=True)
class Visit:
    """What became of one: when it began and ended (seconds of the clock), its last status."""

    began: float
    ended: float
    status: int


def main() -> None:
    attempts = ATTEMPTS
    if "--attempts" in sys.argv:
        attempts = int(sys.argv[sys.argv.index("--attempts") + 1])
    with demonstration() as demo:
        app = demo.address("join page").partition("/join")[0]
        attackers, readers = replay(app, attempts)
    tell(attackers, readers)


@contextmanager
def demonstration() -> Iterator[Demonstration]:
    """All of `make run`, on free ports, with a newsroom's limits behind one proxy."""
    with tempfile.TemporaryDirectory() as folder:
        started = Demonstration(
            Path(folder), seven_free_ports(), JOIN_LIMIT="20 per 10 minutes", TRUSTED_PROXIES="1"
        )
        try:
            started.wait_until_ready()
            yield started
        finally:
            started.stop(signal.SIGTERM)
            remove_elsewhere(Path(folder))


def replay(app: str, attempts: int) -> tuple[list[Visit], list[Visit]]:
    """The attack, and within it the readers."""
    chance = random.Random(7)  # noqa: S311 - the same attack each time
    networks = [_somewhere(chance) for _ in range(ADDRESSES - ON_THE_OPERATOR)]
    addresses = [*networks, *[OPERATOR] * ON_THE_OPERATOR]
    fields = _form_of(app, requests.Session(), OPERATOR)
    homes = [OPERATOR] * OF_THE_OPERATOR
    homes += [_somewhere(chance) for _ in range(READERS - OF_THE_OPERATOR)]
    chance.shuffle(homes)
    sent = threading.local()

    def attack(_number: int) -> Visit:
        if not hasattr(sent, "session"):
            sent.session = requests.Session()
        began = time.time()
        status = _post(app, sent.session, chance.choice(addresses), fields).status_code
        return Visit(began, time.time(), status)

    with ThreadPoolExecutor(_ATTACKERS) as bad, ThreadPoolExecutor(_READERS) as good:
        attackers = [bad.submit(attack, number) for number in range(attempts)]
        time.sleep(2)  # the attack is under way when the first reader comes
        readers = [good.submit(read, app, home) for home in homes]
        done = [visit.result() for visit in readers]
        return [visit.result() for visit in attackers], done


def read(app: str, address: str) -> Visit:
    """A reader: opens the page, chooses the button; the browser does the rest."""
    began, session = time.time(), requests.Session()
    answer = _post(app, session, address, _form_of(app, session, address))
    for _ in range(_TRIES):
        if answer.status_code != requests.codes.too_many_requests:
            break
        form = BeautifulSoup(answer.text, "html.parser").select_one("form#proof")
        if form is None:
            break
        time.sleep(float(str(form["data-wait"])))
        fields = {str(field["name"]): str(field["value"]) for field in form.select("input")}
        solution = _solve(str(form["data-challenge"]))
        answer = _post(app, session, address, fields | {"altcha": solution})
    return Visit(began, time.time(), answer.status_code)


def tell(attackers: list[Visit], readers: list[Visit]) -> None:
    """The figures: in how long, what was answered, and who reached Stripe."""
    begun = sorted(visit.ended for visit in attackers if visit.status == requests.codes.see_other)
    minutes = (max(v.ended for v in attackers) - min(v.began for v in attackers)) / 60
    statuses = Counter(visit.status for visit in attackers)
    print(f"{len(attackers):,} attempts from {ADDRESSES:,} in {minutes:.1f} minutes: {statuses}")
    most = max((sum(at <= other < at + 60 for other in begun) for at in begun), default=0)
    print(f"payments that attackers started: {len(begun)}, in any 60 seconds at most {most}")
    through = [v for v in readers if v.status in {200, requests.codes.see_other}]
    times = sorted(visit.ended - visit.began for visit in through)
    print(f"readers who reached Stripe: {len(through)} of {len(readers)}")
    if times:
        print(
            f"from opening the join page: median {times[len(times) // 2]:.1f} s, "
            f"slowest {times[-1]:.1f} s"
        )


def _form_of(app: str, session: requests.Session, address: str) -> dict[str, str]:
    page = session.get(f"{app}/join", headers={"X-Forwarded-For": address}, timeout=_PATIENCE)
    fields = BeautifulSoup(page.text, "html.parser").select("#join [type=hidden]")
    return {str(field["name"]): str(field["value"]) for field in fields} | {"tier": "member"}


def _post(
    app: str, session: requests.Session, address: str, fields: dict[str, str]
) -> requests.Response:
    nonce = {} if "altcha" in fields else {"nonce": secrets.token_urlsafe(24)}
    return session.post(
        f"{app}/join",
        data=fields | nonce,
        headers={"Origin": app, "Accept": "text/html", "X-Forwarded-For": address},
        allow_redirects=False,
        timeout=_PATIENCE,
    )


def _solve(challenge: str) -> str:
    given = altcha.Challenge.from_dict(json.loads(challenge))
    solution = altcha.solve_challenge(given)
    assert solution
    return altcha.Payload(given, solution).to_base64()


def _somewhere(chance: random.Random) -> str:
    """A public address in a network of its own, one in two of IPv6."""
    if chance.random() < 0.5:  # noqa: PLR2004 - one half
        return f"2a0{chance.randrange(16):x}:{chance.randrange(1 << 16):x}::{chance.randrange(99)}"
    return f"{chance.randrange(20, 90)}." + ".".join(str(chance.randrange(256)) for _ in range(3))
