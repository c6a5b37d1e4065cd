"""What staff do to a member: said beforehand, done once, settled, and kept in the trail."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from fundraiser.account.erasure import erase
from fundraiser.db import now
from fundraiser.emails.kinds import label_of
from fundraiser.members.consistency import read_drift
from fundraiser.members.ledger import read_balance
from fundraiser.members.models import Cause, LedgerEntry, Member, Membership, Note, Source
from fundraiser.newsroom.models import AuditEntry, Role, StaffRules, StaffSession
from fundraiser.outbox import Email, EmailState, enqueue
from fundraiser.payments.models import Customer
from fundraiser.payments.stripe.gateway import Gateway, StripeUnavailableError
from fundraiser.payments.stripe.member_gateway import member_gateway
from tests.factories import make_member, make_tiers
from tests.member_pages import Taras, filled, send
from tests.staff import (
    PAGE,
    PASSWORD,
    count,
    day_of,
    hire,
    join,
    names,
    parse,
    read,
    shown,
    sign_in,
    words,
    wrong,
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from fundraiser.app import FundraiserApp
    from fundraiser.db import Database


def test_a_refund_in_part_says_what_it_does_and_leaves_the_member_counting(
    staff: FlaskClient, taras: Taras
) -> None:
    page = read(staff, taras.refund)
    assert "£10" in words(page, "h1")
    whole, part = page.select(".effects")
    assert whole.select("[data-test=effect-number] [data-test=falls-now]")
    assert "£10" in shown(whole, "effect-money")
    assert "stays-counted" in names(part)
    with taras.database.transaction() as session:
        due_at = session.get_one(Membership, taras.membership_id).period_end
    assert "£10" in shown(part, "effect-money")  # which goes on to be paid
    assert day_of(due_at) in shown(part, "effect-money")
    answer = send(staff, taras.refund, filled(staff, taras.refund, amount="2.50", note="Kind."))
    assert (answer.status_code, answer.headers["Location"]) == (303, taras.path)
    assert taras.refunds() == [250]
    assert taras.counts()
    details = {"payment": taras.payment.charge_id, "amount": 250, "currency": "GBP"}
    assert taras.acts() == [("refunded", ["payment"], details)]
    after = read(staff, taras.path)
    assert "£2.50" in shown(after, "notice-refunded")
    assert "£2.50" in shown(after, "partly-refunded")
    act = shown(after, "refunded")
    assert [part in act for part in ("£2.50", "Kind.", "Iryna Bondar")] == [True] * 3
    assert 'value="7.50"' in staff.get(taras.refund, headers=PAGE).text


def test_a_refund_above_the_sum_asks_for_the_password_again_and_is_done_once(
    staff: FlaskClient, taras: Taras
) -> None:
    with taras.database.transaction() as session:
        session.add(StaffRules(id=1, second_step_roles=[], large_refund=2))
        earlier = StaffSession.confirmed_at - timedelta(minutes=10)
        session.execute(update(StaffSession).values(confirmed_at=earlier))
    send(staff, taras.refund, filled(staff, taras.refund, amount="2"))
    assert taras.refunds() == [200]
    form = filled(staff, taras.refund, amount="2.50", note="Kind.")
    asked = send(staff, taras.refund, form)
    assert "confirm-again" in names(parse(asked))
    assert "Kind." in asked.text
    assert taras.refunds() == [200]
    for typed in ({"password_again": PASSWORD}, {}):  # and once more, from the page before
        assert send(staff, taras.refund, form | typed).status_code == 303
        assert taras.refunds() == [250, 200]


def test_a_refund_of_the_whole_ends_the_counting_at_once_and_names_who_did_it(
    staff: FlaskClient, taras: Taras
) -> None:
    answer = send(staff, taras.refund, filled(staff, taras.refund, amount="10"))
    assert answer.status_code == 303
    assert not taras.counts()
    with taras.database.transaction() as session:
        entry = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version.desc())).first()
        assert entry
        assert (entry.cause, entry.reason, entry.change) == (Cause.STAFF, "refunded", -1)
        assert (entry.cause_ref or "").startswith("staff ")
        assert read_drift(session, 10) == []
    again = staff.get(taras.refund, headers=PAGE)
    assert (again.status_code, again.headers["Location"]) == (303, taras.path)
    after = read(staff, taras.path)
    assert {"notice-nothing-left", "payment-refunded"} <= names(after)
    assert after.select('#timeline ~ ol a[href$="/refund"]') == []


def test_the_second_of_two_who_pay_back_the_whole_is_told_on_the_members_page(
    staff: FlaskClient, app: FundraiserApp, taras: Taras
) -> None:
    mine = filled(staff, taras.refund, amount="10")
    other = app.test_client()
    sign_in(other, hire(taras.database))
    assert send(other, taras.refund, filled(other, taras.refund, amount="10")).status_code == 303
    answer = send(staff, taras.refund, mine)
    assert (answer.status_code, answer.headers["Location"]) == (303, taras.path)
    assert "notice-nothing-left" in names(read(staff, taras.path))
    assert taras.refunds() == [1000]


def test_what_the_second_wrote_about_it_can_be_kept_as_a_note(
    staff: FlaskClient, app: FundraiserApp, taras: Taras
) -> None:
    mine = filled(staff, taras.refund, amount="10", note="Promised by phone")
    other = app.test_client()
    sign_in(other, hire(taras.database))
    assert send(other, taras.refund, filled(other, taras.refund, amount="10")).status_code == 303
    answer = send(staff, taras.refund, mine)
    assert answer.status_code == 409
    assert "note-left" in names(parse(answer))
    form = parse(answer).select_one("form.act")
    assert form
    fields = {str(one["name"]): str(one["value"]) for one in form.select("input[type=hidden]")}
    note = form.select_one("textarea")
    assert note
    kept = send(staff, str(form["action"]), fields | {"note": note.text})
    assert (kept.status_code, kept.headers["Location"]) == (303, taras.path)
    assert "Promised by phone" in words(read(staff, taras.path))
    assert taras.refunds() == [1000]


def test_the_same_form_sent_twice_at_once_pays_back_once(
    app: FundraiserApp, staff: FlaskClient, taras: Taras
) -> None:
    form = filled(staff, taras.refund, amount="10")
    answers: list[int] = []
    cookie = staff.get_cookie("staff")
    assert cookie

    def click() -> None:
        client = app.test_client()
        client.set_cookie("staff", cookie.value)
        answers.append(send(client, taras.refund, form).status_code)

    clicks = [threading.Thread(target=click) for _ in range(3)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert answers == [303, 303, 303]
    assert taras.refunds() == [1000]
    assert len(taras.acts()) == 1
    assert send(staff, taras.refund, form).status_code == 303
    assert "notice-done-before" in names(read(staff, taras.path))


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        ("10.01", "£10 "),
        ("0", "5.50"),
        ("-5", "5.50"),
        ("much", "5.50"),
        ("", "5.50"),
        ("1.005", "5.50"),
    ],
)
def test_a_refund_of_more_than_was_paid_or_of_nothing_is_not_made(
    staff: FlaskClient, taras: Taras, amount: str, told: str
) -> None:
    form = filled(staff, taras.refund, amount=amount, note="I typed this")
    answer = send(staff, taras.refund, form)
    assert answer.status_code == 422
    errors = wrong(parse(answer))
    assert list(errors) == ["amount"]
    assert told in errors["amount"], "what is left, or how to write an amount"
    assert "I typed this" in answer.text
    assert (taras.refunds(), taras.acts()) == ([], [])


def test_where_stripe_is_away_it_is_noted_and_the_same_form_does_it_later_once(
    staff: FlaskClient, taras: Taras, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe pays back and its answer is lost: the worst case."""
    pay_back = Gateway.pay_back

    def lose_the_answer(self: Gateway, charge_id: str, amount: int, key: str) -> None:
        pay_back(self, charge_id, amount, key)
        raise StripeUnavailableError("lost")

    form = filled(staff, taras.refund, amount="4", note="Promised")
    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "pay_back", lose_the_answer)
        answer = send(staff, taras.refund, form)
    assert answer.status_code == 503
    page = parse(answer)
    assert "not-known" in names(page)
    assert len(taras.acts()) == 1
    assert "act-open" in names(read(staff, taras.path))
    nonce, amount = (page.select_one(f"[name={name}]") for name in ("nonce", "amount"))
    assert nonce
    assert amount
    assert (nonce["value"], amount["value"]) == (form["nonce"], "4")
    assert send(staff, taras.refund, form).status_code == 303
    assert taras.refunds() == [400]
    assert len(taras.acts()) == 1


