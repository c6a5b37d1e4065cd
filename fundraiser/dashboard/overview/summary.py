"""Collect everything for the overview: forecast, income, members, warnings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from flask_babel import ngettext
from sqlalchemy import and_, func, or_, select

from fundraiser.campaigns import milestones
from fundraiser.campaigns.forecast import RUSH, RUSH_DAYS, needed_a_day, whole_days
from fundraiser.campaigns.progress import current_campaign, read_progress
from fundraiser.dashboard import labels
from fundraiser.dashboard.chart_marks import place, read_marks
from fundraiser.dashboard.finance.money import read_agreement
from fundraiser.dashboard.members import profile
from fundraiser.dashboard.models import Churn, DailyFigure, Loss, Topic
from fundraiser.dashboard.overdue.desk import read_sums
from fundraiser.dashboard.overview import curves, figures, forecasts, income
from fundraiser.dashboard.overview.stripe_troubles import stripe_troubles
from fundraiser.db import now
from fundraiser.incidents import proxy_is_untrusted
from fundraiser.members.consents import names_to_review
from fundraiser.members.consistency import count_drift, read_drift
from fundraiser.members.history import Mark
from fundraiser.members.ledger import read_balance
from fundraiser.outbox import EmailState
from fundraiser.payments import queue
from fundraiser.payments.card_guard import CardGuard
from fundraiser.payments.cases import list_open_cases
from fundraiser.payments.models import Tier
from fundraiser.sources.live.status import list_live
from fundraiser.sources.overview import running_out
from fundraiser.texts import Named, by_language, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.config import Settings
    from fundraiser.dashboard.overview.figures import Machinery

_FEW, _NEWEST, _MOST_SHOWN, _MOST_ROWS = 3, 10, 20, 8
_MONTH = timedelta(days=28)
_BY_DAY = (Topic.CHURN, Topic.LEAVING)
_CUTS = (
    *(Topic.TIER, Topic.INTERVAL, Topic.COUNTRY),
    *(Topic.SOURCE, Topic.UTM, Topic.CAMPAIGN),
)


@dataclass(frozen=True, slots=True)
class Daily:
    """The daily figures for the overview; ``day`` is the latest, None before the first."""

    day: date | None
    rows: list[DailyFigure]

    def of(self, topic: Topic, day: date | None = None) -> list[DailyFigure]:
        """A topic's figures of one day, by default the latest: most people first."""
        at = day or self.day
        found = [row for row in self.rows if row.topic is topic and row.day == at]
        return sorted(found, key=lambda row: (row.key in {"", "*"}, -row.people, row.key))

    def by_key(self, topic: Topic, first: date, last: date) -> dict[str, int]:
        """The number of people for each key in these days."""
        found: dict[str, int] = {}
        for row in self.rows:
            if row.topic is topic and first <= row.day <= last:
                found[row.key] = found.get(row.key, 0) + row.people
        return found


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A row of a breakdown: ``share`` of all in percent, ``recent`` joined in 28 days."""

    name: str
    people: int
    recent: int
    share: float


def read_overview(
    session: Session, settings: Settings, *, reads_emails: bool, shown_range: str | None = None
) -> dict[str, object]:
    """Everything for the overview's template; ``shown_range`` is the address's."""
    zone, at = settings.newsroom_timezone, now()
    campaign = current_campaign(session)
    span = curves.read_range(shown_range, campaign)
    balance = read_balance(session)
    here = Mark(balance.version, balance.members)
    days = figures.read_days(session, zone, here)
    flows = figures.sum_flows(days)
    machinery = figures.read_machinery(session)
    disputed, asked, answered = figures.count_open_disputes(session)
    drift = read_drift(session, _MOST_SHOWN)
    states = (EmailState.FAILED, EmailState.UNKNOWN)
    failed_emails = sum(machinery.emails.get(state, 0) for state in states)
    bars = curves.read_bars(session, zone, span, here, days)
    daily = _read_daily(session, at.astimezone(zone).date())
    guard, is_proxy_untrusted = session.execute(select(CardGuard, proxy_is_untrusted())).one()
    values: dict[str, object] = {
        "balance": balance,
        "flows": dict(zip(("today", "week", "month"), flows, strict=True)),
        "machinery": machinery,
        "troubles": [
            *troubles(machinery),
            *stripe_troubles(session),
            *_money_troubles(session),
            *_network_troubles(is_proxy_untrusted=is_proxy_untrusted),
        ],
        "running_out": running_out(session, settings.grace),
        "stale_sources": [one for one in list_live(session, settings) if one.stale_since],
        **_overdue(session, settings),
        "names_wait": bool(names_to_review(session, 1)),
        "failed_syncs": queue.failed_requests(session, most=_MOST_SHOWN),
        "drift": drift,
        "drift_count": sum(count_drift(session).values()) if drift else 0,
        "to_cancel": figures.read_to_cancel(session, _MOST_SHOWN),
        "disputes": figures.read_open_disputes(session, _MOST_SHOWN) if disputed + asked else [],
        "disputes_count": disputed,
        "inquiries_count": asked,
        "answered_disputes": answered,
        "cases": list_open_cases(session, _MOST_SHOWN),
        "failed_emails": figures.read_failed_emails(session, _MOST_SHOWN)
        if reads_emails and failed_emails
        else [],
        "failed_emails_count": failed_emails,
        "milestones": milestones.list_news(session, _FEW),
        "milestone_name": milestones.name_of,
        "span": span,
        "spans": [one for one in curves.Range if campaign or one is not curves.Range.CAMPAIGN],
        "bars": bars,
        "newest": profile.read_newest_members(session, _NEWEST),
        "guard": guard,
        "figures_at": machinery.heartbeats.get("figures"),
        "sums": figures.read_contribution_sums(session),
        "campaign": campaign,
        "at": at,
        **_income(session, daily, settings.newsroom_currency, at.astimezone(zone).date()),
        **_people(session, daily),
        **_churn(daily, flows[2], here),
    }
    curve: curves.Curve | None
    if campaign is not None:
        progress = read_progress(session, campaign, balance)
        left = campaign.deadline - at
        last = campaign.deadline.astimezone(zone).date()
        losses = daily.by_key(Topic.LEAVING, date.min, last)
        shown = forecasts.read_newest(session, at)
        of_campaign = [one for one in shown if one.campaign == campaign.slug]
        found = next((one for one in of_campaign if one.due_at == campaign.deadline), None)
        curve = curves.read_curve(session, zone, span, (campaign, progress), found)
        values |= {
            "progress": progress,
            "days_left": whole_days(left),
            "needed": needed_a_day(progress.remaining, left),
            "forecast": found,
            "horizons": [one for one in shown if not one.campaign],
            "records": forecasts.read_records(session, at),
            "losses": {loss.value: losses.get(loss, 0) for loss in Loss},
            "rush": (RUSH_DAYS, *RUSH),
        }
    else:
        curve = curves.read_curve(session, zone, span, None)
    return values | {"curve": curve, **_marks(session, curve, bars, at)}


def _marks(
    session: Session, curve: curves.Curve | None, bars: curves.Bars, at: datetime
) -> dict[str, object]:
    """What happened, for both charts."""
    shown = {"bars_marks": (bars.start, bars.end)}
    if curve:
        shown["curve_marks"] = (curve.chart.start, curve.chart.end)
    marks = read_marks(session, min(start for start, _end in shown.values()), at)
    return {name: place(marks, *span) for name, span in shown.items()}


def troubles(machinery: Machinery) -> list[Named]:
    """Warnings, one sentence each."""
    at = now()
    found = []
    beat = machinery.heartbeats.get("worker")
    if beat is None:
        sentence = _(
            "The background worker has never reported. Until it runs, new members aren’t counted."
        )
        found.append(Named("no-worker", sentence))
    elif at - beat > figures.SILENT:
        minutes = int((at - beat).total_seconds() // 60)
        sentence = ngettext(
            "The background workers have been silent for %(num)s minute. New members "
            "aren’t counted until they run again.",
            "The background workers have been silent for %(num)s minutes. New members "
            "aren’t counted until they run again.",
            minutes,
        )
        found.append(Named("silent-workers", sentence))
    oldest = machinery.oldest_unsettled
    if oldest and at - oldest > figures.LATE:
        minutes = int((at - oldest).total_seconds() // 60)
        sentence = ngettext(
            "A Stripe event has been waiting for %(num)s minute.",
            "A Stripe event has been waiting for %(num)s minutes.",
            minutes,
        )
        found.append(Named("event-waits", sentence))
    return found


def _money_troubles(session: Session) -> list[Named]:
    """Warnings about differences between our books and Stripe's balance."""
    return [
        Named(
            "money-differs",
            _(
                "Our records in %(currency)s differ by %(amount)s from what Stripe holds.",
                currency=found.currency,
                amount=labels.money(abs(found.difference or 0), found.currency),
            ),
        )
        for found in read_agreement(session).differing
    ]


