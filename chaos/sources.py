"""`python -m chaos.sources`: members who pay elsewhere, while workers are killed and Patreon lies.

Patrons join, pay, fail to, leave and come back; lists are brought in and undone, people merged and
taken apart. Meanwhile workers are killed with SIGKILL, and Patreon is slow, limits us, goes away,
answers with pages of HTML, with half of an answer, without the fields that were asked for or
without some members, withdraws its token, and loses webhooks. In the end everybody who counts is
compared with what Patreon has and the files say, read by an oracle of its own.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text
from werkzeug.serving import make_server

from chaos.elsewhere import of_files, of_patrons, people
from chaos.source_workers import SETTLES, Workers
from demo.servers import throwaway
from simulator.elsewhere.app import create_app as create_elsewhere
from simulator.elsewhere.ghost import Ghost
from simulator.elsewhere.patreon import Patreon
from simulator.serving import Handler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundraiser.app import FundraiserApp

ROOT = Path(__file__).parent.parent
GRACE = timedelta(days=14)
HOOK_SECRET = "hook-secret-of-the-run"  # noqa: S105 - of a simulator that ends with the run
LISTS = 24  # people who are in files
FAULTS: list[dict[str, Any]] = [
    *({"status": 503}, {"status": 401}, {"html": True}, {"half": True}, {"fields": True}),
    *({"drops": 2}, {"seconds": 1.5}),
]


@dataclass
class Run:
    """What was done, and what holds: files by their batches, merges by who was kept."""

    app: FundraiserApp
    patreon: Patreon
    random: Random
    files: dict[int, bytes] = field(default_factory=dict)
    merges: list[tuple[int, str, str]] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    users: int = 0

    # Patreon's people.

    def patron(self) -> None:
        """Somebody joins, pays, fails to, leaves, or gets their money back."""
        is_new = self.users < 5 or self.random.random() < 0.3  # noqa: PLR2004 - of the run
        user = self.users if is_new else self.random.randrange(self.users)
        self.users += is_new
        acts = (self._pays, self._pays, self._fails, self._leaves, self._refunded)
        act = self._pays if is_new else self.random.choice(acts)
        with self.patreon.lock:
            member = self.patreon.put(str(user), **act(user))
        self.made[f"patron {act.__name__.strip('_')}"] += 1
        if self.random.random() < 0.7:  # noqa: PLR2004 - the others are lost
            self._tell(member.id)

    def _tell(self, member_id: str) -> None:
        campaign = {"campaign": {"data": {"id": self.patreon.campaign, "type": "campaign"}}}
        told = {"data": {"type": "member", "id": member_id, "relationships": campaign}}
        body = json.dumps(told).encode()
        signed = hmac.new(HOOK_SECRET.encode(), body, "md5").hexdigest()
        headers = {"X-Patreon-Event": "members:update", "X-Patreon-Signature": signed}
        answer = self.app.test_client().post(
            "/webhooks/patreon", data=body, headers=headers, content_type="application/json"
        )
        self.made[f"webhook {answer.status_code}"] += 1

    def _pays(self, user: int) -> dict[str, Any]:
        # A few are in the lists too, and some give no address.
        email = f"l{user}@example.org" if user % 6 == 0 else f"p{user}@example.org"
        until = _day(self.random.randint(2, 25))
        return {
            "email": email if user % 11 else None,
            "full_name": f"P {user}",
            "patron_status": "active_patron",
            "last_charge_status": "Paid",
            "last_charge_date": _iso(_day(-3)),
            "next_charge_date": _iso(until),
            "pledge_cadence": 1,
            "currently_entitled_amount_cents": 500,
            "campaign_lifetime_support_cents": 1500,
            "is_free_trial": not user % 13,
        }

    def _fails(self, _user: int) -> dict[str, Any]:
        due = _day(-self.random.choice((3, 10, 20, 40)))
        return {
            "patron_status": "declined_patron",
            "last_charge_status": "Declined",
            "last_charge_date": _iso(_day(-1)),
            "next_charge_date": _iso(due),
        }

    def _leaves(self, _user: int) -> dict[str, Any]:
        charged = _day(-self.random.choice((3, 20, 60)))
        return {
            "patron_status": "former_patron",
            "last_charge_status": "Paid",
            "last_charge_date": _iso(charged),
            "next_charge_date": None,
        }

    def _refunded(self, _user: int) -> dict[str, Any]:
        return {"last_charge_status": "Refunded", "last_charge_date": _iso(_day(-1))}

    def misbehave(self) -> None:
        """One fault, or none."""
        off = {name: 0 for fault in FAULTS for name in fault}
        chosen = self.random.choice([{}, {}, *FAULTS])
        self.patreon.faults.set(off | chosen)
        self.made[f"fault {chosen or 'none'}"] += 1
        if self.random.random() < 0.2:  # noqa: PLR2004 - of the run
            with self.patreon.lock:
                self.patreon.ends = 0.0  # the token ends at once
            self.made["token ended"] += 1
        if self.random.random() < 0.3:  # noqa: PLR2004 - of the run
            with self.patreon.lock:
                self.patreon.cursors.clear()

    def list_now(self) -> None:
        """Staff ask, which resumes a source that rests, too."""
        from fundraiser.errors import NotFoundError
        from fundraiser.sources.live import status

        with suppress(NotFoundError), self.app.database.transaction() as session:
            status.ask_now(session, self.app.extensions["settings"], "patreon")

    # Files.

    def bring_in(self) -> None:
        """A list of some people; refused while another is being applied."""
        from fundraiser.errors import UnprocessableError
        from fundraiser.sources import batches
        from fundraiser.sources.readings import Options

        content = self._list()
        with self.app.database.transaction() as session:
            upload = batches.Upload(io_of(content), "list.csv", source="list")
            batch = batches.begin(session, upload, Options())
            batches.read_and_plan(session, batch, upload.content, GRACE)
            number = batch.id
        try:
            with self.app.database.transaction() as session:
                batches.confirm(session, batches.find_batch(session, number), GRACE)
        except UnprocessableError as error:
            self.made[f"file refused: {type(error).__name__}"] += 1
            return
        self.files[number] = content
        self.made["file"] += 1

    def _list(self) -> bytes:
        rows = ["Name,E-mail,Amount,Every,Paid until,Leaves on"]
        for person in self.random.sample(range(LISTS), self.random.randint(2, LISTS)):
            until = f"{_day(self.random.choice((-30, -16, -10, 5, 20))):%Y-%m-%d}"
            leaves = until if self.random.random() < 0.3 else ""  # noqa: PLR2004 - of the run
            rows.append(f"L {person},L{person}@example.org,5,month,{until},{leaves}")
        return "\n".join(rows).encode()

    def undo(self) -> None:
        """The newest file, even while it is being applied; refused where another is on its way."""
        from fundraiser.errors import UnprocessableError
        from fundraiser.sources import batches

        if not self.files:
            return
        number = max(self.files)
        try:
            with self.app.database.transaction() as session:
                batches.undo(session, batches.find_batch(session, number))
        except UnprocessableError:
            self.made["undo refused"] += 1
            return
        del self.files[number]
        self.made["undo"] += 1

    # People.

    def merge(self) -> None:
        """Two people of the lists are one."""
        from fundraiser.errors import FundraiserError
        from fundraiser.members import merging
        from fundraiser.members.models import Member

        taken = {name for _id, *both in self.merges for name in both}
        try:
            with self.app.database.transaction() as session:
                known = session.execute(
                    select(Member.id, Member.address)
                    .where(Member.address.like("l%"), Member.address.not_in(taken))
                    .order_by(Member.id)
                ).all()
                if len(known) < 2:  # noqa: PLR2004 - two
                    return
                kept, other = self.random.sample(list(known), 2)
                found = merging.merge(session, kept.id, other.id, GRACE, staff_id=None)
                self.merges.append((found.id, kept.address, other.address))
        except FundraiserError:
            return
        self.made["merge"] += 1

    def separate(self) -> None:
        """The last merge was wrong."""
        from fundraiser.members import merging

        if self.merges:
            merge_id, *_names = self.merges.pop()
            with self.app.database.transaction() as session:
                merging.separate(session, merge_id, GRACE)
            self.made["separate"] += 1

    # In the end.

    def expected(self) -> set[str]:
        patrons = [(one.user, one.attributes) for one in self.patreon.members.values()]
        memberships = [
            *of_patrons(patrons),
            *of_files(content for _number, content in sorted(self.files.items())),
        ]
        merged = {other: kept for _id, kept, other in self.merges}
        return people(memberships, merged, int(time.time()), int(GRACE.total_seconds()))

    def found(self) -> set[str]:
        """Who is marked as counting; without an address by the user's number."""
        with self.app.database.transaction() as session:
            rows = session.execute(
                text(
                    "SELECT coalesce(member.address, 'user ' || (SELECT split_part(reference, ':', "
                    "2) FROM membership WHERE member_id = member.id LIMIT 1)) FROM member "
                    "WHERE counting"
                )
            )
            return {str(name) for (name,) in rows}

    def state(self) -> list[str]:
        """Where the sources and their newest files stand, to look into."""
        with self.app.database.transaction() as session:
            rows = [
                *session.execute(text("SELECT * FROM live_source")).mappings(),
                *session.execute(
                    text(
                        "SELECT id, source, state, problem, progress, done, attempts, counts, live,"
                        " created_at FROM import_batch ORDER BY id DESC LIMIT 8"
                    )
                ).mappings(),
            ]
            return [str({name: row[name] for name in row if name != "tokens"}) for row in rows]

    def has_begun(self) -> bool:
        with self.app.database.transaction() as session:
            return bool(session.scalar(text("SELECT count(*) FROM live_source")))

    def has_lost_the_token(self) -> bool:
        with self.app.database.transaction() as session:
            trouble = session.scalar(text("SELECT trouble FROM live_source"))
            return trouble in {"not_renewed", "unauthorized"}

    def new_tokens(self) -> dict[str, str]:
        with self.patreon.lock:
            self.patreon.access, self.patreon.refresh = secrets.token_hex(8), secrets.token_hex(8)
            self.patreon.ends = time.monotonic() + self.patreon.life
            self.made["operator set new tokens"] += 1
            return {
                "PATREON_ACCESS_TOKEN": self.patreon.access,
                "PATREON_REFRESH_TOKEN": self.patreon.refresh,
            }

    def is_quiet(self) -> bool:
        with self.app.database.transaction() as session:
            busy = session.scalar(
                text(
                    "SELECT (SELECT count(*) FROM import_batch WHERE state IN ('reading', "
                    "'applying', 'undoing')) + (SELECT count(*) FROM live_change) + (SELECT "
                    "count(*) FROM live_source WHERE batch_id IS NOT NULL OR listing_at IS NOT "
                    "NULL OR due_at <= now() OR trouble IS NOT NULL)"
                )
            )
        return not busy

    def hold_nothing_back(self) -> None:
        """Staff look at a listing that would end many, and let it be applied."""
        from fundraiser.errors import UnprocessableError
        from fundraiser.sources import batches
        from fundraiser.sources.models import BatchState, ImportBatch

        with suppress(UnprocessableError), self.app.database.transaction() as session:
            held = session.scalars(
                select(ImportBatch)
                .where(ImportBatch.live.is_not(None), ImportBatch.state == BatchState.PLANNED)
                .order_by(ImportBatch.id.desc())
            ).first()
            if held:
                batches.confirm(session, held, GRACE)


