"""The actions of staff on a member: form, effects and execution of each."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, request
from sqlalchemy import select

from fundraiser import db
from fundraiser.config import current_settings
from fundraiser.dashboard import labels
from fundraiser.dashboard.members import preview
from fundraiser.dashboard.members.action_views import ActionPage, Plan, grace, note_page, serve
from fundraiser.dashboard.members.timeline import may_be_sent_again
from fundraiser.db import now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.members.address_changes import check_email
from fundraiser.members.complimentary import end_given, give_membership
from fundraiser.members.consents import hide_name, restore_name
from fundraiser.members.models import Source
from fundraiser.money import Money, decimals, parse_amount, write_amount
from fundraiser.newsroom.audit import Action
from fundraiser.newsroom.confirmation import ask_again
from fundraiser.newsroom.roles import Permission, require
from fundraiser.newsroom.second_step import read_rules
from fundraiser.newsroom.sign_in import signed_in_staff
from fundraiser.outbox import enqueue_again
from fundraiser.payments import changes
from fundraiser.payments.models import Payment, Tier
from fundraiser.texts import Named, by_language, date as write_date, gettext as _, last_day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.typing import ResponseReturnValue

    from fundraiser.dashboard.members.profile import Person
    from fundraiser.payments.changes import Change

blueprint = Blueprint("member_actions", __name__)

_BOTH = ["GET", "POST"]
_LONGEST_GIFT = timedelta(days=3660)


@blueprint.route("/staff/members/<int:member_id>/complimentary", methods=_BOTH)
def complimentary(member_id: int) -> ResponseReturnValue:
    """Give a complimentary membership with an end date."""
    return serve(member_id, Permission.CHANGE_MEMBER, _giving)


@blueprint.route(
    "/staff/members/<int:member_id>/memberships/<int:membership_id>/end", methods=_BOTH
)
def end(member_id: int, membership_id: int) -> ResponseReturnValue:
    """End a membership, now or at the end of its period."""
    return serve(member_id, Permission.CHANGE_MEMBER, partial(_ending, membership_id))


@blueprint.route("/staff/members/<int:member_id>/payments/<int:payment_id>/refund", methods=_BOTH)
def refund(member_id: int, payment_id: int) -> ResponseReturnValue:
    """Refund a payment in part or in full; a large one needs confirmation."""
    if _is_large_refund(payment_id) and (asked := ask_again()):
        return asked
    return serve(member_id, Permission.REFUND, partial(_refunding, payment_id))


@blueprint.route("/staff/members/<int:member_id>/email", methods=_BOTH)
def email(member_id: int) -> ResponseReturnValue:
    """Change the e-mail address."""
    return serve(member_id, Permission.CHANGE_MEMBER, _changing_email)


@blueprint.route("/staff/members/<int:member_id>/emails/<int:email_id>/again", methods=_BOTH)
def email_again(member_id: int, email_id: int) -> ResponseReturnValue:
    """Resend an e-mail."""
    require(signed_in_staff(), Permission.READ_EMAILS)
    return serve(member_id, Permission.CHANGE_MEMBER, partial(_sending_again, email_id))


@blueprint.route("/staff/members/<int:member_id>/note", methods=_BOTH)
def note(member_id: int) -> ResponseReturnValue:
    """Write a note."""
    return serve(member_id, Permission.CHANGE_MEMBER, note_page)


@blueprint.route("/staff/members/<int:member_id>/name/hide", methods=_BOTH)
def hide_supporter(member_id: int) -> ResponseReturnValue:
    """Hide the name from the supporters page."""
    return serve(member_id, Permission.CHANGE_MEMBER, _hiding_name)


@blueprint.route("/staff/members/<int:member_id>/name/restore", methods=_BOTH)
def restore_supporter(member_id: int) -> ResponseReturnValue:
    """Let the person show the name again."""
    return serve(member_id, Permission.CHANGE_MEMBER, _restoring_name)


def _is_large_refund(payment_id: int) -> bool:
    payment = db.session().get(Payment, payment_id)
    if payment is None:
        return False
    amount = parse_amount(request.form.get("amount", ""), payment.currency) or 0
    large = Decimal(read_rules(db.session()).large_refund).scaleb(decimals(payment.currency))
    return amount > large


def _giving(person: Person) -> ActionPage:
    session = db.session()
    tiers = session.scalars(
        select(Tier).where(Tier.retired_at.is_(None), Tier.prices.any()).order_by(Tier.position)
    ).all()

    def read(typed: Mapping[str, str]) -> Plan:
        tier = typed.get("tier", "")
        if tier not in {found.slug for found in tiers}:
            raise UnprocessableError(_("Choose one of the memberships on offer."), field="tier")
        until = read_end(typed.get("until", ""))

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
            done=_(
                "The complimentary membership has been given. It ends on %(date)s.",
                date=last_day(until),
            ),
            fields=("membership",),
            details={"tier": tier, "until": typed.get("until", "")},
        )

    return ActionPage(
        person=person,
        action=Action.GAVE_MEMBERSHIP,
        heading=_("Give a complimentary membership?"),
        button=_("Give membership"),
        effects=preview.of_giving(person),
        read=read,
        asks="complimentary",
        values={"tiers": [(found.slug, by_language(found.names)) for found in tiers]},
    )


def _ending(membership_id: int, person: Person) -> ActionPage:
    session = db.session()
    membership = next((found for found in person.memberships if found.id == membership_id), None)
    if membership is None:
        raise NotFoundError(_("This person doesn’t have this membership."))
    given = membership.source is Source.COMPLIMENTARY
    if membership.ended_at or (not given and membership.source is not Source.STRIPE):
        raise UnprocessableError(
            _("This membership has already ended, or can’t be cancelled here. Nothing has changed.")
        )
    offered = preview.of_ending(person, membership, grace())

    def read(typed: Mapping[str, str]) -> Plan:
        when = typed.get("when", "")
        if when not in {effect.value for effect in offered}:
            raise UnprocessableError(_("Choose when the membership ends."), field="when")

        def stop(change: Change) -> None:
            if given:
                end_given(session, person.member, change.grace, membership)
            else:
                later = when == "period_end"
                changes.end_membership(session, change, membership, at_period_end=later)

        return Plan(
            do=stop,
            done=_("The membership will end with the current period.")
            if when == "period_end"
            else _("The membership has ended."),
            fields=("membership",),
            details={"membership": membership.reference, "when": when},
            at_stripe=not given,
        )

    return ActionPage(
        person=person,
        action=Action.ENDED_MEMBERSHIP,
        heading=_("End the complimentary membership?")
        if given
        else _("Cancel this membership (%(price)s)?", price=labels.price(membership)),
        button=_("Cancel membership"),
        effects=offered,
        read=read,
        asks="when",
    )


def _refunding(payment_id: int, person: Person) -> ActionPage:
    session = db.session()
    payment = session.get(Payment, payment_id)
    if payment is None or payment.member_id != person.member.id:
        raise NotFoundError(_("We can’t find this payment in the member’s history."))
    left = changes.refundable(payment)
    if left == 0:
        raise UnprocessableError(
            Named(
                "nothing-left",
                _(
                    "There’s nothing left to refund on this payment (%(state)s).",
                    state=labels.payment_state(payment),
                ),
            )
        )

    def read(typed: Mapping[str, str]) -> Plan:
        amount = parse_amount(typed.get("amount", ""), payment.currency)
        if amount is None:
            raise UnprocessableError(_("Enter an amount, like 5 or 5.50."), field="amount")
        if amount > left:
            raise UnprocessableError(
                _(
                    "Only %(left)s of this payment can still be refunded. Enter that or less.",
                    left=labels.money(left, payment.currency),
                ),
                field="amount",
            )
        return Plan(
            do=lambda change: changes.refund(session, change, payment, amount),
            done=Named(
                "refunded",
                _("%(amount)s is being refunded.", amount=labels.money(amount, payment.currency)),
            ),
            fields=("payment",),
            details={
                "payment": payment.charge_id,
                "amount": amount,
                "currency": payment.currency,
            },
            at_stripe=True,
        )

    return ActionPage(
        person=person,
        action=Action.REFUNDED,
        heading=_(
            "Refund the payment of %(amount)s from %(date)s?",
            amount=labels.money(payment.amount, payment.currency),
            date=write_date(payment.paid_at),
        ),
        button=_("Refund payment"),
        effects=preview.of_refund(person, payment, left, grace()),
        read=read,
        asks="amount",
        values={
            "left": write_amount(Money(left, payment.currency)),
            "currency": payment.currency,
        },
    )


def _changing_email(person: Person) -> ActionPage:
    session, member = db.session(), person.member
    before = member.email or "–"

    def read(typed: Mapping[str, str]) -> Plan:
        wanted = typed.get("email", "").strip()
        check_email(session, member, wanted)
        return Plan(
            do=lambda change: changes.change_email(session, change, member, wanted),
            done=_("The e-mail address has been changed. We now e-mail the new one."),
            fields=("email",),
            remark=_("From %(before)s to %(after)s.", before=before, after=wanted),
            at_stripe=True,
        )

    return ActionPage(
        person=person,
        action=Action.CHANGED_EMAIL,
        heading=_("Change the e-mail address?"),
        button=_("Change e-mail address"),
        effects=preview.of_new_email(person),
        read=read,
        asks="email",
        values={"before": before},
    )


def _sending_again(email_id: int, person: Person) -> ActionPage:
    session = db.session()
    email = next((found for found in person.emails if found.id == email_id), None)
    if email is None:
        raise NotFoundError(_("We haven’t sent this e-mail to this person."))
    if not may_be_sent_again(email):
        raise UnprocessableError(
            _("This e-mail is still waiting to be sent, or can’t be sent again.")
        )
    if person.member.email is None:
        raise UnprocessableError(_("We don’t have an e-mail address for this person."))
    name = labels.email(email.kind)
    return ActionPage(
        person=person,
        action=Action.SENT_EMAIL_AGAIN,
        heading=_("Send “%(letter)s” again?", letter=name),
        button=_("Send again"),
        effects=preview.of_email_again(person, name),
        read=lambda _typed: Plan(
            do=lambda _change: enqueue_again(session, email),
            done=_("We’ll send the e-mail within a minute."),
            details={"letter": email.kind},
        ),
    )


def _hiding_name(person: Person) -> ActionPage:
    session, member = db.session(), person.member
    if member.supporter_since is None:
        raise UnprocessableError(_("This name isn’t on the supporters page."))
    text = _("Our staff removed the name from the supporters page.")
    return ActionPage(
        person=person,
        action=Action.HID_NAME,
        heading=_("Hide this name from the supporters page?"),
        button=_("Hide name"),
        effects=preview.of_hiding_name(person),
        read=lambda _typed: Plan(
            do=lambda _change: hide_name(session, member, text),
            done=_("The name is off the supporters page until staff allow it again."),
        ),
    )


def _restoring_name(person: Person) -> ActionPage:
    member = person.member
    if member.supporter_closed_at is None:
        raise UnprocessableError(_("Staff aren’t hiding this name."))
    return ActionPage(
        person=person,
        action=Action.RESTORED_NAME,
        heading=_("Allow this name on the supporters page again?"),
        button=_("Allow name"),
        effects=preview.of_restoring_name(person),
        read=lambda _typed: Plan(
            do=lambda _change: restore_name(member),
            done=_("The member can show their name on the supporters page again."),
        ),
    )


def read_end(typed: str) -> datetime:
    """The end of the day, in the newsroom's time zone."""
    zone = current_settings().newsroom_timezone
    try:
        day = date.fromisoformat(typed.strip())
    except ValueError as error:
        raise UnprocessableError(
            _("Enter the date as year, month and day, like 2026-03-03."), field="until"
        ) from error
    latest = (now() + _LONGEST_GIFT).astimezone(zone).date()
    if not now().astimezone(zone).date() < day <= latest:
        raise UnprocessableError(
            _("Choose a day after today and within the next ten years."), field="until"
        )
    return datetime.combine(day + timedelta(days=1), time(), zone)