def _network_troubles(*, is_proxy_untrusted: bool) -> list[Named]:
    return (
        [
            Named(
                "untrusted-proxy",
                _(
                    "Requests come through a proxy we don’t trust, so our limits "
                    "treat all readers as one person and shut them out. Set "
                    "TRUSTED_PROXIES to the number of proxies in front of this "
                    "service."
                ),
            )
        ]
        if is_proxy_untrusted
        else []
    )


def _read_daily(session: Session, today: date) -> Daily:
    """The latest day's figures, those 28 days before, and daily series."""
    newest = session.scalar(
        select(func.max(DailyFigure.day)).where(
            DailyFigure.day <= today, DailyFigure.topic == Topic.TIER
        )
    )
    if newest is None:
        return Daily(None, [])
    rows = session.scalars(
        select(DailyFigure).where(
            or_(
                DailyFigure.day == newest,
                and_(
                    DailyFigure.day == newest - _MONTH,
                    DailyFigure.topic.in_((Topic.INCOME, Topic.MRR)),
                ),
                and_(DailyFigure.day > newest - _MONTH, DailyFigure.topic.in_(_BY_DAY)),
            )
        )
    )
    return Daily(newest, list(rows))


def _overdue(session: Session, settings: Settings) -> dict[str, object]:
    """How many people we will stop counting unless they pay, and the amounts by currency."""
    sums = read_sums(session, settings.grace, counted=True)
    return {
        "overdue": sum(one.people for one in sums),
        "overdue_sums": ", ".join(labels.money(one.amount, one.currency) for one in sums),
    }