def io_of(content: bytes) -> Any:  # noqa: ANN401 - a file in memory
    import io

    return io.BytesIO(content)


def _day(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


@contextmanager
def _elsewhere(patreon: Patreon) -> Iterator[str]:
    app = create_elsewhere(patreon, Ghost())
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class _Silent(Handler):
    """Says nothing of the errors that it is told to answer with."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos.sources", description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(100_000))
    parser.add_argument("--within", type=float, default=90.0, help="seconds after the last fault")
    options = parser.parse_args()
    print(f"seed {options.seed}: {options.steps} steps")
    patreon = Patreon()
    patreon.page, patreon.limit.seconds = 7, 1.0
    with ExitStack() as stack:
        postgres, valkey = stack.enter_context(throwaway())
        url = stack.enter_context(_elsewhere(patreon))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-sources-")))
        environment = os.environ | _environment(postgres.url, valkey.url, url, patreon)
        subprocess.run(  # noqa: S603 - ours
            [Path(sys.executable).with_name("alembic"), "upgrade", "head"],
            check=True,
            cwd=ROOT,
            env=environment,
            capture_output=True,
        )
        return _run(options, environment, patreon, home)


def _environment(database: str, redis: str, url: str, patreon: Patreon) -> dict[str, str]:
    return {
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "STRIPE_API_KEY": "sk_test_simulator",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": "whsec_of_the_run",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "LOG_LEVEL": "ERROR",
        "PATREON_API_BASE": f"{url}/patreon",
        "PATREON_CAMPAIGN_ID": patreon.campaign,
        "PATREON_ACCESS_TOKEN": patreon.access,
        "PATREON_REFRESH_TOKEN": patreon.refresh,
        "PATREON_CLIENT_ID": patreon.client[0],
        "PATREON_CLIENT_SECRET": patreon.client[1],
        "PATREON_WEBHOOK_SECRET": HOOK_SECRET,
    }


def _run(
    options: argparse.Namespace, environment: dict[str, str], patreon: Patreon, home: Path
) -> int:
    os.environ.update(environment)
    from fundraiser.app import create_app

    app = create_app()
    run = Run(app, patreon, Random(options.seed))  # noqa: S311 - a run must be repeatable
    workers = Workers(environment, home)
    acts = {
        run.patron: 30,
        run.bring_in: 9,
        run.undo: 4,
        run.merge: 7,
        run.separate: 3,
        run.misbehave: 8,
        run.list_now: 6,
    }
    try:
        with app.app_context():
            while not run.has_begun():
                workers.look(run.random, kills=False)
                time.sleep(0.2)
            for _ in range(options.steps):
                run.random.choices(list(acts), list(acts.values()))[0]()
                workers.look(run.random)
                time.sleep(0.3)
            off = {name: 0 for fault in FAULTS for name in fault}
            patreon.faults.set(off)
            wrong, waited = _wait_until_right(run, workers, options.within)
    finally:
        workers.stop()
        with app.app_context():
            shown = run.state()
        app.database.dispose()
    print(", ".join(f"{name}: {count}" for name, count in sorted(run.made.items())))
    print(f"workers killed {workers.killed} times")
    if wrong:
        print("WRONG:", *wrong, *shown, sep="\n  ")
        print(workers.say())
        return 1
    print(f"right {waited:.0f} s after the last fault: {len(run.expected())} people count")
    return 0


def _wait_until_right(run: Run, workers: Workers, within: float) -> tuple[list[str], float]:
    began, listed, renewed = time.monotonic(), 0.0, -SETTLES * 2
    while True:
        waited = time.monotonic() - began
        if waited - listed > 5 or not listed:  # noqa: PLR2004 - staff ask now and then
            listed = waited or 0.01
            run.list_now()
        run.hold_nothing_back()
        workers.look(run.random, kills=False)
        time.sleep(0.2)
        if run.has_lost_the_token() and waited - renewed > SETTLES * 2:
            renewed = waited
            # Killed between Patreon's answer and our commit: nobody has them. The operator makes
            # new ones, as doctor says.
            workers.restart(run.new_tokens())
        if run.is_quiet() or waited > within:
            wrong = _differences(run)
            if not wrong or waited > within:
                return wrong, waited


def _differences(run: Run) -> list[str]:
    from fundraiser.members.consistency import check_consistency

    found, expected = run.found(), run.expected()
    wrong = [f"counts and should not: {name}" for name in sorted(found - expected)]
    wrong += [f"should count and does not: {name}" for name in sorted(expected - found)]
    with run.app.database.transaction() as session:
        wrong += [str(one) for one in check_consistency(session, GRACE).findings]
    return wrong


if __name__ == "__main__":
    sys.exit(main())