def test_of_two_staff_at_one_member_the_second_is_told(
    app: FundraiserApp, staff: FlaskClient, taras: Taras
) -> None:
    other = app.test_client()
    sign_in(other, hire(taras.database, Role.ADMIN))
    mine = filled(staff, taras.end, when="now", note="She asked me")
    theirs = filled(other, taras.refund, amount="3")
    assert send(other, taras.refund, theirs).status_code == 303
    answer = send(staff, taras.end, mine)
    assert answer.status_code == 409
    assert "changed-meanwhile" in names(parse(answer))
    assert "She asked me" in answer.text
    assert taras.counts()
    hidden = parse(answer).select("form.act input[type=hidden]")
    renewed = mine | {str(field["name"]): str(field["value"]) for field in hidden}
    assert send(staff, taras.end, renewed).status_code == 303
    assert not taras.counts()


def test_a_membership_set_to_end_with_its_period_counts_until_then(
    staff: FlaskClient, taras: Taras
) -> None:
    later, at_once = read(staff, taras.end).select(".effects")
    assert "falls-later" in names(later)
    assert "falls-now" in names(at_once)
    answer = send(staff, taras.end, filled(staff, taras.end, when="period_end"))
    assert answer.status_code == 303
    assert taras.counts()
    with taras.database.transaction() as session:
        membership = session.get_one(Membership, taras.membership_id)
        assert membership.cancel_at == membership.period_end
        day = day_of(membership.period_end)
    assert day in shown(read(staff, taras.path), "leaving")
    offered = read(staff, taras.end).select("[name=when]")
    assert [choice["value"] for choice in offered] == ["now"]
    taras.stripe.advance(days=32)
    taras.stripe.settle(taras.customer)
    assert not taras.counts()


