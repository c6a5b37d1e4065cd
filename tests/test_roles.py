"""Every form of staff's, held against the one table of what each role may do."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from fundraiser.newsroom.models import Role
from fundraiser.newsroom.roles import ALLOWED, Permission
from fundraiser.security import is_public
from tests.factories import make_campaign, make_member, make_tiers
from tests.staff import PAGE, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.routing import Rule

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

NEEDS = {
    "dashboard.look_again": Permission.SETTLE,
    "desk.look_at_all": Permission.SETTLE,
    "desk.keep_rate": Permission.ENTER_RATES,
    "widget_page.keep": Permission.CHANGE_CAMPAIGN,
    "campaign_pages.create": Permission.CHANGE_CAMPAIGN,
    "campaign_pages.change": Permission.CHANGE_CAMPAIGN,
    "campaign_pages.set_goal": Permission.CHANGE_CAMPAIGN,
    "campaign_pages.end": Permission.CHANGE_CAMPAIGN,
    "campaign_pages.archive": Permission.CHANGE_CAMPAIGN,
    "campaign_pages.restore": Permission.CHANGE_CAMPAIGN,
    "milestone_pages.keep_hook": Permission.CHANGE_CAMPAIGN,
    "milestone_pages.change_secret": Permission.CHANGE_CAMPAIGN,
    "milestone_pages.try_hook": Permission.CHANGE_CAMPAIGN,
    "milestone_pages.tell_again": Permission.CHANGE_CAMPAIGN,
    "tier_pages.create": Permission.CHANGE_CAMPAIGN,
    "tier_pages.change": Permission.CHANGE_CAMPAIGN,
    "tier_pages.publish": Permission.CHANGE_CAMPAIGN,
    "tier_pages.move": Permission.CHANGE_CAMPAIGN,
    "tier_pages.retire": Permission.CHANGE_CAMPAIGN,
    "tier_pages.restore": Permission.CHANGE_CAMPAIGN,
    "letter_pages.send_again": Permission.READ_LETTERS,
    "letter_pages.write_again": Permission.CHANGE_CAMPAIGN,
    "letter_pages.change_switch": Permission.CHANGE_CAMPAIGN,
    "letter_pages.change_words": Permission.CHANGE_CAMPAIGN,
    "member_list.export": Permission.EXPORT,
    "money_pages.export_month": Permission.EXPORT,
    "money_pages.export_payout": Permission.EXPORT,
    "member_acts.complimentary": Permission.CHANGE_MEMBER,
    "member_acts.end": Permission.CHANGE_MEMBER,
    "member_acts.email": Permission.CHANGE_MEMBER,
    "member_acts.letter_again": Permission.CHANGE_MEMBER,
    "member_acts.note": Permission.CHANGE_MEMBER,
    "member_acts.roster_off": Permission.CHANGE_MEMBER,
    "member_acts.roster_on": Permission.CHANGE_MEMBER,
    "member_acts.refund": Permission.REFUND,
    "staff_pages.invite": Permission.MANAGE_STAFF,
    "staff_pages.change": Permission.MANAGE_STAFF,
}


def forms(app: FundraiserApp) -> list[Rule]:
    """The routes that change what is not one's own, and that only staff may ask for."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if "POST" in (rule.methods or set())
        and rule.rule.startswith("/staff")
        and not is_public(rule.endpoint)
        and not rule.rule.startswith(("/staff/account", "/staff/sign-out"))
    ]


@pytest.mark.parametrize("role", Role)
def test_a_form_is_open_to_those_whom_the_table_names_and_to_nobody_else(
    app: FundraiserApp, client: FlaskClient, database: Database, role: Role
) -> None:
    """Each form of staff's is in the table above."""
    sign_in(client, hire(database, role))
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        member = make_member(session)
    token = csrf_token(client, "/staff")
    assert {rule.endpoint for rule in forms(app)} == set(NEEDS)
    for rule in forms(app):
        path = re.sub(r"<int:member_id>", str(member.id), rule.rule)
        path = re.sub(r"<slug>", "25000", re.sub(r"<int:\w+>", "1", path))
        path = re.sub(r"<\w+>", "x", path)
        answers = [client.post(path, data={"csrf_token": token}, headers=PAGE).status_code]
        if "GET" in (rule.methods or set()):
            answers.append(client.get(path, headers=PAGE).status_code)
        refused = {status == HTTPStatus.FORBIDDEN for status in answers}
        assert refused == {NEEDS[rule.endpoint] not in ALLOWED[role]}, (rule.rule, role, answers)


def test_each_permission_is_somebodys_and_an_administrator_has_all() -> None:
    assert ALLOWED[Role.ADMIN] == set(Permission)
    assert set(ALLOWED) == set(Role)
    assert ALLOWED[Role.FINANCE] == {Permission.EXPORT}
