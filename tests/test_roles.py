"""What each role may do, held against a table that is written out here, not computed."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from fundraiser.newsroom import roles
from fundraiser.newsroom.models import Role
from fundraiser.newsroom.roles import Permission
from fundraiser.security import is_public
from tests.factories import make_campaign, make_member, make_tiers
from tests.staff import PAGE, csrf_token, hire, sign_in

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database

# Every staff route, under the roles that it is open to.
OPEN_TO = {
    "admin manager support finance": """
        GET  /staff
        GET  /staff/account
        POST /staff/account/emails
        POST /staff/account/language
        POST /staff/account/passkeys
        POST /staff/account/passkeys/<int:passkey_id>/removal
        POST /staff/account/passkeys/new
        POST /staff/account/password
        POST /staff/account/recovery-codes
        POST /staff/account/second-factor
        GET  /staff/account/second-factor.svg
        POST /staff/account/second-factor/off
        POST /staff/account/second-factor/on
        POST /staff/account/sessions/<int:session_id>/end
        POST /staff/account/sign-out
        GET  /staff/campaigns
        GET  /staff/campaigns/<slug>
        GET  /staff/campaigns/<slug>/milestones
        GET  /staff/campaigns/<slug>/widget
        GET  /staff/contributions
        GET  /staff/changes
        GET  /staff/changes/<int:change_id>
        GET  /staff/labels
        GET  /staff/members
        POST /staff/members/views
        POST /staff/members/views/<int:view_id>/removal
        GET  /staff/members/<int:member_id>
        GET  /staff/members/<int:member_id>/statements/<int:year>
        GET  /staff/money
        GET  /staff/money/<month>
        GET  /staff/payouts
        GET  /staff/payouts/<payout_id>
        GET  /staff/rates
        GET  /staff/names
        GET  /staff/overdue
        GET  /staff/income
        GET  /staff/retention
        GET  /staff/retention/<subject>.csv
        GET  /staff/charts/<name>.csv
        GET  /staff/failed-syncs
        GET  /staff/security
        GET  /staff/service
        GET  /staff/service/events
        POST /staff/sign-out
        GET  /staff/sources
        GET  /staff/members/alike
        GET  /staff/sources/imports/<int:batch_id>
        GET  /staff/tiers
        GET  /staff/tiers/<slug>
        GET  /staff/widget
    """,
    "admin manager support": """
        POST /staff/customers/<name>/sync
        POST /staff/changes
        POST /staff/changes/<int:change_id>/application
        POST /staff/changes/<int:change_id>/plan
        POST /staff/changes/<int:change_id>/removal
        POST /staff/changes/<int:change_id>/undoing
        POST /staff/labels/<int:label_id>/name
        POST /staff/labels/<int:label_id>/removal
        POST /staff/members/<int:member_id>/labels
        POST /staff/members/<int:member_id>/labels/<int:label_id>/removal
        GET  /staff/emails
        POST /staff/emails/<int:email_id>/again
        POST /staff/emails/kinds/<kind>
        GET  /staff/emails/kinds/<kind>
        GET  /staff/emails/kinds/<kind>/preview
        GET  /staff/members/<int:member_id>/complimentary
        POST /staff/members/<int:member_id>/complimentary
        GET  /staff/members/<int:member_id>/email
        POST /staff/members/<int:member_id>/email
        GET  /staff/members/<int:member_id>/emails/<int:email_id>/again
        POST /staff/members/<int:member_id>/emails/<int:email_id>/again
        GET  /staff/members/<int:member_id>/memberships/<int:membership_id>/end
        POST /staff/members/<int:member_id>/memberships/<int:membership_id>/end
        GET  /staff/members/<int:member_id>/note
        POST /staff/members/<int:member_id>/note
        POST /staff/members/<int:member_id>/sessions/end
        GET  /staff/members/<int:member_id>/name/hide
        POST /staff/members/<int:member_id>/name/hide
        GET  /staff/members/<int:member_id>/name/restore
        POST /staff/members/<int:member_id>/name/restore
        POST /staff/names
        GET  /staff/sources/people
        POST /staff/members/alike/difference
        GET  /staff/members/<int:member_id>/merge
        GET  /staff/members/<int:member_id>/merge/other
        POST /staff/members/<int:member_id>/merge
        POST /staff/merges/<int:merge_id>/separation
        POST /staff/sources/people
        POST /staff/sources/imports/<int:batch_id>/decisions
        POST /staff/failed-syncs/retry
        GET  /staff/service/events/<event_id>
    """,
    "admin manager finance": """
        POST /staff/rates
        POST /staff/members/export
        POST /staff/money/<month>/export
        POST /staff/payouts/<payout_id>/export
    """,
    "admin manager": """
        POST /staff/campaigns
        POST /staff/campaigns/<slug>/archiving
        GET  /staff/campaigns/<slug>/edit
        POST /staff/campaigns/<slug>/edit
        POST /staff/security/guard
        POST /staff/service/stops/<what>
        POST /staff/service/stops/<what>/end
        POST /staff/campaigns/<slug>/end
        POST /staff/campaigns/<slug>/goals
        POST /staff/campaigns/<slug>/milestones/<int:milestone_id>/telling
        POST /staff/campaigns/<slug>/milestones/hook
        POST /staff/campaigns/<slug>/milestones/secret
        POST /staff/campaigns/<slug>/milestones/trial
        POST /staff/campaigns/<slug>/picture
        POST /staff/campaigns/<slug>/picture/removal
        POST /staff/campaigns/<slug>/restoring
        POST /staff/campaigns/<slug>/widget/look
        GET  /staff/campaigns/new
        POST /staff/emails/addresses
        POST /staff/emails/kinds/<kind>/preview
        POST /staff/emails/kinds/<kind>/test
        POST /staff/emails/kinds/<kind>/switch
        POST /staff/emails/kinds/<kind>/words
        GET  /staff/members/<int:member_id>/payments/<int:payment_id>/refund
        POST /staff/members/<int:member_id>/payments/<int:payment_id>/refund
        POST /staff/sources/files
        POST /staff/sources/imports/<int:batch_id>/application
        POST /staff/sources/imports/<int:batch_id>/reading
        POST /staff/sources/imports/<int:batch_id>/refused-rows/export
        POST /staff/sources/imports/<int:batch_id>/removal
        POST /staff/sources/imports/<int:batch_id>/undoing
        POST /staff/sources/live/<name>/listing
        POST /staff/sources/live/<name>/pause
        POST /staff/tiers
        POST /staff/tiers/<slug>
        POST /staff/tiers/<slug>/place
        POST /staff/tiers/<slug>/publication
        POST /staff/tiers/<slug>/retirement
        POST /staff/tiers/<slug>/return
        GET  /staff/tiers/new
    """,
    "admin": """
        GET  /staff/team
        POST /staff/team
        POST /staff/team/<int:staff_id>/<what>
        POST /staff/team/rules
        GET  /staff/audit-log
    """,
}
OPEN = {
    " ".join(line.split()): frozenset(Role(name) for name in names.split())
    for names, lines in OPEN_TO.items()
    for line in lines.strip().splitlines()
}


def staff_routes(app: FundraiserApp) -> set[str]:
    return {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if not is_public(rule.endpoint)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def differences(client: FlaskClient, database: Database, role: Role) -> list[str]:
    """Sign in with this role and ask for every route: those that the table says otherwise of."""
    email = hire(database, role)
    sign_in(client, email)
    with database.transaction() as session:
        make_tiers(session)
        make_campaign(session)
        member = make_member(session)
    token = csrf_token(client, "/staff")
    found = []
    for route in sorted(OPEN):
        method, path = route.split()
        path = path.replace("<int:member_id>", str(member.id)).replace("<slug>", "25000")
        path = re.sub(r"<\w+>", "x", re.sub(r"<int:\w+>", "1", path))
        form = None if method == "GET" else {"csrf_token": token}
        answer = client.open(path, method=method, data=form, headers=PAGE)
        assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, route
        if (answer.status_code == HTTPStatus.FORBIDDEN) == (role in OPEN[route]):
            found.append(route)
        if "/staff/sign-in" in answer.headers.get("Location", ""):
            assert route.endswith(("sign-out", "/sessions/<int:session_id>/end")), route
            sign_in(client, email)
            token = csrf_token(client, "/staff")
    return found


def test_the_table_names_every_staff_route(app: FundraiserApp) -> None:
    assert staff_routes(app) == set(OPEN)


@pytest.mark.parametrize("role", Role)
def test_a_staff_route_is_open_to_the_roles_of_the_table_and_to_no_others(
    client: FlaskClient, database: Database, role: Role
) -> None:
    assert differences(client, database, role) == []


def test_the_table_notices_support_that_may_refund(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: one permission more."""
    more = roles.ALLOWED[Role.SUPPORT] | {Permission.REFUND}
    monkeypatch.setitem(roles.ALLOWED, Role.SUPPORT, more)
    refund = "/staff/members/<int:member_id>/payments/<int:payment_id>/refund"
    assert differences(client, database, Role.SUPPORT) == [f"GET {refund}", f"POST {refund}"]
