"""What people ask of Stripe is done once and not forgotten, wherever the process is killed."""

from __future__ import annotations

import os
import signal
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, text, update

from fundraiser.account.erasure import finish_next_erasure
from fundraiser.app import create_app
from fundraiser.members.models import Cause, Member
from fundraiser.newsroom.models import AuditEntry, Role
from fundraiser.payments import carry_out, changes, member_gateway
from fundraiser.payments.intents import Intent, IntentKind, Refusal
from fundraiser.payments.models import Payment, SyncLease, SyncRequest
from fundraiser.payments.stripe.errors import (
    BankRefusedError,
    StripeKeyError,
    StripeRefusedError,
    StripeUnavailableError,
)
from fundraiser.payments.stripe.gateway import Gateway
from fundraiser.payments.stripe.member_gateway import MemberGateway
from tests.factories import GRACE
from tests.members import OURS
from tests.settlements import number, store_at_stripe
from tests.staff import PAGE, hire, names, parse, read, shown, sign_in as sign_in_staff

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from fundraiser.app import FundraiserApp
    from fundraiser.config import Settings
    from tests.members import Olena

NEW = "new@example.net"
# Where the process that answers the person is killed: at which function, before or after it.
STEPS = [
    ("promise", "before"),
    ("_call", "before"),
    ("_call", "after"),
    ("settle_claim", "before"),
    ("settle_claim", "after"),
]


@dataclass(frozen=True)
class Act:
    """Something that a member, or staff about her, asks for, and how she stands once it is done."""

    kind: IntentKind
    send: Callable[[People], tuple[FlaskClient, str, dict[str, str]]]
    is_done: Callable[[People], bool]
    by_staff: bool = False


class People:
    """Olena and somebody of the staff, each in their browser."""

    def __init__(self, olena: Olena, app: FundraiserApp) -> None:
        self.olena, self.app, self.database = olena, app, olena.database
        self.staff = app.test_client()
        sign_in_staff(self.staff, hire(self.database, Role.ADMIN))
        self.path = f"/staff/members/{olena.member_id}"
        with self.database.transaction() as session:
            self.payment = session.scalars(select(Payment)).one()

    def by_olena(self, path: str, **query: str) -> Callable[..., Any]:
        def filled(**values: str) -> tuple[FlaskClient, str, dict[str, str]]:
            return self.olena.client, path, self.olena.form(path, path, **query) | values

        return filled

    def by_staff(self, what: str, **values: str) -> tuple[FlaskClient, str, dict[str, str]]:
        path = f"{self.path}/{what}"
        hidden = read(self.staff, path).select("form.act input[type=hidden]")
        form = {str(field["name"]): str(field["value"]) for field in hidden}
        return self.staff, path, form | values

    def customer(self) -> Any:
        return self.olena.stripe.call("GET", f"customers/{self.olena.customer}")

    def refunds(self) -> list[int]:
        found = self.olena.stripe.call("GET", "refunds", charge=self.payment.charge_id)["data"]
        return [refund["amount"] for refund in found]

    def intents(self) -> list[Intent]:
        with self.database.transaction() as session:
            return list(session.scalars(select(Intent).order_by(Intent.id)))

    def acts(self) -> int:
        with self.database.transaction() as session:
            subject = AuditEntry.subject == f"member {self.olena.member_id}"
            return len(session.scalars(select(AuditEntry.id).where(subject)).all())

    def name(self) -> str | None:
        with self.database.transaction() as session:
            return session.get_one(Member, self.olena.member_id).name

    def email(self) -> str | None:
        with self.database.transaction() as session:
            return session.get_one(Member, self.olena.member_id).email

    def account(self) -> set[str]:
        return names(self.olena.open("/account"))

    def page(self) -> set[str]:
        return names(read(self.staff, self.path))

    def a_minute_later(self) -> None:
        """The lease and the patience of whoever died are over, and workers come by."""
        with self.database.transaction() as session:
            session.execute(text("UPDATE sync_lease SET until = now()"))
            session.execute(update(Intent).values(due_at=func.now()))
        with self.app.app_context():
            while carry_out.finish_next(member_gateway(), GRACE):
                pass
            while finish_next_erasure(member_gateway()):
                pass
            self.olena.stripe.settle_all()