def _income(session: Session, daily: Daily, own: str, today: date) -> dict[str, object]:
    """Income by currency, the total in our own, and the total 28 days ago at today's rates."""
    found = income.incomes(daily.of(Topic.INCOME), daily.of(Topic.MRR))
    rates = income.rates_in_force(session, own, today)
    worth = {currency: rate.rate for currency, rate in rates.items()}
    then = daily.day - _MONTH if daily.day else None
    before = income.incomes(daily.of(Topic.INCOME, then), daily.of(Topic.MRR, then)) if then else []
    return {
        "incomes": found,
        "income_total": income.total(found, own, worth),
        "income_before": income.total(before, own, worth) if before else None,
        "income_before_day": then,
        "rates": [rates[one.currency] for one in found if one.currency in rates],
    }


def _people(session: Session, daily: Daily) -> dict[str, object]:
    """All breakdowns of counted people."""
    tiers = dict(session.execute(select(Tier.slug, Tier.names)).all())

    def name(row: DailyFigure) -> str:
        if row.topic is Topic.TIER and row.key in tiers:
            return by_language(tiers[row.key])
        return labels.breakdown(row.topic, row.key)

    return {"breakdowns": {topic.value: _cut(daily.of(topic), name) for topic in _CUTS}}


def _cut(rows: list[DailyFigure], name: Callable[[DailyFigure], str]) -> list[Breakdown]:
    """The largest rows, and the others combined."""
    everybody = sum(row.people for row in rows) or 1
    shown = rows if len(rows) <= _MOST_ROWS else rows[: _MOST_ROWS - 1]
    rest = rows[len(shown) :]
    pairs = [(name(row), row.people, row.recent) for row in shown]
    if rest:
        recent = sum(row.recent for row in rest)
        pairs.append((_("All others"), sum(row.people for row in rest), recent))
    return [Breakdown(*pair, share=round(pair[1] / everybody * 100, 1)) for pair in pairs]


def _churn(daily: Daily, month: figures.Flow, here: Mark) -> dict[str, object]:
    """People who stopped in 28 days, by choice or not, as a share of those counted before."""
    if daily.day is None:
        return {"churn": [], "churn_share": None}
    found = daily.by_key(Topic.CHURN, daily.day - _MONTH + timedelta(days=1), daily.day)
    before = here.balance - month.net - month.imported
    return {
        "churn": [
            (labels.churn(kind), found.get(kind, 0), _percent(found.get(kind, 0), before))
            for kind in Churn
        ],
        "churn_share": _percent(sum(found.values()), before),
    }


def _percent(part: int, whole: int) -> float | None:
    return round(part / whole * 100, 1) if whole > 0 else None
