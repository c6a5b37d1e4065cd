"""Is it right? Our rows against the oracle's, and the ledger, e-mails and events on their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chaos.oracle import Elsewhere, Expected, expected, people

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    import psycopg

    from chaos.service import Service

_GRACE_SECONDS = 14 * 86400
_SHOWN = 5
_MEMBERSHIPS = """
    SELECT reference, status, amount, currency, "interval", period_end, address
    FROM membership JOIN member ON member.id = member_id
    WHERE source = 'stripe'
"""
_LEDGER = (
    "SELECT balance FROM ledger_head",
    "SELECT coalesce(sum(change), 0) FROM ledger",
    "SELECT count(*) FROM member WHERE counting",
)
_SAME_SIGN_TWICE = """
    SELECT count(*) FROM (
        SELECT change = lag(change) OVER (PARTITION BY member_id ORDER BY version) AS same
        FROM ledger
    ) WHERE same
"""
_RUNNING_BALANCE = """
    SELECT count(*) FROM (
        SELECT balance - sum(change) OVER (ORDER BY version, recorded_at) AS off FROM ledger
    ) WHERE off != 0
"""
# A welcome is enqueued each time that a person starts to count; the rest once for its cause. It is
# the key that names a welcome's person: somebody absorbed by another brings their e-mails along.
_TWICE = """
    SELECT kind, CASE kind WHEN 'welcome' THEN key
                           ELSE regexp_replace(key, '^member [0-9]+ ', '') END,
           array_agg(format('%s of member %s', key, member_id))
    FROM email GROUP BY 1, 2 HAVING count(*) > 1
"""
_EMAILS_TWICE = f"SELECT count(*) FROM ({_TWICE})"  # noqa: S608 - ours alone
_WELCOMES_TOO_MANY = """
    SELECT count(*) FROM email WHERE kind = 'welcome' AND NOT EXISTS (
        SELECT 1 FROM ledger
        WHERE key = format('member %s %s', ledger.member_id, sequence) AND change = 1
    )
"""


@dataclass
class Verdict:
    """``wrong`` holds a sentence for each thing that is not as it has to be."""

    wrong: list[str] = field(default_factory=list)
    members: int = 0
    people: int = 0
    memberships: int = 0

    def say(self, count: int, sentence: str, examples: list[Any] | None = None) -> None:
        """Note that so many things are wrong, with a few of them; 0 is fine."""
        if count:
            shown = "".join(f"\n      {one}" for one in (examples or [])[:_SHOWN])
            self.wrong.append(f"{count:,} {sentence}{shown}")


def is_quiet(service: Service) -> bool:
    """Whether nothing is on its way: a quick look before the thorough one."""
    with service.connect() as database:
        waiting = database.execute(
            "SELECT (SELECT count(*) FROM sync_request) + (SELECT count(*) FROM event"
            " WHERE settled_at IS NULL)"
        ).fetchone()
    return waiting == (0,) and deliveries_waiting(service) == 0


def deliveries_waiting(service: Service) -> int:
    stripe = service.stripe()
    try:
        found = stripe.execute("SELECT count(*) FROM deliveries WHERE state = 'waiting'")
        return int(found.fetchone()[0])
    finally:
        stripe.close()


def judge(service: Service, at: int) -> Verdict:
    """Compare everything, as of this second of Stripe's clock."""
    verdict = Verdict()
    stripe = service.stripe()
    try:
        stripe.execute("BEGIN")
        taken = {
            event
            for (event,) in stripe.execute(
                "SELECT DISTINCT event FROM deliveries WHERE state = 'delivered'"
            )
        }
        given_up = stripe.execute(
            "SELECT count(*) FROM deliveries WHERE state NOT IN ('delivered', 'lost')"
        ).fetchone()[0]
        verdict.say(given_up, "deliveries were never answered with 2xx.")
        with service.connect() as database:
            check_ledger(verdict, database)
            compare(verdict, stripe, database, at)
            stored = {event for (event,) in database.execute("SELECT id FROM event")}
    finally:
        stripe.close()
    lost = sorted(taken - stored)
    verdict.say(len(lost), "events were answered with 2xx and are not stored.", lost)
    return verdict