@pytest.fixture
def people(olena: Olena, app: FundraiserApp) -> People:
    return People(olena, app)


def _cancelled_before(people: People) -> Callable[..., Any]:
    people.olena.action("cancellation")
    path = people.olena.path("resumption")

    def filled() -> tuple[FlaskClient, str, dict[str, str]]:
        return people.olena.client, path, people.olena.form("/account", path)

    return filled


ACTS = [
    Act(
        IntentKind.CANCEL,
        lambda p: p.by_olena(p.olena.path("cancellation"))(reason="unused", comment="Too much"),
        lambda p: (
            p.olena.at_stripe()["cancellation_details"]["comment"] == "Too much"
            and p.olena.at_stripe()["cancel_at_period_end"]
        ),
    ),
    Act(
        IntentKind.RESUME,
        lambda p: _cancelled_before(p)(),
        lambda p: not p.olena.at_stripe()["cancel_at_period_end"],
    ),
    Act(
        IntentKind.PAUSE,
        lambda p: p.by_olena(p.olena.path("pause"))(months="1"),
        lambda p: bool(p.olena.at_stripe()["pause_collection"]),
    ),
    Act(
        IntentKind.PRICE,
        lambda p: p.by_olena(p.olena.path("price"), tier="patron", interval="month")(),
        lambda p: p.olena.membership.amount == 2500 and len(p.olena.taken()) == 2,
    ),
    Act(
        IntentKind.DETAILS,
        lambda p: p.by_olena("/account/details")(name="Olena Koval", language="uk"),
        lambda p: p.customer()["name"] == p.name() == "Olena Koval",
    ),
    Act(
        IntentKind.ERASURE,
        lambda p: p.by_olena("/account/erasure")(sure="yes"),
        lambda p: p.customer().get("deleted") is True and p.email() is None,
    ),
    Act(
        IntentKind.CANCEL_NOW,
        lambda p: p.by_staff(f"memberships/{p.olena.membership.id}/end", when="now"),
        lambda p: p.olena.at_stripe()["status"] == "canceled",
        by_staff=True,
    ),
    Act(
        IntentKind.REFUND,
        lambda p: p.by_staff(f"payments/{p.payment.id}/refund", amount="4", note="Promised"),
        lambda p: p.refunds() == [400],
        by_staff=True,
    ),
    Act(
        IntentKind.EMAIL,
        lambda p: p.by_staff("email", email=NEW),
        lambda p: p.customer()["email"] == p.email() == NEW,
        by_staff=True,
    ),
]


def post(client: FlaskClient, path: str, form: dict[str, str]) -> TestResponse:
    return client.post(path, data=form, headers=OURS | PAGE)