def test_a_membership_ended_now_stops_counting_now(staff: FlaskClient, taras: Taras) -> None:
    form = filled(staff, taras.end, when="never")
    assert list(wrong(parse(send(staff, taras.end, form)))) == ["when"]
    form = filled(staff, taras.end, when="now")
    assert send(staff, taras.end, form).status_code == 303
    assert not taras.counts()
    found = taras.stripe.call("GET", "subscriptions", customer=taras.customer, status="all")
    assert [one["status"] for one in found["data"]] == ["canceled"]
    assert taras.refunds() == []
    after = read(staff, taras.path)
    assert after.select(f'a[href="{taras.end}"]') == []
    assert "Iryna Bondar" in shown(after, "left")
    assert "Iryna Bondar" in shown(after, "ended-membership")
    assert staff.get(taras.end, headers=PAGE).headers["Location"] == taras.path


def test_one_that_has_ended_at_stripe_meanwhile_is_settled(
    staff: FlaskClient, taras: Taras
) -> None:
    form = filled(staff, taras.end, when="period_end")
    with taras.database.transaction() as session:
        reference = session.get_one(Membership, taras.membership_id).reference
    taras.stripe.call("DELETE", f"subscriptions/{reference}")
    assert send(staff, taras.end, form).status_code == 303
    assert not taras.counts()


def test_a_new_address_is_the_persons_here_and_at_stripe(staff: FlaskClient, taras: Taras) -> None:
    path = f"{taras.path}/email"
    new = f"new-{taras.email}"
    assert "stays-counted" in names(read(staff, path))
    assert send(staff, path, filled(staff, path, email=f" {new} ")).status_code == 303
    assert taras.stripe.call("GET", f"customers/{taras.customer}")["email"] == new
    with taras.database.transaction() as session:
        member = session.get_one(Member, taras.id)
        assert (member.email, member.counting, member.number) == (new, True, 1)
        assert session.scalars(select(Member.id)).all() == [taras.id]
        kept = session.scalars(select(Note)).one()
        assert kept.text == f"From {taras.email} to {new}."
        trail = session.scalars(select(AuditEntry)).all()
        assert not any(taras.email in repr((e.subject, e.fields, e.details)) for e in trail)
    assert taras.acts() == [("changed_email", ["email"], {})]
    taras.stripe.settle_all()
    assert taras.counts()


