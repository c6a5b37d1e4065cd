"""deploy/alerts.yml: Prometheus reads it, and each of its metrics is told by /metrics."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from fundraiser import jobs
from fundraiser.measures import Measured, current_measures
from fundraiser.newsroom.maintenance import Stopped, stop
from fundraiser.outbox import enqueue
from tests.deployment import ROOT
from tests.factories import make_member

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient

    from fundraiser.db import Database

FILE = ROOT / "deploy" / "alerts.yml"
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="Prometheus is not installed"
)
# What /metrics says, minutes long, and the alert that has to be raised by it.
RAISES = {
    'fundraiser_drift{kind="stripe"} 2': "NumberDrifts",
    'fundraiser_heartbeat_age_seconds{part="worker"} 400': "WorkersSilent",
    'fundraiser_heartbeat_age_seconds{part="beat"} 400': "BeatSilent",
    'fundraiser_webhooks_refused_lately{reason="signature"} 9': "WebhooksRefused",
    "fundraiser_oldest_due_email_seconds 2000": "EmailsWait",
    "fundraiser_oldest_unsettled_event_seconds 900": "EventsWait",
    "fundraiser_oldest_open_intent_seconds 4000": "ChangesWait",
    'fundraiser_stopped{what="emails"} 1': "StillStopped",
    "fundraiser_reconciled_seconds -1": "ReconciliationMissing",
    'up{job="fundraiser"} 0': "FundraiserDown",
}
# The same for counters: how much is added each minute.
GROWS = {
    'fundraiser_request_seconds_count{route="/join",status="503"} 9': "RequestsFail",
    'fundraiser_request_seconds_bucket{le="10.0"} 9': "RequestsSlow",
    'fundraiser_stripe_call_seconds_count{status="0"} 60': "StripeFails",
}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]


@needs_prometheus
def test_prometheus_reads_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(FILE)],  # noqa: S607 - wherever it is installed
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_metric_that_a_rule_asks_for_is_told(client: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        jobs.beat(session, "worker")
        jobs.beat(session, "beat")
    current_measures().note(Measured.REQUEST, 0.2, "GET", "/join", "200")
    current_measures().note(Measured.STRIPE, 0.2, "GET /v1/customers/:id", "200")
    page = client.get("/metrics", base_url="http://127.0.0.1").text
    told = set(re.findall(r"^(fundraiser_\w+)", page, re.MULTILINE))
    told |= set(re.findall(r"^# TYPE (fundraiser_\w+)", page, re.MULTILINE))
    for rule in rules():
        asked = set(re.findall(r"fundraiser_\w+", rule["expr"]))
        assert asked <= told, rule["alert"]
        for label, value in re.findall(r'(\w+)="(\w+)"', rule["expr"]):
            assert label == "job" or f'{label}="{value}"' in page, rule["alert"]


def test_each_rule_says_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "action"}


def test_what_is_stopped_and_what_waits_is_told(client: FlaskClient, database: Database) -> None:
    def told(name: str) -> float:
        page = client.get("/metrics", base_url="http://127.0.0.1").text
        (found,) = re.findall(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        return float(found)

    assert told('fundraiser_stopped{what="emails"}') == 0
    assert told("fundraiser_oldest_due_email_seconds") == 0
    with database.transaction() as session:
        stop(session, Stopped.EMAILS)
        member = make_member(session)
        enqueue(session, "welcome", to=member.id, key=str(member.sequence))
    assert told('fundraiser_stopped{what="emails"}') == 1
    assert told("fundraiser_oldest_due_email_seconds") > 0


@needs_prometheus
def test_each_of_these_raises_its_alert_and_a_healthy_service_none(tmp_path: Path) -> None:
    healthy = {
        'up{job="fundraiser"}': "1",
        "fundraiser_members": "16000",
        'fundraiser_heartbeat_age_seconds{part="worker"}': "12",
        'fundraiser_heartbeat_age_seconds{part="beat"}': "12",
        "fundraiser_reconciled_seconds": "3600",
        'fundraiser_request_seconds_count{route="/join",status="200"}': "0+60",
        'fundraiser_request_seconds_bucket{le="1.0"}': "0+60",
        'fundraiser_request_seconds_bucket{le="+Inf"}': "0+60",
        'fundraiser_stripe_call_seconds_count{status="200"}': "0+60",
    }
    names = sorted(rule["alert"] for rule in rules())

    def case(series: dict[str, str], raised: set[str]) -> dict[str, Any]:
        return {
            "interval": "1m",
            "input_series": [
                {"series": name, "values": f"{value}x300" if "+" in value else f"{value}+0x300"}
                for name, value in series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "295m",
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(raised)
                    ],
                }
            ],
        }

    cases = [case(healthy, set())]
    for line, alert in RAISES.items():
        assert alert in names
        name, _, value = line.rpartition(" ")
        cases.append(case(healthy | {name: value}, {alert}))
    for line, alert in GROWS.items():
        name, _, value = line.rpartition(" ")
        grown = {name: f"0+{value}"}
        if "bucket" in name:  # all of them are slow
            grown |= {'fundraiser_request_seconds_bucket{le="1.0"}': "0+1"}
            grown |= {'fundraiser_request_seconds_bucket{le="+Inf"}': f"0+{value}"}
        cases.append(case(healthy | grown, {alert}))
    (tmp_path / "tests.yml").write_text(
        yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": cases})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "tests.yml")],  # noqa: S607 - as above
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