def killed_at(
    step: tuple[str, str], settings: Settings, client: FlaskClient, path: str, form: dict[str, str]
) -> None:
    """A process of its own takes the form, and is gone at this step."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            name, when = step
            whole = getattr(carry_out, name)

            def dies(*what: Any, **more: Any) -> None:
                if when == "after":
                    whole(*what, **more)
                os._exit(9)

            setattr(carry_out, name, dies)
            browser = create_app(settings).test_client()
            for cookie in filter(None, map(client.get_cookie, ("member", "staff"))):
                browser.set_cookie(cookie.key, cookie.value)
            answer = post(browser, path, form)
            os.write(2, f"{answer.status}\n{answer.text[-3000:]}".encode())
        except BaseException:  # noqa: BLE001 - this process is a copy of the test's: it must end
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9, "it never came to this step"


@pytest.mark.parametrize("step", STEPS, ids="-".join)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.kind)
def test_a_process_killed_at_any_step_leaves_one_effect_and_the_truth_on_the_page(
    people: People, stripe_settings: Settings, act: Act, step: tuple[str, str]
) -> None:
    form = act.send(people)
    before = len(people.intents())
    killed_at(step, stripe_settings, *form)
    if step == ("promise", "before"):  # it dies with nothing noted, so that nothing is done
        assert len(people.intents()) == before
        assert people.acts() == 0
        people.a_minute_later()
        assert not act.is_done(people)
        return
    waits = step[0] == "_call"
    if act.by_staff:
        assert ("act-open" in people.page()) is waits
    if act.kind is not IntentKind.ERASURE or waits:
        assert (f"waits-{act.kind}" in people.account()) is waits
    for _ in range(2):
        people.a_minute_later()
        assert act.is_done(people)
    assert people.acts() == (1 if act.by_staff else 0), "the activity log has lost nothing"
    if act.kind is not IntentKind.ERASURE:
        assert not {f"waits-{act.kind}", f"refused-{act.kind}"} & people.account()
    assert "act-open" not in people.page()
    assert all(intent.is_done and intent.details == {} for intent in people.intents())
    with people.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(SyncRequest)) == 0
        assert session.scalar(select(func.count()).select_from(SyncLease)) == 0
    number(people.database)


def lose(monkeypatch: pytest.MonkeyPatch, name: str, *, place: type = MemberGateway) -> None:
    """Stripe does it, and its answer is lost."""
    whole = getattr(place, name)

    def lost(*what: Any, **more: Any) -> None:
        whole(*what, **more)
        raise StripeUnavailableError("lost")

    monkeypatch.setattr(place, name, lost)


def test_after_a_day_when_stripe_has_forgotten_the_key_a_refund_is_looked_for_first(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = people.by_staff(f"payments/{people.payment.id}/refund", amount="4")
    with monkeypatch.context() as patch:
        lose(patch, "pay_back", place=Gateway)
        assert post(*form).status_code == 503
    with store_at_stripe() as store:
        store.execute("DELETE FROM idempotency")
    people.olena.stripe.advance(hours=30)
    people.a_minute_later()
    assert people.refunds() == [400]
    assert [intent.is_done for intent in people.intents()] == [True]


def test_a_look_that_comes_before_the_call_has_arrived_still_refunds_once(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who are at it at once look, find nothing, and call: the row's key makes it one refund."""
    form = people.by_staff(f"payments/{people.payment.id}/refund", amount="4")
    monkeypatch.setattr(Gateway, "has_refund", lambda *_: False)
    with monkeypatch.context() as patch:
        lose(patch, "pay_back", place=Gateway)
        assert post(*form).status_code == 503
    people.a_minute_later()
    assert people.refunds() == [400]


