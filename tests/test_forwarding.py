"""Nobody e-mails strangers through us: limits, plain names, words marked as the giver's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text, update

from fundraiser.db import now
from fundraiser.joining.reminders import months_to_choose
from fundraiser.members.addresses import Purpose, ask
from fundraiser.members.forwarding import MOST_OF_A_PERSON, TooOftenError, forward
from fundraiser.members.gifts import Gift, giver_of
from fundraiser.members.names import (
    LONGEST_NAME,
    has_link,
    is_plain_name,
    read_name,
    refusal_of_name,
)
from tests.gifts import FORM, GIVER, OURS, sign_in
from tests.mail import text_of
from tests.pages import PageText
from tests.staff import parse, wrong

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from tests.factories import Stripe
    from tests.gifts import Shop
    from tests.members import Olena


@pytest.mark.parametrize(
    "name",
    [
        *("Olena Koval", "O'Brien", "J.R.R. Tolkien", "J.Tolkien", "Koval, O.", "Anna/Petro"),
        *("Олена Ковальчук", "Nguyễn Thị Minh", "علی\u200cرضا", "St. John", "李小龍", "Mr. X"),  # noqa: RUF001 - as it is written
        *("J.KOVAL", "The class of 1984", "Anna 🦊", "שָׁלוֹם", "प्रीति", "Nguyê\u0303n"),
    ],
)
def test_a_persons_name_is_a_name(name: str) -> None:
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "   ", "Win at evil.com", "evil.com", "x.co/win", "https://evil.example", "t.me"),
        *("WWW.EVIL", "olena@example.org", "Anna\u202egro.live", "a\nb", "a\0b"),
        *("\uff45vil\uff0ecom", "evil。com", "a" * (LONGEST_NAME + 1), "see (evil.com)."),
        *("T.ME/win", "T.Me/win", "T.Me?win", "evil.com?win", "evil.com:8080", "evil.com#win"),
        *("«evil.com»", "evil.com,now", "evil.com—now", "evil.xn--p1ai", "evil.भारत", "x.COM"),
        *("203.0.113.7", "Call 0900 123 456", "+44 7700 900123", "e\u200dvil.com"),
        *("Z" + "\u0301" * 9, "\u0301", "\u3164\u3164", "\u2800", "a\u034fb", "\ufe0f", "ﷺ" * 50),
    ],
)
def test_a_link_an_address_or_what_nobody_sees_is_no_name(name: str) -> None:
    assert not is_plain_name(name)


def test_a_name_is_one_line_of_bounded_length() -> None:
    assert read_name("  Olena \n\t Koval ") == "Olena Koval"
    assert read_name("x" * 300) == "x" * 300  # refused, not cut
    assert len(read_name("x" * 100_000)) == 10 * LONGEST_NAME
    assert has_link("see HTTPS://evil.example")
    assert not has_link("@ home, at 7: bring cake.")


@pytest.mark.parametrize(
    "words",
    [
        *("Look at evil.com now", "evil.com/win", "EVIL.COM?win", "t.me/win", "203.0.113.7/win"),
        *("\uff45vil\uff0ecom", "olena\uff20example.org", "(evil.com)", "evil.xn--p1ai"),
    ],
)
def test_what_mail_programs_turn_into_a_link_is_one(words: str) -> None:
    assert has_link(words)


@pytest.mark.parametrize(
    "words",
    [
        *("See you on 12.5.2026, e.g. at 7 p.m.", "Well...and yours, J.R.R. Tolkien", "1.5 kg"),
        *("Call me: 0900 123 456.", "and/or", "Ця газета — для тебе. Читай!", "Why? Because."),
    ],
)
def test_plain_words_are_no_link(words: str) -> None:
    assert not has_link(words)


def test_a_sender_and_an_address_have_their_emails_of_the_day(session: Session) -> None:
    for index in range(MOST_OF_A_PERSON):
        forward(session, "member 1", f"{index}@example.org")
    with pytest.raises(TooOftenError) as refused:
        forward(session, "member 1", "another@example.org")
    assert getattr(refused.value.sentence, "name", "") == "limit-of-sender"
    for sender in range(2, 6):
        forward(session, f"member {sender}", "0@EXAMPLE.org")
    with pytest.raises(TooOftenError) as refused:
        forward(session, "member 9", "0@example.org")
    assert getattr(refused.value.sentence, "name", "") == "limit-of-address"
    kept = session.execute(text("SELECT * FROM forwarded_email")).all()
    assert "example" not in str(kept)
    session.execute(text("UPDATE forwarded_email SET at = at - interval '25 hours'"))
    forward(session, "member 1", "0@example.org")


def test_the_tags_of_an_address_are_one_mailbox(session: Session) -> None:
    for tag in ("", "+", "+a", "+b+c", "+A"):
        forward(session, f"network {tag}", f"Olena{tag}@example.org")
    with pytest.raises(TooOftenError):
        forward(session, "another network", "olena+d@example.org")
    forward(session, "another network", "+olena@example.org")
    forward(session, "another network", "petro+d@example.org")


def test_a_paid_gift_sends_a_few_emails_a_day_and_not_thirty(shop: Shop) -> None:
    shop.buy()
    shop.work()
    giver, gift = sign_in(shop, GIVER), shop.gift()
    path = f"/account/gifts/{gift.id}/email"
    token = giver.get(path, headers=OURS).text.split('name="token" value="')[1].split('"')[0]
    statuses = []
    for index in range(30):
        shop.stripe.advance(seconds=2)
        form = {"token": token, "email": f"stranger-{index}@example.org"}
        answer = giver.post(path, data=form, headers=OURS)
        statuses.append(answer.status_code)
        shop.work()
    assert statuses.count(303) == MOST_OF_A_PERSON
    assert set(statuses) == {303, 429}
    assert "limit-of-sender" in PageText.of(answer).marks
    assert "stranger-29@example.org" in answer.text, "nothing typed is lost"
    strangers = [one for one in shop.postbox.emails if one["To"].startswith("stranger")]
    assert len(strangers) == MOST_OF_A_PERSON


def test_a_member_asks_for_codes_to_a_few_strangers_only(olena: Olena) -> None:
    form = olena.form("/account/email", "/account/email")
    answers = [
        olena.send("/account/email", form, email=f"stranger-{index}@example.org")
        for index in range(MOST_OF_A_PERSON + 2)
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [303] * MOST_OF_A_PERSON + [429] * 2
    assert "limit-of-sender" in PageText.of(answers[-1]).marks
    assert f"stranger-{MOST_OF_A_PERSON + 1}@example.org" in answers[-1].text


def test_a_code_to_accept_a_gift_goes_to_a_few_addresses(shop: Shop) -> None:
    shop.buy()
    gift = shop.gift()

    def send(index: int) -> None:
        with shop.database.transaction() as session:
            address = f"stranger-{index}@example.org"
            ask(session, Purpose.GIFT, address, f"b{index}", network=f"n{index}", gift_id=gift.id)

    for index in range(MOST_OF_A_PERSON):
        send(index)
    with pytest.raises(TooOftenError):
        send(MOST_OF_A_PERSON)


def test_an_address_gets_few_confirmations_however_many_campaigns_and_networks(
    stripe: Stripe, client: FlaskClient, session: Session
) -> None:
    stripe.open_shop()
    for sender in range(5):
        forward(session, f"network {sender}", "olena@example.org")
    session.commit()
    form = {"email": "Olena@example.org", "month": f"{months_to_choose()[0]:%Y-%m}"}
    answer = client.post("/campaigns/25000/reminder", data=form, headers=OURS)
    assert answer.status_code == 429
    assert 'value="Olena@example.org"' in answer.text, "nothing typed is lost"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("giver_name", "Win at evil.com"),
        ("recipient_name", "petro@example.org"),
        ("message", "Look at https://evil.example/now"),
        ("message", "Look at evil.example now"),
    ],
)
def test_a_gift_carries_no_link_to_a_stranger(shop: Shop, field: str, value: str) -> None:
    answer = shop.send("", nonce="n" * 32, **FORM | {field: value})
    assert answer.status_code == 422
    assert list(wrong(parse(answer))) == [field]
    assert value in answer.text, "nothing typed is lost"


def test_an_account_takes_no_link_for_a_name(olena: Olena) -> None:
    form = olena.form("/account/details", "/account/details")
    answer = olena.send("/account/details", form, name="Win at evil.com")
    assert answer.status_code == 422
    assert "#name" in answer.text


def test_the_givers_words_are_marked_as_such_and_an_old_link_is_no_name(shop: Shop) -> None:
    shop.buy(message="For the long\n\nwinter evenings.")
    shop.work()
    told = text_of(shop.postbox.emails[-1]).replace("\r\n", "\n")
    assert re.search(r"\n.*\bOlena\b.*:\n", told), "whose words they are"
    assert "\n> For the long\n" in told
    assert "\n> winter evenings.\n" in told
    shop.stripe.advance(seconds=2)  # two tellings within one second are one e-mail
    with shop.database.transaction() as session:
        session.execute(update(Gift).values(giver_name="Win at evil.com", tell_at=now()))
        giver = giver_of(session.get_one(Gift, shop.gift().id))
    assert "evil" not in giver
    shop.work()
    assert shop.postbox.emails[-1]["Subject"].startswith(giver)


@pytest.mark.parametrize(
    "name",
    [
        "می\u200cخواهم",  # noqa: RUF001 - Persian
        "👩\u200d👩\u200d👧 Koval",
        "משה כהן",
        "علی رضایی",
        "x" * LONGEST_NAME,
    ],
)
def test_names_of_every_script_are_kept_whole(name: str) -> None:
    assert read_name(name) == name
    assert refusal_of_name(name) is None


def test_each_refusal_of_a_name_gives_its_own_reason() -> None:
    reasons = [refusal_of_name(name) for name in ("x" * 300, "evil.com", "+44 7700 900123")]
    assert None not in reasons
    assert len(set(reasons)) == len(reasons)
    assert "300" in str(reasons[0])
