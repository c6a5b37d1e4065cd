"""How quick the pages of staff and of names are, and the export's memory, with many members.

    python -m bench dashboard --members 1000000 --plans

The members are made up in SQL, of uneven shape: nine in ten are of one tier, a handful of refs have
most people and thousands have one, some currencies and countries have next to nobody, half of all
joined in the last quarter of the time, a fifth pay on one day of the month. Each page is asked for
over HTTP from the Procfile's web process with one worker, in turn, so that a busy moment is
everybody's. What the processor spent on an answer, in the worker and in PostgreSQL, says more than
the clock on the wall where others have a machine's cores too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import psutil
import requests
from sqlalchemy import event, text

from bench.servers import environment, migrate, procfile_web
from demo.servers import free_port, throwaway
from fundraiser.app import create_app
from fundraiser.config import load_settings
from fundraiser.dashboard.overview.daily import refresh
from fundraiser.db import Database
from fundraiser.newsroom.models import Role
from fundraiser.newsroom.staff import add_staff
from tests.factories import make_campaign, make_tiers
from tests.staff import PASSWORD, sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from fundraiser.config import Settings

FEW, ROUNDS = 25_000, 60
LONG_AGO = 1_650_000_000_000_000  # microseconds: in 2022
EMAIL = "bench@example.org"
_MOST_MEMORY = 40  # MB that a whole export may add to the process

# Each address is one question that staff ask; {person} and {after} are filled in.
PAGES = {
    "overview": "/staff",
    "members, the newest": "/staff/members",
    "members, a page far behind": "/staff/members?after={after}",
    "members, by name": "/staff/members?sort=name",
    "members, who leaves first": "/staff/members?sort=leaving",
    "members, a common word": "/staff/members?q=anna",
    "members, a rare word": "/staff/members?q=zora",
    "members, inside a word": "/staff/members?q=elnyk77",
    "members, one letter": "/staff/members?q=z",
    "members, nobody": "/staff/members?q=nobody-has-this",
    "members, a Stripe id": "/staff/members?q=cus_7",
    "members, the large tier": "/staff/members?tier=member",
    "members, an old rare tier": "/staff/members?tier=founder",
    "members, a rare currency": "/staff/members?currency=PLN&state=counting",
    "members, a rare ref": "/staff/members?ref=article-77",
    "members, a link's tags": "/staff/members?ref=newsletter+/+email+/+week-35",
    "members, three filters": "/staff/members?country=UA&tier=patron&interval=year",
    "members, filters that exclude": "/staff/members?tier=founder&currency=USD",
    "members, a month long ago": "/staff/members?joined_from=2021-03-01&joined_to=2021-03-31",
    "members, a label": "/staff/members?label=1",
    "members, a label that many have": "/staff/members?label=2&state=counting&sort=name",
    "members, all columns": "/staff/members?columns=labels+country+language+tier+origin+ends",
    "members, overdue": "/staff/members?state=overdue",
    "members, overdue by their end": "/staff/members?state=overdue&sort=leaving",
    "members, not counted": "/staff/members?state=not-counting",
    "the overdue desk": "/staff/overdue",
    "the overdue desk, far behind": "/staff/overdue?counted=no",
    "retention": "/staff/retention",
    "recurring income": "/staff/income",
    "a member": "/staff/members/{person}",
    "ending a membership": "/staff/members/{person}/memberships/{person}/end",
    "contributions": "/staff/contributions",
    "money": "/staff/money",
    "a month of money": "/staff/money/{month}",
    "payouts": "/staff/payouts",
    "a payout": "/staff/payouts/{payout}",
    "e-mails": "/staff/emails",
    "the trail": "/staff/audit-log",
    "a campaign": "/staff/campaigns/25000",
    "the public names": "/campaigns/25000/members",
    "the public names, far behind": "/campaigns/25000/members?before={moment}",
}

FILL = (
    """
    INSERT INTO member (id, email, address, name, country, language, number, counting, sequence,
                        first_counted_at, created_at, supporter_since)
    OVERRIDING SYSTEM VALUE
    SELECT n, 'reader.' || n || '@example.' || (ARRAY['org', 'com', 'net'])[1 + n % 3],
           'reader.' || n || '@example.' || (ARRAY['org', 'com', 'net'])[1 + n % 3],
           (ARRAY['Anna', 'Olena', 'James', 'Marie', 'Taras', 'Aoife', 'Nina', 'Zora'])
               [CASE WHEN n % 20011 = 0 THEN 8 ELSE 1 + floor(7 * power(r.a, 2))::int END]
           || ' ' || (ARRAY['Melnyk', 'Smith', 'Dubois', 'Byrne', 'Koval'])[1 + n % 5] || n % 977,
           (ARRAY['GB', 'DE', 'US', 'FR', 'UA', 'IE', 'PL', 'IS'])
               [CASE WHEN r.b > 0.97 THEN 5 + floor(r.c * 4)::int
                     ELSE 1 + floor(4 * power(r.b, 3))::int END],
           CASE WHEN n % 20 = 0 THEN 'uk' ELSE 'en' END,
           n, n % 11 <> 0, CASE WHEN n % 11 = 0 THEN 2 ELSE 1 END, j.at, j.at,
           CASE WHEN n % 3 > 0 THEN j.at END
    FROM generate_series(1, :members) AS n,
         LATERAL (SELECT random() a, random() b, random() c WHERE n > 0) AS r,
         LATERAL (SELECT now() - interval '8 years' * power(1 - n::float / :members, 2) AS at) AS j
    """,
    """
    INSERT INTO membership (member_id, source, reference, customer_id, tier, amount, currency,
                            "interval", status, payment_status, collection_paused, started_at,
                            paid_at,
                            period_end, cancel_at, canceled_at, ended_at, campaign, ref, utm,
                            card_expires_at, has_paid, grace_from)
    SELECT id, 'stripe', 'sub_' || id, 'cus_' || id, t.tier, t.amount,
           CASE WHEN id % 2503 = 0 THEN 'PLN'
                ELSE (ARRAY['GBP', 'EUR', 'USD'])[1 + (id / 7) % 3] END,
           CASE WHEN id % 4 = 0 THEN 'year' ELSE 'month' END,
           CASE WHEN NOT counting THEN 'canceled' WHEN id % 61 = 0 THEN 'past_due'
                ELSE 'active' END,
           CASE WHEN id % 61 = 0 THEN 'overdue' ELSE 'paid' END, false, first_counted_at,
           now() - interval '9 days', now() + interval '21 days',
           CASE WHEN counting AND id % 37 = 0 THEN now() + interval '1 hour' * (id % 700) END,
           NULL,
           CASE WHEN NOT counting THEN first_counted_at + (now() - first_counted_at) / 2 END,
           '25000',
           CASE WHEN id % 10 < 3 THEN 'article-' || floor(power(r.x, 4) * 4000)::int
                WHEN id % 10 < 6 THEN 'newsletter' END,
           CASE WHEN id % 10 = 5 THEN 'newsletter / email / week-' || id % 50 END,
           date_trunc('month', now()) + interval '1 month' * (id % 48), true,
           CASE WHEN id % 61 = 0 THEN now() - interval '1 hour' * (id % 400) END
    FROM member,
         LATERAL (SELECT CASE WHEN id % 10 = 0 THEN 'patron'
                         WHEN id <= :members / 200 THEN 'founder' ELSE 'member' END AS tier,
                         CASE WHEN id % 10 = 0 THEN 2500 ELSE 1000 END AS amount) AS t,
         LATERAL (SELECT random() AS x WHERE id > 0) AS r
    """,
    """
    INSERT INTO membership (member_id, source, reference, customer_id, tier, amount, currency,
                            "interval", status, payment_status, collection_paused, started_at,
                            ended_at)
    SELECT id, 'stripe', 'sub_before_' || id, 'cus_' || id, 'reader', 500, 'GBP', 'month',
           'canceled', 'paid', false, first_counted_at - interval '400 days',
           first_counted_at - interval '90 days'
    FROM member WHERE id % 9 = 0
    """,
    """
    INSERT INTO customer (id, member_id, email, deleted, settled_at)
    SELECT 'cus_' || id, id, email, false, now() FROM member
    """,
    """
    INSERT INTO payment (charge_id, member_id, customer_id, kind, subscription_id, campaign,
                         status, amount, refunded, currency, paid_at)
    SELECT 'ch_' || id || '_' || n, id, 'cus_' || id,
           CASE WHEN n = 2 AND id % 17 = 0 THEN 'contribution' ELSE 'membership' END,
           CASE WHEN n = 2 AND id % 17 = 0 THEN NULL ELSE 'sub_' || id END, '25000',
           CASE WHEN (id + n) % 50 = 0 THEN 'failed' ELSE 'succeeded' END, 1000, 0, 'GBP',
           now() - interval '1 month' * n + interval '1 second' * (id % 80000)
           - interval '1 day' * CASE WHEN id % 5 = 0 THEN 0 ELSE id / 7 % 28 END
    FROM member, generate_series(1, CASE WHEN id % 1000 = 7 THEN 90 WHEN id % 3 = 0 THEN 2 ELSE 1
                                    END) AS n
    """,
    """
    INSERT INTO balance_transaction (id, part, category, amount, fee, net, currency, created_at,
                                     available_at, source_id, charge_id, payout_id, kind, tier)
    SELECT 'txn_' || charge_id, 'gross', 'charge', amount, 35, amount - 35, currency, paid_at,
           paid_at + interval '3 days', charge_id, charge_id,
           'po_' || to_char(paid_at + interval '3 days', 'YYYY-MM-DD'), kind,
           CASE WHEN kind = 'membership' THEN 'member' END
    FROM payment WHERE status = 'succeeded'
    """,
    """
    INSERT INTO payout (id, amount, currency, status, listed, created_at, arrives_at, contents_at)
    SELECT payout_id, sum(net), 'GBP', 'paid', true, max(available_at),
           max(available_at) + interval '2 days', now()
    FROM balance_transaction GROUP BY payout_id
    """,
    """
    INSERT INTO monthly_sum (month, currency, part, kind, tier, count, amount, fee)
    SELECT date_trunc('month', created_at), currency, part, kind, coalesce(tier, ''), count(*),
           sum(amount), sum(fee)
    FROM balance_transaction GROUP BY 1, 2, 3, 4, 5
    """,
    """
    INSERT INTO ledger (version, member_id, sequence, change, balance, cause, cause_ref, reason,
                        rule, happened_at, recorded_at)
    SELECT row_number() OVER w, member_id, sequence, change, sum(change) OVER w, 'stripe', NULL,
           CASE WHEN change > 0 THEN 'paid' ELSE 'ended' END, 'paying-members/2', at, at
    FROM (SELECT id AS member_id, 1 AS sequence, 1 AS change, first_counted_at AS at FROM member
          UNION ALL
          SELECT id, 2, -1, first_counted_at + (now() - first_counted_at) / 2
          FROM member WHERE NOT counting) AS sequence
    WINDOW w AS (ORDER BY at, sequence, member_id)
    """,
    """
    UPDATE ledger_head SET (version, balance, numbers_given, changed_at)
        = (SELECT max(version), sum(change), (SELECT count(*) FROM member), now() FROM ledger)
    """,
    """
    INSERT INTO email (member_id, kind, key, context, state, due_at, attempts, created_at,
                        sent_at, urgent)
    SELECT id, 'welcome', 'member ' || id || ' 1', '{}', 'sent', first_counted_at, 1,
           first_counted_at, first_counted_at, true
    FROM member
    """,
    "INSERT INTO label (name, created_at) VALUES ('Board', now()), ('Book club', now())",
    """
    INSERT INTO member_label (member_id, label_id)
    SELECT id, CASE WHEN id % 500 = 0 THEN 1 ELSE 2 END FROM member
    WHERE id % 500 = 0 OR id % 4 = 1
    """,
    """
    INSERT INTO audit_entry (at, staff_id, action, subject)
    SELECT now(), 1, 'settled_again', 'customer cus_' || id FROM member WHERE id % 5 = 0
    """,
)


def main() -> None:
    """What the command line asks for; 25,000 members unless it says otherwise."""
    arguments = sys.argv[1:]
    members = int(arguments[arguments.index("--members") + 1]) if "--members" in arguments else FEW
    measure(members, plans="--plans" in arguments)


def measure(members: int, *, plans: bool) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = environment(*stack.enter_context(throwaway()), free_port())
        migrate(env)
        settings = load_settings(env)
        database = Database(settings)
        stack.callback(database.engine.dispose)
        took = fill(database, members)
        with database.transaction() as session:
            refresh(session, settings.newsroom_timezone, settings.grace)
        print(f"{members:,} members, made in {took:.0f} s; each page {ROUNDS} times, one worker")
        places = {"person": 1007, "after": members // 3, "moment": LONG_AGO, **busiest(database)}
        addresses = {name: path.format(**places) for name, path in PAGES.items()}
        queries = look_behind(env, addresses, plans=plans)
        url = stack.enter_context(procfile_web(env, folder, "/readyz")).removesuffix("/readyz")
        with requests.Session() as staff:
            sign_in_over_http(staff, url)
            servers = [*workers_of(int(env["PORT"])), *psutil.Process().children()]
            report(*ask(staff, url, addresses, servers), queries)
            export(staff, url, members, int(env["PORT"]))


@contextmanager
def filled(members: int) -> Iterator[tuple[Database, Settings]]:
    """A database of this many members, thrown away afterwards."""
    with throwaway() as servers:
        env = environment(*servers, free_port())
        migrate(env)
        settings = load_settings(env)
        database = Database(settings)
        print(f"{members:,} members, made in {fill(database, members):.0f} s")
        try:
            yield database, settings
        finally:
            database.dispose()


def fill(database: Database, members: int) -> float:
    """Make up the newsroom and its members; returns the seconds it took."""
    begun = time.perf_counter()
    with database.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        make_tiers(session)
        make_campaign(session)
        add_staff(session, email=EMAIL, name="Bench", role=Role.ADMIN, password=PASSWORD)
        session.execute(text("SELECT setseed(0.25)"))
        for statement in FILL:
            session.execute(
                text(statement), {"members": members} if ":members" in statement else {}
            )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("RESET statement_timeout"))
    return time.perf_counter() - begun


def busiest(database: Database) -> dict[str, str]:
    """The payout with the most in it, and its month."""
    with database.transaction() as session:
        found = session.execute(
            text(
                "SELECT payout_id, to_char(max(created_at), 'YYYY-MM') AS month"
                " FROM balance_transaction GROUP BY payout_id ORDER BY count(*) DESC LIMIT 1"
            )
        ).one()
    return {"payout": found.payout_id, "month": found.month}


def look_behind(env: dict[str, str], addresses: dict[str, str], *, plans: bool) -> dict[str, int]:
    """How many queries each page asks, of a process that has answered before; perhaps how."""
    app = create_app(load_settings(env))
    client = app.test_client()
    sign_in(client, EMAIL)
    counts = {}
    for name, address in addresses.items():
        client.get(address, headers={"Accept": "text/html"})
        with recorded(app.database.engine) as asked:
            answer = client.get(address, headers={"Accept": "text/html"})
        assert answer.status_code == 200, (name, answer.status_code)  # noqa: PLR2004 - OK
        counts[name] = len(asked)
        if plans:
            explain(app.database.engine, name, asked)
    app.database.dispose()
    return counts


@contextmanager
def recorded(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """The queries that are asked meanwhile, with their values."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:  # noqa: ANN401 - an event of SQLAlchemy's
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