def test_an_answer_that_stripe_would_repeat_for_a_day_is_not_waited_for(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe answers a key that met an error with that error; the next call has another key."""
    keys: list[str] = []
    pay_back = Gateway.pay_back

    def replayed(self: Gateway, charge_id: str, amount: int, key: str) -> None:
        keys.append(key)
        if key == keys[0]:
            raise StripeUnavailableError("500")
        pay_back(self, charge_id, amount, key)

    monkeypatch.setattr(Gateway, "pay_back", replayed)
    post(*people.by_staff(f"payments/{people.payment.id}/refund", amount="4"))
    people.a_minute_later()
    assert len(set(keys)) == 1
    people.olena.stripe.advance(minutes=11)
    people.a_minute_later()
    assert people.refunds() == [400]
    assert len(set(keys)) == 2


def test_sums_that_were_agreed_to_are_not_charged_hours_later(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    olena = people.olena
    form = people.by_olena(olena.path("price"), tier="patron", interval="month")()
    with monkeypatch.context() as patch:
        patch.setattr(MemberGateway, "change", away)
        assert post(*form).status_code == 303
    assert {"notice-unknown", "waits-price"} <= people.account()
    olena.stripe.advance(hours=2)
    people.a_minute_later()
    assert olena.taken() == [1000]
    assert [intent.refusal for intent in people.intents()] == [Refusal.LATE]
    assert "refused-price" in people.account()
    assert "act-refused" in people.page()


def away(*_what: Any, **_more: Any) -> None:
    raise StripeUnavailableError("away")


@pytest.mark.parametrize(
    ("error", "refusal"),
    [(BankRefusedError, Refusal.BANK), (StripeRefusedError, Refusal.STRIPE)],
)
def test_what_is_refused_after_the_person_has_gone_is_on_their_page_and_in_the_activity_log(
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    error: type[StripeRefusedError],
    refusal: Refusal,
) -> None:
    olena = people.olena
    forms = [
        people.by_olena(olena.path("price"), tier="patron", interval="month")(),
        people.by_staff(f"memberships/{olena.membership.id}/end", when="period_end"),
    ]

    def refuse(*_what: Any, **_more: Any) -> None:
        raise error("Stripe refuses this: because.")

    for form, name in zip(forms, ("change", "stop"), strict=True):
        with monkeypatch.context() as patch:
            patch.setattr(MemberGateway, name, away)
            post(*form)
        monkeypatch.setattr(MemberGateway, name, refuse)
        people.a_minute_later()
    assert [intent.refusal for intent in people.intents()] == [refusal, refusal]
    assert "refused-cancel" in people.account(), "the later wish for the same membership"
    assert "Stripe refuses this" not in olena.open("/account").text, "a sentence for developers"
    page = read(people.staff, people.path)
    assert len(page.select("[data-test=act-refused]")) == 2
    assert "because" in shown(page, "act-refused")
    assert "act-refused" in names(read(people.staff, "/staff/audit-log"))
    assert post(*forms[1]).status_code == 422, "the same form says so again"
    assert "refused-cancel" in people.account()


def test_a_wish_waits_for_the_one_before_it(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Continued before the cancellation was done, the membership would end all the same."""
    olena = people.olena
    with monkeypatch.context() as patch:
        patch.setattr(MemberGateway, "stop", away)
        olena.action("cancellation")
        pause = people.by_olena(olena.path("pause"))(months="1")
        assert post(*pause).status_code == 303
        assert "notice-waiting" in people.account()
        assert [intent.kind for intent in people.intents()] == [IntentKind.CANCEL]
    assert post(*pause).status_code == 303
    assert "notice-meanwhile" in people.account()
    assert olena.at_stripe()["cancel_at_period_end"]
    assert not olena.at_stripe()["pause_collection"]


def test_staff_can_write_a_note_while_something_waits_for_stripe(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemberGateway, "stop", away)
    people.olena.action("cancellation")
    assert post(*people.by_staff("note", note="Called her.")).status_code == 303
    refused = post(*people.by_staff("email", email=NEW))
    assert (refused.status_code, "not-noted" in names(parse(refused))) == (503, True)


def test_where_stripe_refuses_our_key_it_is_said_that_it_will_be_done_once_that_is_mended(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_what: Any) -> None:
        raise StripeKeyError("Stripe refuses our key.", "rak_customer_write")

    form = people.by_staff("email", email=NEW)
    with monkeypatch.context() as patch:
        patch.setattr(Gateway, "change_email", refused)
        answer = post(*form)
    assert (answer.status_code, "key-refused" in names(parse(answer))) == (503, True)
    assert post(*form).status_code == 303
    assert people.email() == NEW


def test_an_address_that_is_taken_before_stripe_answers_is_given_back(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = people.by_staff("email", email=NEW)
    with monkeypatch.context() as patch:
        lose(patch, "change_email", place=Gateway)
        assert post(*form).status_code == 503
    olena = people.olena
    olena.stripe.settle(olena.stripe.join(NEW))
    people.a_minute_later()
    assert people.customer()["email"] == people.email() == olena.email
    assert [intent.refusal for intent in people.intents()] == [Refusal.TAKEN]
    assert "act-refused" in people.page()
    assert post(*form).status_code == 422


def test_an_erasure_that_waits_for_stripe_is_done_by_the_sweep(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = people.by_olena("/account/erasure")(sure="yes")
    with monkeypatch.context() as patch:
        patch.setattr(MemberGateway, "delete_customer", away)
        assert "error-503" in names(parse(post(*form)))
        assert "waits-erasure" in people.account()
        assert post(*form).status_code == 503
    assert len(people.intents()) == 1, "a second click is the same wish"
    people.a_minute_later()
    assert people.email() is None
    assert people.customer()["deleted"]
    assert number(people.database) == 0


def test_the_same_change_twice_is_one_intent(people: People) -> None:
    with people.app.app_context(), people.database.transaction() as session:
        payment = session.get_one(Payment, people.payment.id)
        change = changes.Change(member_gateway(), GRACE, "one form", Cause.STAFF, "staff 1")
        for _ in range(2):
            changes.refund(session, change, payment, 300)
    assert people.refunds() == [300]
    assert len(people.intents()) == 1
