"""Gifts: bought, told, accepted, paid back, run out; and all that may not happen on the way."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bs4 import BeautifulSoup
from sqlalchemy import func, select

from fundraiser.account.retention import enforce_some
from fundraiser.dashboard.members.filters import read_filters, read_options
from fundraiser.dashboard.members.listing import list_members
from fundraiser.db import now
from fundraiser.members.gifts import Gift, WrongCode, ends_at, hash_code
from fundraiser.members.models import LedgerEntry, Membership
from fundraiser.payments.models import Checkout, CheckoutKind, Payment
from tests.gifts import FORM, GIVER, OURS, RECIPIENT, is_to, said, sign_in
from tests.mail import kind_of, text_of
from tests.staff import hire, names, parse, read, shown, sign_in as sign_in_as_staff, wrong

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from tests.gifts import Shop


def test_a_gift_is_bought_told_accepted_and_runs_out(shop: Shop) -> None:
    code = shop.buy()
    assert shop.number() == 0
    shop.work()
    gift = shop.gift()
    assert (gift.amount, gift.years, gift.tier) == (20_000, 2, "member")
    assert shop.emails_to(GIVER) == ["gift_given"]
    assert shop.emails_to(RECIPIENT) == ["gift_told"]
    told = text_of(shop.postbox.emails[-1])
    assert f"/gift/redeem#{code}" in told
    assert "winter evenings." in told

    account = shop.accept(code)
    assert "notice-gift" in said(account).marks
    assert "member-number" in said(account).marks
    assert shop.number() == 1
    shop.work()
    assert shop.emails_to(GIVER)[-1] == "gift_redeemed"

    shop.stripe.advance(days=2 * 365 - 13)
    shop.work()
    assert shop.number() == 1
    assert shop.emails_to(RECIPIENT)[-1] == "gift_ending"
    shop.stripe.advance(days=16)
    shop.work()
    assert shop.number() == 0
    # The whole story: told, digits, welcome and the offer; the code and that it was accepted.
    assert (len(shop.emails_to(RECIPIENT)), len(shop.emails_to(GIVER))) == (4, 2)
    with shop.database.transaction() as session:
        rows = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version)).all()
    assert [(row.change, row.cause, row.reason) for row in rows] == [
        (1, "gift", "gift"),
        (-1, "clock", "ended"),
    ]


def test_what_cannot_be_accepted_is_said_and_changes_nothing(shop: Shop) -> None:
    code = shop.buy(tell="card")
    wrong = shop.send("/redeem", code="AAAA-BBBB-CCCC-DDDD")
    assert wrong.status_code == 422
    assert said(wrong).wrong == ["gift-code"]
    own = shop.accept(code, GIVER)
    assert own.status_code == 422
    assert shop.number() == 0

    shop.stripe.settle(shop.stripe.join("anna@example.org"))
    assert shop.number() == 1
    member = shop.accept(code, "anna@example.org")
    assert "£10" in said(member)
    assert "error" in said(member).marks
    assert shop.number() == 1

    typed = code.lower().replace("-", " ").replace("c", "\u0421")  # as a Ukrainian keyboard has it
    assert "notice-gift" in said(shop.accept(typed)).marks
    assert shop.number() == 2
    again = shop.send("/redeem", code=code)
    assert again.status_code == 422
    same = shop.send("/redeem", shop.client, code=code)
    assert same.status_code == 422
    assert shop.number() == 2


def test_two_hands_at_once_accept_a_gift_once(shop: Shop) -> None:
    code = shop.buy(tell="card")
    for email in ("anna@example.org", "boris@example.org"):
        shop.stripe.settle(shop.stripe.join(email, interval=None, tier=None, amount=500))
    answers: list[str] = []
    start = threading.Barrier(2)

    def accept(client: FlaskClient) -> None:
        offer = BeautifulSoup(shop.send("/redeem", client, code=code).text, "html.parser")
        token = offer.select_one("input[name=token]")
        assert token
        start.wait()
        answer = shop.send("/redeem/acceptance", client, code=code, token=str(token["value"]))
        answers.append(answer.headers.get("Location") or said(answer))

    clients = [sign_in(shop, email) for email in ("anna@example.org", "boris@example.org")]
    hands = [threading.Thread(target=accept, args=(client,)) for client in clients]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert sorted(answer == "/account" for answer in answers) == [False, True], answers
    assert shop.number() == 1


def test_wrong_codes_are_counted_by_network_and_then_none_is_looked_at(shop: Shop) -> None:
    code = shop.buy(tell="card")
    for number in range(10):
        assert shop.send("/redeem", code=f"AAAA-BBBB-CCCC-DDD{number + 2}").status_code == 422
    refused = shop.send("/redeem", code=code)
    assert refused.status_code == 429
    with shop.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(WrongCode)) == 10
    shop.stripe.advance(hours=1, minutes=1)
    assert shop.send("/redeem", code=code).status_code == 200


def key_in(shop: Shop, code: str) -> str:
    (told,) = [text_of(one) for one in shop.postbox.emails if is_to(one, RECIPIENT)]
    found = re.search(rf"/gift/redeem#{code}\.(\S+)", told)
    assert found
    return found[1]


def test_a_gift_is_accepted_on_one_screen_from_its_email(shop: Shop) -> None:
    code = shop.buy(tell="now")
    shop.work()
    key = key_in(shop, code)
    assert key not in " ".join(text_of(one) for one in shop.postbox.emails if is_to(one, GIVER))
    client = shop.app.test_client()
    assert "begins-today" in said(shop.send("/redeem", client, code=code, key=key)).marks
    answer = shop.send("/redeem/e-mailed", client, code=code, key=key)
    assert answer.headers["Location"] == "/account"
    assert "notice-gift" in said(client.get("/account", headers=OURS)).marks
    assert shop.number() == 1
    again = shop.send("/redeem/e-mailed", stranger := shop.app.test_client(), code=code, key=key)
    assert again.status_code == 422, "the link signs nobody in a second time"
    assert stranger.get("/account", headers=OURS).status_code == 303


@pytest.mark.parametrize("how", ["forged", "another gift's", "known"])
def test_a_gifts_email_opens_no_account_that_there_is(shop: Shop, how: str) -> None:
    code = shop.buy(tell="now")
    shop.work()
    key = key_in(shop, code)
    if how == "known":
        shop.stripe.settle(shop.stripe.join(RECIPIENT, interval=None, tier=None, amount=500))
    elif how == "forged":
        key = key[::-1]
    else:
        code = shop.buy(tell="card")
    client = shop.app.test_client()
    assert "email" in shop.send("/redeem", client, code=code, key=key).text
    answer = shop.send("/redeem/e-mailed", client, code=code, key=key)
    assert answer.status_code == 200, "the address is asked for, and proved by six digits"
    assert client.get("/account", headers=OURS).status_code == 303
    assert shop.number() == 0


def test_who_has_stopped_gets_the_gift_when_what_is_paid_for_ends(shop: Shop) -> None:
    customer = shop.stripe.join(RECIPIENT)
    shop.stripe.settle(customer)
    (found,) = shop.stripe.call("GET", f"subscriptions?customer={customer}")["data"]
    shop.stripe.call("POST", f"subscriptions/{found['id']}", cancel_at_period_end="true")
    shop.stripe.settle(customer)
    first, second = shop.buy(years="1"), shop.buy(years="3")
    offer = shop.send("/redeem", client := sign_in(shop, RECIPIENT), code=first)
    assert "begins-later" in said(offer).marks
    token = BeautifulSoup(offer.text, "html.parser").select_one("input[name=token]")
    assert token
    for code in (first, second):
        shop.send("/redeem/acceptance", client, code=code, token=str(token["value"]))
    with shop.database.transaction() as session:
        paid, one, three = session.scalars(select(Membership).order_by(Membership.id)).all()
        assert one.started_at == paid.cancel_at
        assert three.started_at == one.counts_until
        assert three.counts_until == ends_at(ends_at(one.started_at, 1), 3)
    assert shop.number() == 1
    shop.stripe.advance(days=40)
    shop.work()
    assert shop.number() == 1


def test_a_gift_that_is_paid_back_is_void_and_a_dispute_that_is_won_revives_it(
    shop: Shop,
) -> None:
    unused, used, back = (shop.buy(tell="card") for _ in range(3))
    shop.accept(used, "anna@example.org")
    shop.accept(back, "boris@example.org")
    assert shop.number() == 2
    shop.work()
    shop.postbox.emails.clear()
    with shop.database.transaction() as session:
        charges = dict(session.execute(select(Gift.code_hash, Gift.charge_id)).all())
        customers = dict(session.execute(select(Payment.charge_id, Payment.customer_id)).all())

    def settle(code: str) -> None:
        shop.stripe.settle(customers[charges[hash_code(code)]])

    shop.stripe.call("POST", "refunds", charge=charges[hash_code(unused)])
    settle(unused)
    shop.work()
    paid_back = "gift_paid_back"
    assert shop.emails_to(GIVER) == [paid_back]
    refused = shop.send("/redeem", code=unused)
    assert refused.status_code == 422
    shop.stripe.call("POST", "refunds", charge=charges[hash_code(back)])
    settle(back)
    assert shop.number() == 1
    settle(back)
    shop.work()
    assert shop.emails_to(GIVER) == [paid_back, paid_back]
    assert shop.emails_to("boris@example.org") == ["gift_taken_back"]
    told = " ".join(text_of(shop.postbox.emails[-1]).split())
    assert "/join?tier=member" in told
    dispute = shop.stripe.control("disputes", charge=charges[hash_code(used)])
    settle(used)
    assert shop.number() == 0
    shop.stripe.control("disputes", dispute=dispute["id"], outcome="won")
    settle(used)
    assert shop.number() == 1
    shop.work()
    assert shop.emails_to("anna@example.org") == []
    with shop.database.transaction() as session:
        rows = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version)).all()
    assert [(row.change, row.reason) for row in rows] == [
        (1, "gift"),
        (1, "gift"),
        (-1, "refunded"),
        (-1, "disputed"),
        (1, "gift"),
    ]


def test_a_dispute_that_is_lost_is_told_to_who_has_the_gift_and_pays_on_as_well(
    shop: Shop,
) -> None:
    code = shop.buy(tell="card")
    shop.accept(code)
    shop.settle(shop.stripe.join(RECIPIENT))
    shop.postbox.emails.clear()
    with shop.database.transaction() as session:
        customers = session.scalars(select(Payment.customer_id).order_by(Payment.id)).all()
    dispute = shop.stripe.control("disputes", charge=shop.gift().charge_id)
    shop.settle(*customers)
    assert shop.postbox.emails == []
    shop.stripe.control("disputes", dispute=dispute["id"], outcome="lost")
    shop.settle(*customers)
    shop.settle(*customers)
    assert shop.emails_to(GIVER) == []
    (email,) = shop.postbox.emails
    with shop.database.transaction() as session:
        assert kind_of(session, email) == "gift_taken_back"
    assert "/join?tier=member" not in text_of(email)  # who stays a member has nothing to buy
    assert shop.number() == 1


def test_the_debit_of_a_gift_that_fails_makes_none_and_is_written_of(shop: Shop) -> None:
    page = shop.checkout(currency="EUR")
    account = {"method": "sepa_debit", "iban": "DE62370400440532013001"}
    thanks = urlsplit(shop.stripe.pay(page, GIVER, **account).headers["Location"])
    where = f"{thanks.path}?{thanks.query}"
    shown = said(shop.app.test_client().get(where, headers=OURS))
    assert "outcome-gift_in_process" in shown.marks
    shop.stripe.advance(days=4)
    for _ in range(2):
        shop.settle(shop.stripe.customer_of(page))
    assert shop.emails_to(RECIPIENT) == []
    assert len(shop.emails_to(GIVER)) == 1
    email = " ".join(text_of(shop.postbox.emails[-1]).split())
    assert "Petro" in email
    assert "/gift " in email
    shown = said(shop.app.test_client().get(where, headers=OURS))
    assert "outcome-not_paid" in shown.marks
    assert shop.number() == 0


def test_what_cannot_be_bought_is_said_beside_the_form_and_opens_no_payment(shop: Shop) -> None:
    for name, changed in (
        ("recipient_name", {"recipient_name": " "}),
        ("giver_name", {"giver_name": ""}),
        ("recipient_email", {"recipient_email": "petro"}),
        ("day", {"tell": "day", "day": "2020-02-30"}),
        ("day", {"tell": "day", "day": f"{now():%Y-%m-%d}"}),
        ("tell", {"tell": "shout"}),
        ("message", {"message": "a" * 501}),
        ("years", {"years": "4"}),
        ("tier", {"tier": "baron"}),
        ("currency", {"currency": "XAU"}),
    ):
        answer = shop.send("", **{"nonce": uuid4().hex, **FORM, **changed})
        assert answer.status_code == 422, changed
        assert said(answer).wrong == [name]
    form = {"nonce": uuid4().hex, **FORM}
    other = {"Origin": "https://evil.example", "Accept": "text/html"}
    assert shop.app.test_client().post("/gift", data=form, headers=other).status_code == 403
    assert shop.send("", **form | {"nonce": "short"}).status_code == 400
    assert shop.send("", **form).location == shop.send("", **form).location
    with shop.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Checkout)) == 1


def test_a_gift_is_told_on_its_day_and_its_giver_reminded_once(shop: Shop) -> None:
    day = (now() + timedelta(days=10)).date()
    shop.buy(tell="day", day=day.isoformat())
    shop.work()
    assert shop.emails_to(GIVER) == ["gift_given"]
    for _ in range(9):
        shop.stripe.advance(days=1)
        shop.work()
    assert shop.emails_to(RECIPIENT) == []
    shop.stripe.advance(days=1)
    shop.work()
    assert shop.emails_to(RECIPIENT) == ["gift_told"]
    for _ in range(4):
        shop.stripe.advance(days=12)
        shop.work()
    assert shop.emails_to(GIVER)[1:] == ["gift_reminder"]
    assert len(shop.emails_to(RECIPIENT)) == 1


def test_a_gift_is_in_what_its_giver_downloads_and_outlives_the_givers_erasure(
    shop: Shop,
) -> None:
    code = shop.buy(tell="card")
    giver = sign_in(shop, GIVER)
    assert code in said(giver.get("/account", headers=OURS))
    (kept,) = json.loads(giver.get("/account/download", headers=OURS).text)["gift"]
    assert (kept["message"], kept["years"]) == (FORM["message"], 2)
    assert "code_hash" not in kept
    page = BeautifulSoup(giver.get("/account/erasure", headers=OURS).text, "html.parser")
    token = page.select_one("input[name=token]")
    assert token
    form = {"sure": "yes", "token": str(token["value"])}
    assert giver.post("/account/erasure", data=form, headers=OURS).status_code == 303
    gift = shop.gift()
    assert (gift.giver_name, gift.recipient_name, gift.message) == ("", "", "")
    assert "notice-gift" in said(shop.accept(code)).marks
    assert shop.number() == 1
    page = BeautifulSoup(shop.client.get("/account/erasure", headers=OURS).text, "html.parser")
    token = page.select_one("input[name=token]")
    assert token
    form["token"] = str(token["value"])
    assert shop.client.post("/account/erasure", data=form, headers=OURS).status_code == 303
    assert shop.number() == 0


def test_staff_see_what_became_of_a_gift_and_pay_it_back(shop: Shop) -> None:
    code = shop.buy(tell="card")
    shop.accept(code)
    staff = shop.app.test_client()
    sign_in_as_staff(staff, hire(shop.database))
    gift = shop.gift()
    giver, recipient = (f"/staff/members/{one}" for one in (gift.giver_id, gift.recipient_id))
    page = read(staff, giver)
    assert "Petro" in shown(page, "gift-given")
    assert "£200" in shown(page, "paid")
    page = read(staff, recipient)
    assert [name in shown(page, "gift-accepted") for name in ("Olena", "Petro")] == [True] * 2
    assert gift.charge_id in shown(page, "joined")
    found = read(staff, "/staff/members?state=gift&leaving=any")
    assert len(found.select("#results tbody tr")) == 1
    with shop.database.transaction() as session:
        payment = session.scalars(select(Payment)).one()
    assert payment.kind is CheckoutKind.GIFT
    address = f"{giver}/payments/{payment.id}/refund"
    form = read(staff, address)
    assert "Petro" in shown(form, "recipient-falls-now")
    assert "tells-giver-and-recipient" in names(form)
    fields = {
        str(field["name"]): str(field.get("value", "")) for field in form.select("main form [name]")
    }
    answer = staff.post(address, data=fields | {"amount": "200"}, headers=OURS)
    assert answer.status_code == 303
    assert shop.number() == 0
    assert "gift-refunded" in names(read(staff, giver))
    with shop.database.transaction() as session:
        entry = session.scalars(select(LedgerEntry).order_by(LedgerEntry.version.desc())).first()
    assert entry
    assert (entry.change, entry.cause, entry.reason) == (-1, "staff", "refunded")


def test_what_was_written_for_a_gift_that_nobody_pays_for_is_forgotten(shop: Shop) -> None:
    shop.buy(tell="card")
    shop.checkout()
    written = select(func.count()).where(Checkout.gift.is_not(None))
    for days, left in ((29, 1), (2, 0)):
        shop.stripe.advance(days=days)
        with shop.database.transaction() as session:
            while enforce_some(session):
                pass
            assert session.scalar(written) == left


def test_the_giver_sends_the_email_to_another_address_until_it_is_accepted(shop: Shop) -> None:
    code = shop.buy(recipient_email="typo@example.org")
    shop.work()
    shop.stripe.advance(minutes=1)  # two tellings within one second are one e-mail
    giver, gift = sign_in(shop, GIVER), shop.gift()
    path = f"/account/gifts/{gift.id}/email"
    page = read(giver, path)
    field = page.select_one("#email")
    token = page.select_one("main input[name=token]")
    assert field
    assert token
    assert field["value"] == "typo@example.org"
    form = {"token": str(token["value"]), "email": "petro@"}
    assert giver.post(path, data=form, headers=OURS).status_code == 422
    form["email"] = RECIPIENT
    assert giver.post(path, data=form, headers=OURS).status_code == 303
    shop.work()
    assert len(shop.emails_to("typo@example.org")) == len(shop.emails_to(RECIPIENT)) == 1
    shop.work()
    shop.accept(code)
    late = giver.post(path, data=form, headers=OURS)
    assert (late.status_code, "accepted-already" in names(parse(late))) == (422, True)
    other = sign_in(shop, RECIPIENT)
    assert other.get(path, headers=OURS).status_code == 404


def test_staff_find_the_giver_and_the_recipient_by_a_gifts_code_as_it_is_written(
    shop: Shop,
) -> None:
    code = shop.buy()
    shop.buy("another@example.org")
    shop.accept(code)
    with shop.database.transaction() as session:
        options = read_options(session)
        filters, errors = read_filters({"q": code.lower()}, options)
        found = list_members(session, filters, ZoneInfo("Europe/London"))
        emails = {(row.member.email or "").lower() for row in found.rows}
    assert (emails, errors) == ({GIVER, RECIPIENT.lower()}, {})


@pytest.mark.parametrize("switch", ["years=3", "currency=EUR"])
def test_a_switch_on_the_gift_page_keeps_names_message_and_choices(shop: Shop, switch: str) -> None:
    typed = FORM | {"tier": "patron", "tell": "day", "day": "2027-01-07", "to_language": "uk"}
    page = BeautifulSoup(shop.send("", nonce="n" * 32, switch=switch, **typed).text, "html.parser")
    assert page.select_one("#errors") is None
    for name in ("recipient_name", "giver_name", "recipient_email", "day"):
        assert page.select_one(f"#{name}")["value"] == typed[name]  # type: ignore[index]
    assert page.select_one("#message").text == typed["message"]  # type: ignore[union-attr]
    name, _equals, value = switch.partition("=")
    for chosen in (
        "[name=tier][value=patron][checked]",
        "[name=tell][value=day][checked]",
        "#to_language [value=uk][selected]",
        f"[name={name}][value='{value}']",
    ):
        assert page.select_one(chosen), chosen


@pytest.mark.parametrize("address", ["ü@münchen.example", "користувач@приклад.укр"])
def test_a_gift_to_an_address_that_we_cannot_reach_is_refused_before_paying(
    shop: Shop, address: str
) -> None:
    answer = shop.send("", nonce="n" * 32, **(FORM | {"recipient_email": address}))
    assert answer.status_code == 422
    assert "@" in wrong(BeautifulSoup(answer.text, "html.parser"))["recipient_email"]