def check_ledger(verdict: Verdict, database: psycopg.Connection) -> None:
    """See that ledger, e-mails and events are right in themselves, as at any moment."""
    statements = {
        _SAME_SIGN_TWICE: "rows of the ledger repeat their person's last sign.",
        _RUNNING_BALANCE: "rows of the ledger have a balance that is not the sum so far.",
        _EMAILS_TWICE: "e-mails are enqueued twice.",
        _WELCOMES_TOO_MANY: "welcomes are enqueued for people who did not start to count.",
        "SELECT count(*) - count(DISTINCT id) FROM event": "events are stored once more.",
    }
    every = [*_LEDGER, *statements]
    balance, total, count, *found = (
        database.execute(f"SELECT {', '.join(f'({one})' for one in every)}").fetchone() or ()
    )
    verdict.members = balance
    if not balance == total == count:
        verdict.wrong.append(
            f"The balance is {balance:,}, the ledger's sum {total:,}, and {count:,} people are "
            "marked as counting."
        )
    for number, (statement, sentence) in zip(found, statements.items(), strict=True):
        twice = statement == _EMAILS_TWICE and number
        verdict.say(number, sentence, database.execute(_TWICE).fetchall() if twice else None)


def compare(
    verdict: Verdict,
    stripe: sqlite3.Connection,
    database: psycopg.Connection,
    at: int,
    elsewhere: Sequence[Elsewhere] = (),
) -> None:
    """Compare our rows with Stripe's and with what is from elsewhere, once all is still."""
    histories: dict[str, str] = dict(
        database.execute(
            "SELECT customer.id, address FROM customer JOIN member ON member.id = member_id"
            " WHERE address IS NOT NULL"
        ).fetchall()
    )
    ours = database.execute(_MEMBERSHIPS).fetchall()
    known = {str(reference) for reference, *_ in ours}
    rows = expected(stripe, at, _GRACE_SECONDS, elsewhere, histories=histories, known=known)
    theirs = people(rows.values())
    for one in elsewhere:
        theirs[one.address] = theirs.get(one.address, False) or one.counts(at, _GRACE_SECONDS)
    _compare_memberships(verdict, rows, ours)
    counting: dict[str, bool] = dict(
        database.execute("SELECT address, counting FROM member WHERE email IS NOT NULL").fetchall()
    )
    _compare_people(verdict, theirs, counting)
    if sum(counting.values()) != sum(theirs.values()):
        verdict.wrong.append(
            f"{sum(counting.values()):,} people are marked as counting, and "
            f"{sum(theirs.values()):,} count by the rule."
        )
    for statement, sentence in {
        "SELECT count(*) FROM event WHERE settled_at IS NULL": "stored events are not settled.",
        "SELECT count(*) FROM sync_request": "customers are still to be looked at.",
    }.items():
        found = database.execute(statement).fetchone() or (0,)
        verdict.say(found[0], sentence)


def _compare_memberships(
    verdict: Verdict, rows: dict[str, Expected], found: list[tuple[Any, ...]]
) -> None:
    verdict.memberships = len(rows)
    ours = {reference: tuple(rest) for reference, *rest in found}
    # Who was deleted before we ever looked has no address, and so is no person to us.
    missing = sorted(
        name for name in rows.keys() - ours.keys() if rows[name].address and rows[name].is_ours
    )
    verdict.say(len(missing), "subscriptions of Stripe's are not in our table.", missing)
    unknown = sorted(ours.keys() - rows.keys())
    verdict.say(len(unknown), "memberships of ours are not in Stripe's table.", unknown)
    differing = []
    for reference, row in rows.items():
        if reference not in ours:
            continue
        *facts, address = ours[reference]
        theirs = [row.status, row.amount, row.currency, row.interval, row.period_end]
        if not row.is_ours:  # what it was before it was moved stays in our books
            facts, theirs = facts[:1], theirs[:1]
        if facts != theirs or (row.runs and row.address is not None and row.address != address):
            differing.append(f"{reference}: we have {_words(*facts, address)}; {row}")
    verdict.say(len(differing), "memberships differ from Stripe's.", differing)


def _words(*facts: object) -> str:
    return ", ".join(str(fact) for fact in facts)


def _compare_people(verdict: Verdict, theirs: dict[str, bool], ours: dict[str, bool]) -> None:
    verdict.people = len(theirs)
    differing = [
        f"{address}: we count {ours.get(address)}, and by the rule it is {theirs.get(address)}"
        for address in sorted(theirs.keys() | ours.keys())
        if ours.get(address, False) != theirs.get(address, False)
        or (address in theirs and address not in ours)
    ]
    verdict.say(len(differing), "people are counted wrongly or unknown.", differing)
