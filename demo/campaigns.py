"""The demonstration's campaigns: the last winter's appeal, and the one that runs."""

from datetime import datetime
from urllib.parse import urlsplit

import resvg_py
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from demo.joining import appeal_times
from demo.lives import TIERS
from demo.settings import APPEAL, CAMPAIGN, CHECKOUT
from fundraiser.campaigns.milestones import between
from fundraiser.campaigns.models import Campaign, Counts, Goal, Milestone
from fundraiser.campaigns.picture import set_picture
from fundraiser.config import Settings
from fundraiser.emails.models import Mailing
from fundraiser.members.ledger import balance_at
from fundraiser.members.models import LedgerEntry

HEADLINE = {
    "en": "Quality journalism takes work — and a community that cares",
    "uk": "Якісна журналістика потребує праці — і спільноти, якій не байдуже",
}
REASONS = {
    "en": (
        "Four reporters in the courts, the council and the harbour, all year\n"
        "No owner but its members, and no advertisement that decides what we print\n"
        "Every story free to read, also for those who can’t pay"
    ),
    "uk": (
        "Четверо репортерів у суді, раді та порту — цілий рік\n"  # noqa: RUF001 - Ukrainian
        "Жодного власника, крім учасників, і жодної реклами, що вирішує за нас\n"
        "Кожен матеріал відкритий для всіх, зокрема для тих, хто не може платити"
    ),
}
PICTURE = CHECKOUT / "demo/newspaper/static/harbour.svg"
CAPTION = {
    "en": "Eleven boats still land fish at Harrowmouth. Somebody has to count them.",
    "uk": "Одинадцять човнів досі привозять рибу до Гарроумута. Хтось має їх рахувати.",
}
QUARTERS = (25, 50, 75, 100)  # per cent of the goal: then people who asked get an e-mail


def add_campaigns(session: Session, settings: Settings, at: datetime) -> None:
    """Write both with the milestones that they have reached."""
    zone = settings.newsroom_timezone
    year = at.astimezone(zone).year
    first = session.scalar(select(func.min(LedgerEntry.recorded_at))) or at
    begins, ends = appeal_times(at, zone)
    came = balance_at(session, ends) - balance_at(session, max(first, begins))
    goal = max(came * 19 // 20 // 10 * 10, 1)  # reached in the rush of the last days
    appeal = Campaign(
        slug=APPEAL,
        headlines={
            "en": "A local paper for another winter",
            "uk": "Місцева газета ще на одну зиму",
        },
        messages={
            "en": f"Help us welcome {goal:,} new members by the new year",
            "uk": f"Допоможіть нам зустріти Новий рік із {goal} новими учасниками",
        },
        counts=Counts.NEW,
        starts_at=begins,
        deadline=ends,
        created_at=begins,
        goals=[Goal(members=goal, set_at=begins)],
        **_common(settings),
    )
    starts_at = max(first, datetime(year, 1, 1, tzinfo=zone))
    running = Campaign(
        slug=CAMPAIGN,
        headlines=HEADLINE,
        messages={
            "en": f"Help us reach 25,000 members by the end of {year}",
            "uk": f"Допоможіть нам зібрати 25 000 учасників до кінця {year} року",
        },
        counts=Counts.ALL,
        starts_at=starts_at,
        deadline=datetime(year, 12, 31, 23, 59, 59, tzinfo=zone),
        created_at=starts_at,
        goals=[Goal(members=25_000, set_at=starts_at)],
        reasons=REASONS,
        captions=CAPTION,
        **_common(settings),
    )
    session.add_all((appeal, running))
    session.flush()
    set_picture(session, CAMPAIGN, resvg_py.svg_to_bytes(svg_path=str(PICTURE), width=1200))
    for campaign in (appeal, running):
        _add_milestones(session, campaign, at)


def _common(settings: Settings) -> dict[str, object]:
    newspaper = urlsplit(settings.newsroom_url or settings.public_url)
    return {
        "timezone": settings.newsroom_timezone.key,
        "tiers": list(TIERS),
        "default_tier": "member",
        "default_currency": "GBP",
        "sites": [f"{newspaper.scheme}://{newspaper.netloc}"],
    }


def _add_milestones(session: Session, campaign: Campaign, at: datetime) -> None:
    """Each milestone at the change that reached it, as if the service had looked then.

    Whoever asked for news was e-mailed about the quarters; the service notes those that are passed.
    """
    since = balance_at(session, campaign.starts_at)
    base = since if campaign.counts is Counts.NEW else 0
    most = since - base
    for balance, moment in session.execute(
        select(LedgerEntry.balance, LedgerEntry.recorded_at)
        .where(
            LedgerEntry.recorded_at >= campaign.starts_at,
            LedgerEntry.recorded_at < min(campaign.deadline, at),
        )
        .order_by(LedgerEntry.version)
    ):
        members = balance - base
        if members <= most:
            continue
        for reached, percent in between(most, members, campaign.goal).items():
            session.add(
                Milestone(
                    campaign_slug=campaign.slug,
                    members=reached,
                    percent=percent,
                    goal=campaign.goal,
                    reached_at=moment,
                )
            )
            if percent in QUARTERS:
                key = f"{campaign.slug} {percent}% of {campaign.goal}"
                session.add(Mailing(kind="milestone", key=key, at=moment))
        most = members
    campaign.most_members = most
    notes = (
        f"{quarter}% of {campaign.goal}, passed"
        for quarter in QUARTERS
        if most * 100 >= quarter * campaign.goal
    )
    for note in (str(campaign.goal), *notes):
        session.add(Mailing(kind="milestone", key=f"{campaign.slug} {note}", at=campaign.starts_at))
