"""What members change themselves: at Stripe, settled at once, with the number after each step."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import select

from fundraiser.db import now
from fundraiser.joining.reminders import Reminder, ReminderKind
from fundraiser.members.addresses import enqueue_codes
from fundraiser.members.counting import recount_due
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Consent, Interval, LedgerEntry, Member, Membership
from fundraiser.outbox import Email
from fundraiser.payments.models import Customer, Payment
from tests.factories import GRACE, make_member, make_membership
from tests.mail import deliver, text_of
from tests.members import OURS, Olena, sign_in
from tests.pages import PageText

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.emails.smtp import MailServer
    from tests.mail import Postbox


@pytest.mark.wording
def test_the_overview_says_what_is_paid_when_and_what_comes_next(olena: Olena) -> None:
    said = olena.overview()
    assert "You’re member 1 " in said
    assert "You pay £10 a month" in said
    assert re.search(
        r"You’ll be charged the next £10 on \d+ \w+ \d{4}\. You can cancel before", said
    )
    assert "Paid £10" in said
    receipt = olena.open("/account").select_one("table a")
    assert receipt
    page = olena.open(str(receipt["href"]))
    assert "The Northern Ledger" in page.get_text()
    at_stripe = page.select_one("a.button")
    assert at_stripe
    assert "/invoice/in_" in str(at_stripe["href"])


def test_the_account_can_be_found_one_s_way_in_and_erasing_stands_apart(olena: Olena) -> None:
    page = olena.open("/account")
    targets = [str(link["href"]) for link in page.select("nav.sections a[href^='#']")]
    assert len(targets) >= 3
    assert all(page.select_one(target) for target in targets)
    (erasure,) = page.select("main a[href='/account/erasure']")
    assert erasure.find_parent("section") is page.select("main section")[-1]
    assert len(erasure.find_parent("section").select("a, button")) == 1  # type: ignore[union-attr]


def test_who_stops_stays_until_what_is_paid_for_ends_and_may_go_on(olena: Olena) -> None:
    said = olena.action("cancellation", reason="too_expensive", comment="Rent went up.")
    assert "notice-stopped" in said.marks
    assert "state-ending" in said.marks
    found = olena.at_stripe()
    assert found["cancel_at_period_end"] is True
    assert found["cancellation_details"]["feedback"] == "too_expensive"
    assert found["cancellation_details"]["comment"] == "Rent went up."
    with olena.stripe.app.database.transaction() as session:
        assert session.scalars(select(Membership.cancel_comment)).all() == ["Rent went up."]
    assert olena.number() == 1
    assert "notice-resumed" in olena.resume().marks
    assert olena.at_stripe()["cancel_at_period_end"] is False
    olena.action("cancellation")
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert olena.number() == 0
    assert olena.taken() == [1000]
    assert "no-membership" in olena.overview().marks


def test_a_double_click_stops_once_and_says_so_twice(olena: Olena) -> None:
    path = olena.path("cancellation")
    form = olena.form(path, path)
    answers: list[str | None] = []
    cookie = olena.client.get_cookie("member")
    assert cookie

    def click() -> None:
        browser = olena.stripe.app.test_client()
        browser.set_cookie("member", cookie.value)
        answers.append(browser.post(path, data=form, headers=OURS).location)

    hands = [threading.Thread(target=click) for _ in range(3)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert answers == ["/account"] * 3
    assert "notice-stopped" in olena.overview().marks
    assert olena.at_stripe()["cancel_at_period_end"] is True


def test_two_tabs_that_stop_and_upgrade_leave_what_the_first_did(olena: Olena) -> None:
    stop, price = olena.path("cancellation"), olena.path("price")
    first = olena.form(stop, stop)
    second = olena.form(price, price, tier="patron", interval="month")
    olena.send(stop, first)
    assert olena.send(price, second).status_code == 303
    said = olena.overview()
    assert "notice-meanwhile" in said.marks
    assert "state-ending" in said.marks
    assert olena.taken() == [1000]
    assert olena.membership.amount == 1000


def test_a_higher_tier_takes_what_the_preview_said_and_once(olena: Olena) -> None:
    path = olena.path("price")
    page = olena.open(path, tier="patron", interval="month")
    change = page.select_one("[data-test=change]")
    assert change
    button = change.select_one("button")
    assert button
    for said in (change.get_text(), button.text):
        assert re.search(r"£15|£14\.99", said)
    assert "£25" in button.text
    form = olena.form(path, path, tier="patron", interval="month")
    for _click in range(2):
        assert olena.send(path, form).status_code == 303
    assert "notice-changed" in olena.overview().marks
    assert olena.taken()[1:] == [1000]
    assert olena.taken()[0] in range(1490, 1501)
    assert (olena.membership.amount, olena.membership.tier) == (2500, "patron")
    assert olena.number() == 1


def test_a_smaller_amount_begins_with_the_next_payment(olena: Olena) -> None:
    path = olena.path("price")
    change = olena.open(path, tier="member", interval="month", amount="4.50").select_one(
        "[data-test=change]"
    )
    assert change
    assert "£4.50" in change.get_text()
    form = olena.form(path, path, tier="member", interval="month", amount="4.50")
    olena.send(path, form)
    assert "£4.50" in olena.overview()
    assert olena.taken() == [1000]
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert olena.taken() == [450, 1000]
    assert olena.number() == 1


@pytest.mark.wording
def test_a_year_begins_at_once_and_back_to_months_leaves_credit(olena: Olena) -> None:
    path = olena.path("price")
    asked = PageText.of(olena.open(path, tier="member", interval="year"))
    assert "£100 " in asked.parts["renews-yearly"]
    olena.send(path, olena.form(path, path, tier="member", interval="year"))
    assert olena.membership.interval is Interval.YEAR
    assert olena.taken()[0] in range(8990, 9002)
    said = olena.open(path, tier="member", interval="month").get_text(" ")
    assert "is left over as credit." in said
    told = re.search(r"charged £10 on (\d+ \w+ \d+) and every month", said)
    assert told
    olena.send(path, olena.form(path, path, tier="member", interval="month"))
    account = " ".join(olena.overview().split())
    assert re.search(rf"Next payment £10, {told[1]}, covered by your credit of £[89]\d", account)
    assert re.search(
        rf"Your credit of £[89][\d.]+ covers the next £10 on {told[1]}, so you won’t be charged",
        account,
    )
    before = len(olena.taken())
    olena.stripe.advance(days=33)
    olena.stripe.settle(olena.customer)
    assert len(olena.taken()) == before
    assert olena.membership.payment_status == "paid"
    assert olena.number() == 1


@pytest.mark.wording
def test_credit_that_pays_a_part_leaves_the_rest_to_be_charged(olena: Olena) -> None:
    olena.stripe.set_balance(olena.customer, -400)
    olena.stripe.settle(olena.customer)
    account = " ".join(olena.overview().split())
    assert re.search(r"Next payment £10, \d+ \w+ \d+, minus your credit of £4", account)
    assert re.search(r"You’ll be charged £6 on .*: your credit of £4 covers the rest", account)
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert olena.taken() == [600, 1000]
    assert olena.membership.credit == 0
    assert "credit" not in olena.overview()


def test_a_bank_that_refuses_the_upgrade_leaves_all_as_it_was(olena: Olena) -> None:
    olena.stripe.change_card(olena.customer, "4000000000000341")
    olena.stripe.settle(olena.customer)
    path = olena.path("price")
    answer = olena.send(path, olena.form(path, path, tier="patron", interval="month"))
    assert answer.status_code == 422
    assert "error" in PageText.of(answer).marks
    assert olena.at_stripe()["items"]["data"][0]["price"]["unit_amount"] == 1000
    assert olena.membership.amount == 1000


@pytest.mark.wording
@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("abc", "Enter the amount in digits"),
        ("0.10", "The amount must be £2 or more."),
        ("99999999", "The amount must be £1,000,000 or less."),
        ("10", "You already pay this. Choose something else."),
    ],
)
def test_what_can_not_be_paid_is_said(olena: Olena, amount: str, sentence: str) -> None:
    said = olena.open(olena.path("price"), tier="member", interval="month", amount=amount)
    assert sentence in said.get_text(" ", strip=True)


def test_a_pause_charges_nothing_and_counts_until_the_end_of_what_is_paid_for(olena: Olena) -> None:
    olena.stripe.advance(hours=1)  # not in the second in which the period began
    said = olena.action("pause", months="1")
    assert "notice-paused" in said.marks
    assert olena.number() == 1, "she has paid for this month"
    assert "notice-resumed" in olena.resume().marks
    olena.action("pause", months="2")
    olena.stripe.advance(days=31)
    with olena.database.transaction() as session:
        recount_due(session, GRACE)
    assert olena.number() == 0
    olena.stripe.advance(days=33)
    olena.stripe.settle(olena.customer)
    assert olena.number() == 0, "two payments are skipped"
    assert olena.taken() == [1000]
    olena.stripe.advance(days=31)
    olena.stripe.settle(olena.customer)
    assert olena.number() == 1
    assert len(olena.taken()) == 2


def test_who_comes_back_from_a_pause_pays_and_is_not_welcomed_again(olena: Olena) -> None:
    olena.action("pause", months="1")
    olena.stripe.advance(days=31)
    with olena.database.transaction() as session:
        recount_due(session, GRACE)
    assert olena.number() == 0
    olena.stripe.advance(days=31, hours=2)  # charged an hour after the period begins
    olena.stripe.settle(olena.customer)
    assert olena.number() == 1
    assert olena.taken() == [1000, 1000]
    with olena.database.transaction() as session:
        assert session.scalars(select(Email.key).filter_by(kind="welcome")).all() == ["member 1 1"]


def test_a_yearly_payment_is_paused_for_a_year(olena: Olena) -> None:
    path = olena.path("price")
    olena.send(path, olena.form(path, path, tier="member", interval="year"))
    assert olena.membership.interval is Interval.YEAR
    offered = olena.open(olena.path("pause")).select("[name=months]")
    assert [choice["value"] for choice in offered] == ["12"]
    assert "notice-paused" in olena.action("pause", months="12").marks
    assert olena.membership.resumes_at
    assert olena.membership.period_end
    skipped = olena.membership.resumes_at - olena.membership.period_end
    assert timedelta(days=363) < skipped < timedelta(days=366)


@pytest.mark.parametrize("days", [0, 10])
def test_a_pause_of_a_month_skips_a_payment_and_the_page_says_until_when(
    olena: Olena, days: int
) -> None:
    olena.stripe.advance(days=days)
    offered = olena.open(olena.path("pause")).select_one("label:has([name=months][value='1'])")
    assert offered
    told = re.search(r"(\d+ \w+ \d{4})", offered.get_text())
    assert told
    olena.action("pause", months="1")
    resumes = datetime.fromtimestamp(olena.at_stripe()["pause_collection"]["resumes_at"], tz=UTC)
    assert f"{resumes.day} {resumes:%B %Y}" == told[1]
    assert olena.membership.period_end
    assert resumes > olena.membership.period_end + timedelta(hours=2), "the next payment is skipped"
    assert resumes < olena.membership.period_end + timedelta(days=31), "and no other"


def test_another_card_comes_from_the_payment_services_own_page(olena: Olena) -> None:
    path = olena.path("card")
    answer = olena.send(path, olena.form("/account", path))
    portal = answer.headers["Location"]
    assert portal.startswith(f"{olena.stripe.url}/portal/")
    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action 'self' {olena.stripe.url}" in policy
    olena.client.get(path, headers=OURS)
    assert "notice-method" in olena.overview().marks


def test_a_membership_whose_payment_failed_ends_at_once(olena: Olena) -> None:
    olena.stripe.change_card(olena.customer, "4000000000000341")
    olena.stripe.advance(days=32)
    olena.stripe.settle(olena.customer)
    assert "state-overdue" in olena.overview().marks
    assert "ends-at-once" in PageText.of(olena.open(olena.path("cancellation"))).marks
    olena.action("cancellation")
    assert olena.at_stripe()["status"] == "canceled"
    assert olena.number() == 0


def test_an_emails_link_stops_and_resumes_without_signing_in(
    olena: Olena, app: FundraiserApp
) -> None:
    link = membership_link(olena.membership).removeprefix("http://127.0.0.1:8000")
    stranger = app.test_client()
    for what, is_ending in (("stop", True), ("resume", False)):
        page = BeautifulSoup(stranger.get(link, headers=OURS).text, "html.parser")
        assert olena.at_stripe()["cancel_at_period_end"] is not is_ending
        fields = page.select("form input[type=hidden]")
        form = {str(field["name"]): str(field["value"]) for field in fields}
        assert stranger.post(link, data=form | {"what": what}).status_code == 403
        answer = stranger.post(link, data=form | {"what": what}, headers=OURS)
        assert answer.status_code == 200
        assert olena.at_stripe()["cancel_at_period_end"] is is_ending
    assert stranger.get("/account", headers=OURS).status_code == 303
    for broken in (link[:-3], f"{link}x", "/account/letter/abc"):
        answer = stranger.get(broken, headers=OURS)
        assert answer.status_code == 404


def test_nobody_reaches_the_membership_or_receipt_of_somebody_else(
    olena: Olena, app: FundraiserApp
) -> None:
    with app.database.transaction() as session:
        other = make_member(session)
        payment = session.scalars(select(Payment.id)).one()
    stranger = app.test_client()
    sign_in(stranger, app.database, other.id)
    for path in (olena.path("cancellation"), olena.path("price"), f"/account/payments/{payment}"):
        assert stranger.get(path, headers=OURS).status_code == 404


def test_the_address_changes_when_both_ends_confirm_it(
    olena: Olena, mail_server: MailServer, postbox: Postbox
) -> None:
    form = olena.form("/account/email", "/account/email")
    same = olena.send("/account/email", form, email="Olena@Example.org")
    assert (same.status_code, PageText.of(same).wrong) == (422, ["email"])
    olena.send("/account/email", form, email="new@example.net")
    with olena.database.transaction() as session:
        enqueue_codes(session)
    deliver(olena.database, mail_server)
    codes = {}
    for email in postbox.emails:
        found = re.search(r"^(\d{6})\s*$", text_of(email), re.MULTILINE)
        if found:
            codes[email["To"]] = found[1]
    assert set(codes) == {"olena@example.org", "new@example.net"}
    path = "/account/email/codes"
    form = olena.form(path, path)
    old, new = codes["olena@example.org"], codes["new@example.net"]
    swapped = olena.send(path, form, old=new, new=old)
    assert swapped.status_code == 422 or old == new
    thief = olena.stripe.app.test_client()
    thief.set_cookie("member", f"token-of-{olena.member_id}")
    assert thief.get("/account", headers=OURS).status_code == 200
    assert olena.send(path, form, old=old, new=new).status_code == 303
    assert thief.get("/account", headers=OURS).status_code == 303
    assert "notice-email" in olena.overview().marks
    at_stripe = olena.stripe.call("GET", f"customers/{olena.customer}")
    assert at_stripe["email"] == "new@example.net"
    with olena.database.transaction() as session:
        assert session.get_one(Member, olena.member_id).email == "new@example.net"
        assert session.get_one(Customer, olena.customer).member_id == olena.member_id
    assert olena.number() == 1


@pytest.mark.wording
def test_name_language_and_each_consent_are_saved_with_text_and_time(olena: Olena) -> None:
    path = "/account/details"
    form = olena.form(path, path)
    assert "roster" not in form
    assert olena.send(path, form, name=" ").status_code == 422
    olena.send(path, form, name="Olena  Koval", language="uk", roster="yes")
    olena.send(path, form, name="Olena Koval", language="uk", roster="yes")
    at_stripe = olena.stripe.call("GET", f"customers/{olena.customer}")
    assert (at_stripe["name"], at_stripe["preferred_locales"]) == ("Olena Koval", ["uk"])
    olena.stripe.settle(olena.customer)
    olena.send(path, form, name="Olena Koval", language="uk")
    with olena.database.transaction() as session:
        member = session.get_one(Member, olena.member_id)
        assert (member.name, member.language) == ("Olena Koval", "uk")
        consents = session.scalars(select(Consent).order_by(Consent.id)).all()
    assert [consent.given for consent in consents] == [True, False]
    assert consents[0].text == "Show my name on the campaign’s supporters page."


def test_an_error_keeps_every_tick_the_language_and_the_name_as_they_were_sent(
    olena: Olena,
) -> None:
    path = "/account/details"
    form = olena.form(path, path)
    ticks = [name for name, value in form.items() if value == "yes"] + ["roster"]
    olena.send(path, form, name="Olena", language="en", **dict.fromkeys(ticks, "yes"))
    withdrawn = {name: value for name, value in form.items() if name not in ticks}
    answer = olena.send(path, withdrawn, name="x" * 300, language="uk")
    assert answer.status_code == 422
    page = BeautifulSoup(answer.text, "html.parser")
    assert not page.select("[type=checkbox][checked]")
    assert page.select_one("#language [value=uk][selected]")
    assert page.select_one("#name")["value"] == "x" * 300  # type: ignore[index]
    again = olena.send(path, withdrawn, name=" ", language="en", roster="yes")
    ticked = BeautifulSoup(again.text, "html.parser").select("[type=checkbox][checked]")
    assert [tick["name"] for tick in ticked] == ["roster"]


def test_all_that_is_kept_can_be_downloaded_but_no_secret(olena: Olena) -> None:
    leave_reminder(olena)
    answer = olena.client.get("/account/download", headers=OURS)
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.json
    assert answer.json["member"]["email"] == "olena@example.org"
    assert [row["amount"] for row in answer.json["payment"]] == [1000]
    assert [row["change"] for row in answer.json["ledger"]] == [1]
    assert len(answer.json["reminder"]) == 1
    assert set(answer.json) >= {"membership", "customer", "checkout", "email", "consent"}
    assert "_hash" not in answer.text


def leave_reminder(olena: Olena) -> None:
    with olena.database.transaction() as session:
        session.add(
            Reminder(
                kind=ReminderKind.LATER,
                email="Olena@Example.org",
                language="en",
                campaign_slug="25000",
                due_at=now(),
                created_at=now(),
            )
        )


def test_an_erased_account_leaves_the_ledger_and_the_books_and_no_name(olena: Olena) -> None:
    path = "/account/erasure"
    form = olena.form(path, path)
    assert olena.send(path, form).status_code == 422
    assert olena.number() == 1
    leave_reminder(olena)
    answer = olena.send(path, form, sure="yes")
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"] == "/account/erased"
    assert olena.number() == 0
    gone = olena.stripe.call("GET", f"customers/{olena.customer}")
    assert gone["deleted"] is True
    olena.stripe.settle(olena.customer)
    with olena.database.transaction() as session:
        member = session.get_one(Member, olena.member_id)
        assert (member.email, member.name, member.country) == (None, None, None)
        assert member.number == 1
        entries = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version)).all()
        assert [(entry.change, entry.cause) for entry in entries] == [
            (1, "stripe"),
            (-1, "erasure"),
        ]
        assert session.scalars(select(Payment.amount)).all() == [1000]
        assert session.get_one(Customer, olena.customer).email == ""
        assert session.scalars(select(Reminder.email)).all() == [""]
        assert not any(session.scalars(select(Email.context)))
    assert olena.client.get("/account", headers=OURS).status_code == 303
    assert "olena" not in str([vars(row) for row in (member, *entries)]).lower()


def test_while_stripe_is_away_nothing_is_said_to_be_done(
    app: FundraiserApp, client: FlaskClient
) -> None:
    """Without ``stripe`` nobody answers at Stripe's address."""
    with app.database.transaction() as session:
        member = make_member(session, number=1)
        membership = make_membership(member, customer_id="cus_away", tier="member")
        session.add(membership)
        session.flush()
    sign_in(client, app.database, member.id)
    page = BeautifulSoup(
        client.get(f"/account/memberships/{membership.id}/cancellation", headers=OURS).text,
        "html.parser",
    )
    fields = page.select("main form input[type=hidden]")
    form = {str(field["name"]): str(field["value"]) for field in fields}
    answer = client.post(
        f"/account/memberships/{membership.id}/cancellation", data=form, headers=OURS
    )
    assert answer.status_code == 303
    said = PageText.of(client.get("/account", headers=OURS))
    assert "notice-unknown" in said.marks
    assert "You have stopped" not in said
