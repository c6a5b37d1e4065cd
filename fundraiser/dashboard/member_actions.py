"""What staff do to a member: each act has a page that says beforehand what it will do.

An act is done once however often its form is sent: the form's nonce makes the key of its row in
the trail, which is written first, and the key of what is asked of Stripe. A form is refused where
the member has changed since it was opened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard import effects, words
from fundraiser.dashboard.people import read_person
from fundraiser.dashboard.timeline import may_be_sent_again
from fundraiser.db import lock, now
from fundraiser.errors import BadRequestError, NotFoundError, UnprocessableError
from fundraiser.members.complimentary import end_given, give_membership
from fundraiser.members.models import Cause, Member, Membership, Note, Source
from fundraiser.money import Money, parse_amount, write_amount
from fundraiser.newsroom.audit import Act, record_once
from fundraiser.newsroom.models import AuditEntry
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.outbox import owe_again
from fundraiser.payments import changes
from fundraiser.payments.gateway import StripeUnavailableError, current_gateway
from fundraiser.payments.models import Payment, Tier
from fundraiser.security import new_nonce
from fundraiser.texts import by_language, date as write_date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask.typing import ResponseReturnValue
    from sqlalchemy.orm import Session

    from fundraiser.dashboard.effects import Effects
    from fundraiser.dashboard.people import Person
    from fundraiser.newsroom.models import Staff
    from fundraiser.payments.changes import Change

blueprint = Blueprint("member_acts", __name__)

_BOTH = ["GET", "POST"]
_LONGEST_NOTE = 2000
_NONCE_LENGTHS = range(16, 129)
_LONGEST_GIFT = timedelta(days=3660)


class ChangedMeanwhileError(UnprocessableError):
    """The member is not any more as the form showed them."""

    status = HTTPStatus.CONFLICT


@dataclass(frozen=True, slots=True)
class Plan:
    """What a form asks for, read and found to make sense.

    ``fields`` and ``details`` go into the trail; ``remark`` and what staff wrote become a note.
    """

    do: Callable[[Change], None]
    done: str
    fields: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True, slots=True)
class ActPage:
    """One act on one person: what its page shows, and how its form is read."""

    person: Person
    act: Act
    heading: str
    button: str
    effects: list[Effects]
    read: Callable[[Mapping[str, str]], Plan]
    asks: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    needs_note: bool = False


@blueprint.route("/staff/members/<int:member_id>/complimentary", methods=_BOTH)
def complimentary(member_id: int) -> ResponseReturnValue:
    """Give a membership that costs nothing and has an end."""
    return _serve(member_id, Permission.CHANGE_MEMBER, _giving)


@blueprint.route(
    "/staff/members/<int:member_id>/memberships/<int:membership_id>/end", methods=_BOTH
)
def end(member_id: int, membership_id: int) -> ResponseReturnValue:
    """End a membership, now or with its period."""
    return _serve(member_id, Permission.CHANGE_MEMBER, partial(_ending, membership_id))


@blueprint.route("/staff/members/<int:member_id>/payments/<int:payment_id>/refund", methods=_BOTH)
def refund(member_id: int, payment_id: int) -> ResponseReturnValue:
    """Pay a payment back, in part or whole."""
    return _serve(member_id, Permission.REFUND, partial(_refunding, payment_id))


@blueprint.route("/staff/members/<int:member_id>/email", methods=_BOTH)
def email(member_id: int) -> ResponseReturnValue:
    """Change the e-mail address."""
    return _serve(member_id, Permission.CHANGE_MEMBER, _changing_email)


@blueprint.route("/staff/members/<int:member_id>/letters/<int:letter_id>/again", methods=_BOTH)
def letter_again(member_id: int, letter_id: int) -> ResponseReturnValue:
    """Send a letter once more."""
    require(signed_in_staff(), Permission.READ_LETTERS)
    return _serve(member_id, Permission.CHANGE_MEMBER, partial(_sending_again, letter_id))


@blueprint.route("/staff/members/<int:member_id>/note", methods=_BOTH)
def note(member_id: int) -> ResponseReturnValue:
    """Write something down."""
    return _serve(member_id, Permission.CHANGE_MEMBER, _noting)


def _giving(person: Person) -> ActPage:
    session = db.session()
    tiers = session.scalars(
        select(Tier).where(Tier.retired_at.is_(None), Tier.prices.any()).order_by(Tier.position)
    ).all()

    def read(typed: Mapping[str, str]) -> Plan:
        tier = typed.get("tier", "")
        if tier not in {found.slug for found in tiers}:
            raise UnprocessableError(_("Choose one of the memberships on offer."), field="tier")
        until = _read_end(typed.get("until", ""))

        def give(change: Change) -> None:
            give_membership(
                session,
                person.member,
                change.grace,
                tier=tier,
                currency=current_settings().newsroom_currency,
                until=until,
                reference=f"complimentary-{change.key[:24]}",
            )

        return Plan(
            do=give,
            done=_("The membership is given. It ends on %(date)s.", date=write_date(until)),
            fields=("membership",),
            details={"tier": tier, "until": typed.get("until", "")},
        )

    return ActPage(
        person=person,
        act=Act.GAVE_MEMBERSHIP,
        heading=_("Give a complimentary membership?"),
        button=_("Give the membership"),
        effects=effects.of_giving(person),
        read=read,
        asks="complimentary",
        values={"tiers": [(found.slug, by_language(found.names)) for found in tiers]},
    )


def _ending(membership_id: int, person: Person) -> ActPage:
    session = db.session()
    membership = next((found for found in person.memberships if found.id == membership_id), None)
    if membership is None:
        raise NotFoundError(_("This person has no such membership."))
    given = membership.source is Source.COMPLIMENTARY
    if membership.ended_at or (not given and membership.source is not Source.STRIPE):
        raise UnprocessableError(
            _("This membership has ended already, or is not ours to end. Nothing has changed.")
        )
    offered = effects.of_ending(person, membership, _grace())

    def read(typed: Mapping[str, str]) -> Plan:
        when = typed.get("when", "")
        if when not in {effect.value for effect in offered}:
            raise UnprocessableError(_("Choose when it is to end."), field="when")

        def stop(change: Change) -> None:
            if given:
                end_given(session, person.member, change.grace, membership)
            else:
                later = when == "period_end"
                changes.end_membership(session, change, membership, at_period_end=later)

        return Plan(
            do=stop,
            done=_("The membership ends with its period.")
            if when == "period_end"
            else _("The membership has ended."),
            fields=("membership",),
            details={"membership": membership.reference, "when": when},
        )

    return ActPage(
        person=person,
        act=Act.ENDED_MEMBERSHIP,
        heading=_("End the membership of %(price)s?", price=words.price(membership)),
        button=_("End the membership"),
        effects=offered,
        read=read,
        asks="when",
    )


def _refunding(payment_id: int, person: Person) -> ActPage:
    session = db.session()
    payment = session.get(Payment, payment_id)
    if payment is None or payment.member_id != person.member.id:
        raise NotFoundError(_("This person has made no such payment."))
    left = changes.refundable(payment)
    if left == 0:
        raise UnprocessableError(
            _(
                "Nothing of this payment is left to pay back: %(state)s.",
                state=words.payment_state(payment),
            )
        )

    def read(typed: Mapping[str, str]) -> Plan:
        amount = parse_amount(typed.get("amount", ""), payment.currency)
        if amount is None:
            raise UnprocessableError(_("Enter an amount, like 5 or 5.50."), field="amount")
        if amount > left:
            raise UnprocessableError(
                _(
                    "Only %(left)s of this payment is left. Enter that or less.",
                    left=words.money(left, payment.currency),
                ),
                field="amount",
            )
        return Plan(
            do=lambda change: changes.refund(session, change, payment, amount),
            done=_("%(amount)s is on its way back.", amount=words.money(amount, payment.currency)),
            fields=("payment",),
            details={
                "payment": payment.charge_id,
                "amount": amount,
                "currency": payment.currency,
            },
        )

    return ActPage(
        person=person,
        act=Act.REFUNDED,
        heading=_(
            "Pay back %(amount)s of %(date)s?",
            amount=words.money(payment.amount, payment.currency),
            date=write_date(payment.paid_at),
        ),
        button=_("Pay it back"),
        effects=effects.of_refund(person, payment, left, _grace()),
        read=read,
        asks="amount",
        values={
            "left": write_amount(Money(left, payment.currency)),
            "currency": payment.currency,
        },
    )


def _changing_email(person: Person) -> ActPage:
    session, member = db.session(), person.member
    before = member.email or "–"

    def read(typed: Mapping[str, str]) -> Plan:
        wanted = typed.get("email", "").strip()
        changes.check_email(session, member, wanted)
        return Plan(
            do=lambda change: changes.change_email(session, change, member, wanted),
            done=_("The address is changed. Letters go to %(email)s from now on.", email=wanted),
            fields=("email",),
            remark=_("From %(before)s to %(after)s.", before=before, after=wanted),
        )

    return ActPage(
        person=person,
        act=Act.CHANGED_EMAIL,
        heading=_("Change the e-mail address?"),
        button=_("Change the address"),
        effects=effects.of_new_email(person),
        read=read,
        asks="email",
        values={"before": before},
    )


def _sending_again(letter_id: int, person: Person) -> ActPage:
    session = db.session()
    letter = next((found for found in person.letters if found.id == letter_id), None)
    if letter is None:
        raise NotFoundError(_("This person was not sent such a letter."))
    if not may_be_sent_again(letter):
        raise UnprocessableError(
            _("This letter waits to be sent, or is one that is never sent again.")
        )
    if person.member.email is None:
        raise UnprocessableError(_("We have no address of this person."))
    name = words.letter(letter.kind)
    return ActPage(
        person=person,
        act=Act.SENT_LETTER_AGAIN,
        heading=_("Send “%(letter)s” again?", letter=name),
        button=_("Send the letter again"),
        effects=effects.of_letter(person, name),
        read=lambda _typed: Plan(
            do=lambda _change: owe_again(session, letter),
            done=_("The letter is on its way."),
            details={"letter": letter.kind.value},
        ),
    )


def _noting(person: Person) -> ActPage:
    return ActPage(
        person=person,
        act=Act.WROTE_NOTE,
        heading=_("Write a note"),
        button=_("Keep the note"),
        effects=effects.of_note(person),
        read=lambda _typed: Plan(do=lambda _change: None, done=_("The note is kept.")),
        needs_note=True,
    )


def _serve(
    member_id: int, permission: Permission, build: Callable[[Person], ActPage]
) -> ResponseReturnValue:
    """The page of an act, or the act: what goes wrong is said on the page, with all as typed."""
    session, staff = db.session(), signed_in_staff()
    require(staff, permission)
    if request.method == "GET":
        return _show(build(read_person(session, member_id)))
    key = _key(staff)
    status, error = HTTPStatus.UNPROCESSABLE_ENTITY, None
    try:
        page = build(read_person(session, member_id))
        plan = page.read(request.form)
        done = _carry_out(session, staff, page, plan, text=_read_note(page), key=key)
        return _done(member_id, done)
    except UnprocessableError as found:
        status, error = found.status, found
    except StripeUnavailableError:
        status = HTTPStatus.SERVICE_UNAVAILABLE
        error = UnprocessableError(
            _(
                "Stripe does not answer, so we don’t know whether it was done. Send this form once "
                "more in a minute: it is done once at most."
            )
        )
    session.rollback()
    # Last, since the same form sent at the same time may have been done while this one was read.
    if session.scalar(select(AuditEntry.id).where(AuditEntry.key == key)):
        return _done(member_id, _done_before())
    return _show(build(read_person(session, member_id)), error), status


def _carry_out(
    session: Session, staff: Staff, page: ActPage, plan: Plan, *, text: str, key: str
) -> str:
    """Do it, in the one order in which nobody is in another's way; returns what to say."""
    member_id = page.person.member.id
    act = record_once(
        session,
        page.act,
        f"member {member_id}",
        staff=staff,
        key=key,
        fields=plan.fields,
        details=plan.details,
    )
    if act is None:
        return _done_before()
    lock(session, "member", str(member_id))
    if page.act is not Act.WROTE_NOTE and request.form.get("seen") != _as_seen(session, member_id):
        raise ChangedMeanwhileError(
            _(
                "This member has changed since you opened the page, so nothing was done. Read how "
                "things stand now, and send the form again if you still want to."
            )
        )
    by = f"staff {staff.id}"
    plan.do(changes.Change(current_gateway(), _grace(), key, Cause.STAFF, by))
    if note_text := " ".join(part for part in (plan.remark, text) if part):
        session.add(Note(member_id=member_id, act=act, text=note_text))
    return plan.done


