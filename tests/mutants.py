"""Mutants: `python -m tests.mutants [NAME…]` breaks the product in one place, one mutant at a time.

The test named for a mutant has to fail in a copy of the code that holds it. Each lived once: the
suite did not notice it. tests/test_mutants.py checks that each still has its place and its test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FAILED = 1  # pytest's own: tests ran, and some failed


@dataclass(frozen=True)
class Mutant:
    """``now`` in place of ``was``, which stands in one file of fundraiser/, whichever it is."""

    name: str
    was: str
    now: str
    test: str

    def places(self, root: Path = ROOT) -> list[Path]:
        """The files that hold what is replaced, each as often as it does."""
        return [
            file
            for file in sorted((root / "fundraiser").rglob("*.py"))
            for _ in range(file.read_text().count(self.was))
        ]


MUTANTS = (
    Mutant(
        "grace_runs_from_the_latest_failure",
        "grace_from=min((_failed_at(",
        "grace_from=max((_failed_at(",
        "tests/test_rule.py::test_grace_runs_from_the_first_failure_of_an_unbroken_row",
    ),
    Mutant(
        "staff_guard_ignores_post",
        "if security.is_public(request.endpoint):",
        'if security.is_public(request.endpoint) or request.method == "POST":',
        "tests/test_house.py::test_each_route_is_public_by_declaration_or_guarded",
    ),
    Mutant(
        "support_may_refund",
        "Permission.READ_EMAILS, Permission.CHANGE_MEMBER}",
        "Permission.READ_EMAILS, Permission.CHANGE_MEMBER, Permission.REFUND}",
        "tests/test_roles.py"
        "::test_a_staff_route_is_open_to_the_roles_of_the_table_and_to_no_others[support]",
    ),
    Mutant(
        "an_old_payments_refund_takes_the_number_down",
        "if payment.subscription_id is None or payment.id != _newest_of(person.payments, payment):",
        "if payment.subscription_id is None:",
        "tests/test_effects.py::test_only_the_latest_payments_refund_takes_the_number_down",
    ),
    Mutant(
        "no_word_of_what_is_overdue",
        "    if is_overdue(membership):\n        money = ",
        "    if False:\n        money = ",
        "tests/test_effects.py"
        "::test_ending_an_overdue_membership_later_says_that_stripe_may_still_charge",
    ),
    Mutant(
        "recorded_at_may_go_back",
        "recorded_at = max(now(), head.changed_at)\n    member.sequence",
        "recorded_at = now()\n    member.sequence",
        "tests/test_ledger.py::test_recorded_times_never_go_back",
    ),
    Mutant(
        "happened_at_may_lie_in_the_future",
        "happened_at=min(happened_at, recorded_at)",
        "happened_at=happened_at",
        "tests/test_ledger.py::test_nothing_happens_later_than_it_is_recorded",
    ),
    Mutant(
        "a_person_counts_until_the_earliest_end",
        "until = None if endless else max(",
        "until = None if endless else min(",
        "tests/test_rule.py::test_a_person_counts_until_the_last_of_several_memberships_ends",
    ),
    Mutant(
        "the_first_membership_gives_the_reason",
        "return max(verdicts, key=lambda v: v.since.timestamp() if v.since else 0.0)",
        "return verdicts[0]",
        "tests/test_rule.py"
        "::test_the_latest_of_several_memberships_says_why_a_person_does_not_count",
    ),
    Mutant(
        "later_changes_are_booked_as_import",
        "if imported and member.sequence == 0:",
        "if adopted:",
        "tests/test_reconcile_command.py"
        "::test_later_changes_of_somebody_imported_are_not_booked_as_import",
    ),
    Mutant(
        "a_closed_warning_takes_the_money",
        '{"won", "warning_closed", "prevented"}',
        '{"won", "prevented"}',
        "tests/test_disputes.py::test_each_of_stripes_words_for_a_dispute_is_known",
    ),
    Mutant(
        "the_leases_token_is_not_checked",
        'text("SELECT FROM sync_lease WHERE name = :name AND token = :token FOR UPDATE")',
        'text("SELECT FROM sync_lease WHERE name = :name FOR UPDATE")',
        "tests/test_settlement.py"
        "::test_whoever_was_overtaken_writes_nothing_though_somebody_holds_the_lease",
    ),
    Mutant(
        "the_idempotency_key_is_not_the_rows",
        'return f"{self.kind}-{self.key}-{self.calls}"',
        'return f"{self.kind}-{now()}"',
        "tests/test_intents.py"
        "::test_a_look_that_comes_before_the_call_has_arrived_still_refunds_once",
    ),
    Mutant(
        "the_sweep_skips_intents",
        "Intent.closed_at.is_(None), Intent.due_at <= now(), which if",
        "Intent.closed_at.is_not(None), Intent.due_at <= now(), which if",
        "tests/test_intents.py"
        "::test_a_process_killed_at_any_step_leaves_one_effect_and_the_truth_on_the_page[cancel-_call-before]",
    ),
    Mutant(
        "an_intent_is_taken_over_without_a_look",
        "if is_refunded or _is_done(session, intent):",
        "if False:",
        "tests/test_intents.py"
        "::test_after_a_day_when_stripe_has_forgotten_the_key_a_refund_is_looked_for_first",
    ),
    Mutant(
        "stripe_is_called_before_the_intent_is_committed",
        "        promise(session, claim)\n    checkpoint(session)\n    customers = ",
        "        promise(session, claim)\n    customers = ",
        "tests/test_intents.py"
        "::test_a_process_killed_at_any_step_leaves_one_effect_and_the_truth_on_the_page[cancel-_call-before]",
    ),
    Mutant(
        "a_refusal_is_not_kept",
        "intent.close(refusal, error)",
        "intent.close()",
        "tests/test_intents.py"
        "::test_what_is_refused_after_the_person_has_gone_is_on_their_page_and_in_the_activity_log[BankRefusedError-bank]",
    ),
    Mutant(
        "limits_by_address",
        "return _around(24, 56)",
        "return _around(32, 128)",
        "tests/test_newsroom.py::test_tries_are_counted_for_the_whole_network",
    ),
)


def is_noticed(mutant: Mutant) -> bool:
    """Whether the mutant's test fails in a copy of the code that holds it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "house"
        leave = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "docs")
        shutil.copytree(ROOT, copy, ignore=leave)
        (place,) = mutant.places(copy)
        place.write_text(place.read_text().replace(mutant.was, mutant.now))
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "-q", "--no-header", mutant.test],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    # A fixture that breaks down is an error: it says nothing about the test.
    summary = result.stdout.strip().rpartition("\n")[2]
    return result.returncode == _FAILED and " failed" in summary and " error" not in summary


def main() -> None:
    """Run the mutants; the exit status is 0 only if each was noticed by its test."""
    lived = []
    for mutant in MUTANTS:
        if sys.argv[1:] and mutant.name not in sys.argv[1:]:
            continue
        noticed = is_noticed(mutant)
        sys.stdout.write(f"{'noticed' if noticed else 'LIVES  '}  {mutant.name}\n")
        sys.stdout.flush()
        if not noticed:
            lived.append(mutant.name)
    sys.exit(bool(lived))


if __name__ == "__main__":
    main()