def test_all_customers_of_a_person_get_the_new_address_in_the_end(
    staff: FlaskClient, taras: Taras, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = taras.stripe.checkout(interval=None, tier=None, amount=700)
    taras.stripe.pay(page, taras.email)
    second = taras.stripe.customer_of(page)
    taras.stripe.settle(second)
    path, new = f"{taras.path}/email", f"new-{taras.email}"
    change = Gateway.change_email
    done: list[str] = []

    def fail_at_the_second(self: Gateway, customer_id: str, email: str) -> None:
        done.append(customer_id)
        if len(done) == 2:
            raise StripeUnavailableError("away")
        change(self, customer_id, email)

    form = filled(staff, path, email=new)
    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "change_email", fail_at_the_second)
        assert send(staff, path, form).status_code == 503

    def addresses() -> set[str]:
        names = (taras.customer, second)
        return {taras.stripe.call("GET", f"customers/{name}")["email"] for name in names}

    assert addresses() == {taras.email, new}
    taras.stripe.settle(taras.customer)  # that one has it already, and is no person of its own
    assert send(staff, path, form).status_code == 303
    assert addresses() == {new}
    with taras.database.transaction() as session:
        assert session.scalars(select(Customer.member_id)).all() == [taras.id, taras.id]
        assert session.scalars(select(Member.id)).all() == [taras.id]
    assert taras.counts()


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("", "address-none"),
        ("taras", "address-none"),
        ("ta ras@example.org", "address-none"),
        ("TAKEN@example.org", "address-somebody-elses"),
        ("same@example.org", "address-same"),
    ],
)
def test_an_address_that_is_none_or_somebody_elses_is_refused(
    staff: FlaskClient, database: Database, email: str, reason: str
) -> None:
    with database.transaction() as session:
        make_member(session, email="taken@example.org")
        member = make_member(session, email="same@example.org")
    path = f"/staff/members/{member.id}/email"
    answer = send(staff, path, filled(staff, path, email=email))
    assert answer.status_code == 422
    assert list(wrong(parse(answer))) == ["email"]
    assert reason in names(parse(answer))
    with database.transaction() as session:
        assert session.get_one(Member, member.id).email == "same@example.org"