def _show(page: ActPage, error: UnprocessableError | None = None) -> str:
    is_new = request.method == "GET" or isinstance(error, ChangedMeanwhileError)
    return render_template(
        "dashboard/member_act.html",
        staff=signed_in_staff(),
        page=page,
        member=page.person.member,
        error=error,
        typed=request.form,
        nonce=new_nonce() if is_new else request.form.get("nonce", ""),
        seen=_as_seen(db.session(), page.person.member.id),
    )


def _done(member_id: int, sentence: str) -> ResponseReturnValue:
    flash(sentence)
    return redirect(url_for("dashboard.member", member_id=member_id), HTTPStatus.SEE_OTHER)


def _done_before() -> str:
    return _("This was done already, once.")


def _key(staff: Staff) -> str:
    """The same form with the same values has the same key, however often it is sent."""
    nonce = request.form.get("nonce", "")
    if len(nonce) not in _NONCE_LENGTHS:
        raise BadRequestError(_("This form is damaged. Open the page again."))
    values = sorted(
        (name, value) for name, value in request.form.items() if name not in {"csrf_token", "seen"}
    )
    return hashlib.sha256(repr((staff.id, request.path, values)).encode()).hexdigest()


def _as_seen(session: Session, member_id: int) -> str:
    """A mark of how a member stands, as the database has it now."""
    statements = (
        select(Member.email, Member.name, Member.turns).where(Member.id == member_id),
        select(
            Membership.id,
            Membership.status,
            Membership.standing,
            Membership.amount,
            Membership.cancel_at,
            Membership.ended_at,
            Membership.refunded_at,
            Membership.disputed_at,
        )
        .where(Membership.member_id == member_id)
        .order_by(Membership.id),
        select(Payment.id, Payment.status, Payment.refunded, Payment.dispute)
        .where(Payment.member_id == member_id)
        .order_by(Payment.id),
    )
    rows = [tuple(row) for statement in statements for row in session.execute(statement)]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:32]


def _read_note(page: ActPage) -> str:
    typed = request.form.get("note", "").strip()
    if page.needs_note and not typed:
        raise UnprocessableError(_("Write the note."), field="note")
    if len(typed) > _LONGEST_NOTE:
        raise UnprocessableError(
            _("Write %(count)s characters or less.", count=_LONGEST_NOTE), field="note"
        )
    return typed


def _read_end(typed: str) -> datetime:
    """The end of the day, where the newsroom is."""
    zone = current_settings().newsroom_timezone
    try:
        day = date.fromisoformat(typed.strip())
    except ValueError as error:
        raise UnprocessableError(
            _("Enter the day as year, month and day, like 2026-03-03."), field="until"
        ) from error
    latest = (now() + _LONGEST_GIFT).astimezone(zone).date()
    if not now().astimezone(zone).date() < day <= latest:
        raise UnprocessableError(_("Enter a day after today, and within ten years."), field="until")
    return datetime.combine(day + timedelta(days=1), time(), zone)


def _grace() -> timedelta:
    return timedelta(days=current_settings().grace_days)