def explain(engine: Engine, name: str, asked: list[tuple[str, Any]]) -> None:
    """Print the plan of each query of a page, as it is carried out."""
    print(f"\n# {name}")
    with engine.connect() as connection:
        for statement, values in asked:
            if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
                connection.exec_driver_sql(statement, values)
                continue
            print("\n" + " ".join(statement.split())[:160])
            plan = f"EXPLAIN (ANALYZE, BUFFERS) {statement}"
            for (line,) in connection.exec_driver_sql(plan, values):
                print("   ", line)


def sign_in_over_http(staff: requests.Session, url: str) -> None:
    """As a browser does."""
    staff.headers["Accept"] = "text/html"
    form = {
        "email": EMAIL,
        "password": PASSWORD,
        "csrf_token": token(staff, f"{url}/staff/sign-in"),
    }
    assert staff.post(f"{url}/staff/sign-in", data=form, timeout=30).url.endswith("/staff")


def token(staff: requests.Session, address: str) -> str:
    page = staff.get(address, timeout=30).text
    return page.partition('name="csrf_token" value="')[2].partition('"')[0]


def ask(
    staff: requests.Session, url: str, addresses: dict[str, str], servers: list[psutil.Process]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds of each answer, each page in turn, and what the processor spent on one."""
    times: dict[str, list[float]] = defaultdict(list)
    spent: dict[str, float] = defaultdict(float)
    for number in range(ROUNDS + 1):
        for name, address in addresses.items():
            worked, begun = processor(servers), time.perf_counter()
            answer = staff.get(f"{url}{address}", timeout=60)
            took = 1000 * (time.perf_counter() - begun)
            assert answer.ok, (name, answer.status_code)
            if number:  # the first warms what is warm on any working day
                times[name].append(took)
                spent[name] += 1000 * (processor(servers) - worked) / ROUNDS
    return times, spent


def processor(servers: list[psutil.Process]) -> float:
    """Seconds of the processor that they and their children have had."""
    everybody = {one for server in servers for one in (server, *server.children(recursive=True))}
    return sum(map(_worked, everybody))


def _worked(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):  # one of PostgreSQL's that comes and goes
        return float(sum(process.cpu_times()[:4]))  # its own, and its children's that have ended
    return 0.0


def report(times: dict[str, list[float]], spent: dict[str, float], queries: dict[str, int]) -> None:
    print(f"{'':<34}{'p50':>9}{'p95':>9}{'processor':>13}{'queries':>9}")
    for name, found in times.items():
        p95 = quantiles(found, n=20)[-1]
        print(
            f"{name:<34}{median(found):>6.0f} ms{p95:>6.0f} ms{spent[name]:>10.0f} ms"
            f"{queries[name]:>9}"
        )


def export(staff: requests.Session, url: str, members: int, port: int) -> None:
    """Take everybody as a file, and watch what the worker's memory does meanwhile."""
    workers = workers_of(port)
    before = peak = memory(workers)
    form = {"csrf_token": token(staff, f"{url}/staff/members")}
    begun = time.perf_counter()
    rows = size = 0
    first = 0.0
    with staff.post(f"{url}/staff/members/export", data=form, stream=True, timeout=600) as answer:
        assert answer.ok, answer.status_code
        for part in answer.iter_content(1 << 18):
            first = first or time.perf_counter() - begun
            rows += part.count(b"\r\n")
            size += len(part)
            peak = max(peak, memory(workers))
    took = time.perf_counter() - begun
    assert rows == members + 1, (rows, members)
    print(
        f"export: {rows - 1:,} rows, {size / 1e6:.0f} MB in {took:.1f} s, the first after "
        f"{1000 * first:.0f} ms; memory {before:.0f} MB before, {peak:.0f} MB at most"
    )
    assert peak - before < _MOST_MEMORY, "The export does not keep to constant memory."


def workers_of(port: int) -> list[psutil.Process]:
    """The web process that listens here, and its children."""
    for process in psutil.process_iter():
        try:
            if any(c.laddr.port == port for c in process.net_connections("inet") if c.laddr):
                top = process
                while (parent := top.parent()) and "granian" in " ".join(parent.cmdline()):
                    top = parent
                return [top, *top.children(recursive=True)]
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    raise RuntimeError("Nobody listens at this port.")


def memory(processes: list[psutil.Process]) -> float:
    """Resident, in MB."""
    return float(sum(process.memory_info().rss for process in processes)) / 1e6