def test_a_complimentary_membership_is_given_not_counted_and_ended(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        member = make_member(session, name="Hanna Shevchuk")
    path = f"/staff/members/{member.id}"
    give = f"{path}/complimentary"
    assert "free-uncounted" in names(read(staff, give))
    last = (now() + timedelta(days=90)).date()
    answer = send(staff, give, filled(staff, give, tier="patron", until=last.isoformat()))
    assert answer.status_code == 303
    with database.transaction() as session:
        given = session.scalars(select(Membership)).one()
        assert (given.source, given.amount, given.tier) == (Source.COMPLIMENTARY, 0, "patron")
        assert given.cancel_at
        assert given.cancel_at.date() >= last
        assert (read_balance(session).members, session.get_one(Member, member.id).counting) == (
            0,
            False,
        )
    page = read(staff, path)
    assert f"{last:%-d %B %Y}" in shown(page, "gave-membership")
    assert f"{given.cancel_at:%B %Y}" in shown(page, "ends-later")
    end = f"{path}/memberships/{given.id}/end"
    assert [choice["value"] for choice in read(staff, end).select("[name=when]")] == ["now"]
    assert send(staff, end, filled(staff, end, when="now")).status_code == 303
    assert "ended" in names(read(staff, path))


@pytest.mark.parametrize(
    ("tier", "until", "field"),
    [
        ("baron", "2099-01-01", "tier"),
        ("patron", "", "until"),
        ("patron", "2020-01-01", "until"),
        ("patron", "9999-12-31", "until"),
    ],
)
def test_a_complimentary_membership_needs_a_tier_and_an_end(
    staff: FlaskClient, database: Database, tier: str, until: str, field: str
) -> None:
    with database.transaction() as session:
        make_tiers(session)
        member = make_member(session)
    give = f"/staff/members/{member.id}/complimentary"
    answer = send(staff, give, filled(staff, give, tier=tier, until=until))
    assert answer.status_code == 422
    errors = wrong(parse(answer))
    assert list(errors) == [field]
    assert ("2026-03-03" in errors[field]) == (not until), "how to write a day"
    assert f'value="{until}"' in answer.text
    with database.transaction() as session:
        assert session.scalars(select(Membership)).all() == []


def test_an_email_is_sent_again_where_it_may_be(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member = join(session)
        enqueue(session, "welcome", to=member.id, key="1")
        enqueue(session, "sign_in", to=member.id, key="1")
        session.execute(update(Email).values(state=EmailState.FAILED, attempts=9, error="No."))
        welcome, key = session.scalars(select(Email.id).order_by(Email.id)).all()
    path = f"/staff/members/{member.id}/emails"
    again = f"{path}/{welcome}/again"
    assert str(member.email) in shown(read(staff, again), "effect-mail")
    assert send(staff, again, filled(staff, again)).status_code == 303
    with database.transaction() as session:
        email = session.get_one(Email, welcome)
        assert (email.state, email.attempts, email.error) == (EmailState.QUEUED, 0, None)
    for nothing_to_send in (again, f"{path}/{key}/again"):
        answer = staff.get(nothing_to_send, headers=PAGE)
        assert answer.headers["Location"] == f"/staff/members/{member.id}"
    assert staff.get(f"{path}/999/again", headers=PAGE).status_code == 404


def test_a_note_is_kept_with_the_person_and_not_in_the_trail(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = make_member(session)
    path = f"/staff/members/{member.id}/note"
    form = filled(staff, path, note=" ")
    assert list(wrong(parse(send(staff, path, form)))) == ["note"]
    form["note"] = "x" * 2001
    assert "2000" in wrong(parse(send(staff, path, form)))["note"]
    form["note"] = "Called: <b>moves</b> to Lviv"
    assert send(staff, path, form).status_code == 303
    assert send(staff, path, form).status_code == 303
    with database.transaction() as session:
        assert [found.text for found in session.scalars(select(Note))] == [form["note"]]
        trail = session.scalars(select(AuditEntry).where(AuditEntry.action == "wrote_note")).one()
        assert "Lviv" not in repr((trail.subject, trail.fields, trail.details))
    text = staff.get(f"/staff/members/{member.id}", headers=PAGE).text
    assert "Called: &lt;b&gt;moves&lt;/b&gt; to Lviv" in text


def test_a_note_is_erased_with_the_person_and_the_trail_stays(
    staff: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        member = make_member(session)
    path = f"/staff/members/{member.id}/note"
    assert send(staff, path, filled(staff, path, note="Moves to Lviv")).status_code == 303
    with database.transaction() as session:
        erase(session, member_gateway(), session.get_one(Member, member.id))
    with database.transaction() as session:
        assert session.scalars(select(Note)).all() == []
    page = read(staff, f"/staff/members/{member.id}")
    assert "wrote-note" in names(page)
    assert "Lviv" not in words(page)


def test_the_timeline_tells_all_in_the_order_of_time(staff: FlaskClient, taras: Taras) -> None:
    with taras.database.transaction() as session:
        count(session, session.get_one(Member, taras.id), "ended")
    page = read(staff, taras.path)
    kinds = [item["data-test"] for item in page.select(".timeline > li")]
    assert kinds[0] == "left"
    assert {*kinds} == {"left", "joined", "membership", "paid", "email-queued"}
    assert "£10" in shown(page, "paid")
    assert "£10" in shown(page, "membership")
    assert label_of("welcome") in shown(page, "email-queued")
    times = [str(each["datetime"]) for each in page.select(".timeline time")]
    assert times == sorted(times, reverse=True)


def test_a_form_without_its_nonce_does_nothing(staff: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        member = make_member(session)
    path = f"/staff/members/{member.id}/note"
    form = filled(staff, path, note="Something") | {"nonce": ""}
    assert send(staff, path, form).status_code == 400
    with database.transaction() as session:
        assert session.scalars(select(Note)).all() == []
