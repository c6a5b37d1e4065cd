"""Preview what an action does to the number, the money and the e-mails.

For the number, it applies the rule to the person's state after the action.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from fundraiser.dashboard import labels
from fundraiser.db import now
from fundraiser.members.eligibility import person_counts
from fundraiser.members.gifts import recipient_of
from fundraiser.members.models import Membership, Source, Status
from fundraiser.members.overdue import is_overdue
from fundraiser.payments.disputes import Trouble, trouble
from fundraiser.payments.models import PaymentStatus
from fundraiser.texts import Named, date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from fundraiser.dashboard.members.profile import Person
    from fundraiser.members.gifts import Gift
    from fundraiser.payments.models import Payment


@dataclass(frozen=True, slots=True)
class Effects:
    """One or two sentences for each effect; ``value`` and ``label`` if there are options.

    ``supporters`` is the effect on the public name, if the action concerns it.
    """

    number: str
    money: str
    mail: str
    supporters: str = ""
    label: str = ""
    value: str = ""


def of_ending(person: Person, membership: Membership, grace: timedelta) -> list[Effects]:
    """Preview ending a membership, at the end of the paid period and now."""
    email = _("We send our usual e-mails about the end of a membership, if they’re switched on.")
    at_once = Effects(
        value="now",
        label=_("Now"),
        number=_number(
            person, grace, {membership.id: {"status": Status.CANCELED, "ended_at": now()}}
        ),
        money=_money_of_ending(membership),
        mail=email if membership.source is Source.STRIPE else _none_sent(),
    )
    end = membership.period_end
    if membership.source is not Source.STRIPE or membership.cancel_at or not end or end <= now():
        return [at_once]
    money = _("There are no further charges and no refund.")
    if is_overdue(membership):
        money = _(
            "Stripe may still try to charge the overdue %(amount)s. There are no "
            "charges for later periods and no refund.",
            amount=_due(membership),
        )
    later = Effects(
        value="period_end",
        label=_("At the end of the period, on %(date)s", date=date(end)),
        number=_number(person, grace, {membership.id: {"cancel_at": end}}),
        money=money,
        mail=email,
    )
    return [later, at_once]


def _money_of_ending(membership: Membership) -> str:
    if membership.source is not Source.STRIPE:
        return _("No change: this membership is free.")
    if is_overdue(membership):
        return _(
            "The overdue %(amount)s won’t be charged, and there’s no refund. To "
            "refund a payment, find it under “History”.",
            amount=_due(membership),
        )
    return _(
        "There are no further charges and no refund. To refund a payment, find it under “History”."
    )


def _followed_by(second: str, first: str) -> str:
    """Join two sentences, the second of which refers to both."""
    return Named(getattr(second, "name", ""), f"{first}{second}")


def _no_money() -> str:
    return Named("no-money", _("No change."))


def _none_sent() -> str:
    return Named("none-sent", _("We don’t send an e-mail."))


def _due(membership: Membership) -> str:
    due = membership.amount if membership.due is None else membership.due
    return labels.money(due, membership.currency)


def of_refund(person: Person, payment: Payment, left: int, grace: timedelta) -> list[Effects]:
    """Preview a full and a partial refund."""
    mail = _(
        "We don’t send an e-mail. The member’s bank may need up to ten days to show the refund."
    )
    goes_on = _goes_on(person, payment)
    if trouble(payment.dispute) is Trouble.INQUIRY:
        closing = _("A full refund also closes the bank’s inquiry.")
        goes_on = Named("closes-inquiry", f"{goes_on} {closing}")
    gift = next((found for found in person.gifts if found.charge_id == payment.charge_id), None)
    whole = Effects(
        label=_("The full %(amount)s", amount=labels.money(left, payment.currency)),
        number=_without_gift(gift)
        if gift
        else _number(person, grace, _when_refunded(person, payment)),
        money=_followed_by(
            goes_on,
            _(
                "We refund %(amount)s to the payment method it was paid with. "
                "Stripe keeps its fee.",
                amount=labels.money(left, payment.currency),
            ),
        ),
        mail=_of_the_gifts_end(gift) if gift else mail,
    )
    part = Effects(
        label=_("Part of it"),
        number=_unchanged(person),
        money=_followed_by(
            goes_on,
            _(
                "We refund the amount you enter to the payment method it was paid with. "
                "Stripe keeps its fee."
            ),
        ),
        mail=mail,
    )
    return [whole, part]


def of_new_email(person: Person) -> list[Effects]:
    """Preview a new e-mail address."""
    running = [customer for customer in person.customers if not customer.deleted]
    return [
        Effects(
            number=_unchanged(person),
            money=_("No change. Payments continue as before.")
            if running
            else _("No change: this person isn’t a Stripe customer."),
            mail=_(
                "From now on all e-mails go to the new address: ours, including those "
                "waiting to be sent, and Stripe’s receipts. The member signs in with "
                "it, and is signed out everywhere. We e-mail both addresses a link "
                "that can undo the change for 72 hours."
            ),
        )
    ]


def of_giving(person: Person) -> list[Effects]:
    """Preview a complimentary membership."""
    return [
        Effects(
            number=Named(
                "free-uncounted",
                _("By our rule, free memberships aren’t counted.") + " " + _unchanged(person),
            ),
            money=_(
                "No change: this membership is free, and any other payments continue as before."
            ),
            mail=_("We don’t send an e-mail, either now or when it ends."),
        )
    ]


def of_email_again(person: Person, name: str) -> list[Effects]:
    """Preview resending an e-mail."""
    return [
        Effects(
            number=_unchanged(person),
            money=_no_money(),
            mail=_(
                "“%(letter)s” goes to %(email)s within a minute, with up-to-date "
                "text, unless it’s no longer needed.",
                letter=name,
                email=person.member.email or "–",
            ),
        )
    ]


def of_hiding_name(person: Person) -> list[Effects]:
    """Preview hiding the name from the supporters page."""
    return [
        Effects(
            supporters=_(
                "The name is gone the next time the page loads. The member can’t show "
                "it again until staff allow it."
            ),
            number=_unchanged(person),
            money=_no_money(),
            mail=Named(
                "none-sent",
                _(
                    "We don’t send an e-mail. The member’s account says that we "
                    "removed the name and where to write."
                ),
            ),
        )
    ]


def of_restoring_name(person: Person) -> list[Effects]:
    """Preview letting the person show the name again."""
    return [
        Effects(
            supporters=_("The name doesn’t reappear automatically: the member has to agree again."),
            number=_unchanged(person),
            money=_no_money(),
            mail=_none_sent(),
        )
    ]


def of_note(person: Person) -> list[Effects]:
    """Preview a note."""
    return [
        Effects(
            number=_unchanged(person),
            money=_no_money(),
            mail=_(
                "No e-mail. Only staff can see a note; it’s deleted together with the "
                "person’s data."
            ),
        )
    ]


def _number(person: Person, grace: timedelta, changes: dict[int, dict[str, Any]]) -> str:
    at = now()
    before = person_counts(person.memberships, at, grace)
    as_it_would_be = [_copy(found, changes.get(found.id, {})) for found in person.memberships]
    after = person_counts(as_it_would_be, at, grace)
    if before.counts and not after.counts:
        return Named(
            "falls-now", _("The number goes down by one at once: this person is no longer counted.")
        )
    if not before.counts or not after.until:
        return _unchanged(person)
    if after.until == before.until and any(map(is_overdue, person.memberships)):
        return Named(
            "falls-unless-paid",
            _(
                "A payment is overdue: this person is counted until %(date)s. Then "
                "the number goes down by one, unless the payment arrives.",
                date=date(after.until),
            ),
        )
    return Named(
        "falls-later",
        _(
            "This person is counted until %(date)s. Then the number goes down by one.",
            date=date(after.until),
        ),
    )


def _unchanged(person: Person) -> str:
    if person.member.counting and person.member.recount_at:
        return Named(
            "stays-until",
            _(
                "The number stays the same: this person is counted until %(date)s, as before.",
                date=date(person.member.recount_at),
            ),
        )
    if person.member.counting:
        return Named("stays-counted", _("The number stays the same: this person is still counted."))
    return Named("stays-uncounted", _("The number stays the same: this person isn’t counted."))


def _copy(membership: Membership, changes: dict[str, Any]) -> Membership:
    columns = inspect(Membership).column_attrs
    return Membership(**{c.key: getattr(membership, c.key) for c in columns} | changes)


def _when_refunded(person: Person, payment: Payment) -> dict[int, dict[str, Any]]:
    """The person's state after a refund, which matters only for the latest payment."""
    if payment.subscription_id is None or payment.id != _newest_of(person.payments, payment):
        return {}
    return {
        membership.id: {"refunded_at": now()}
        for membership in person.memberships
        if membership.reference == payment.subscription_id
    }


def _without_gift(gift: Gift) -> str:
    """What refunding a gift does to the number."""
    if gift.redeemed_at is None:
        return Named(
            "gift-unaccepted",
            _(
                "The number stays the same: nobody has accepted the gift yet. Its code "
                "will stop working."
            ),
        )
    return Named(
        "recipient-falls-now",
        _(
            "%(name)s has accepted the gift and stops being counted at once, unless "
            "they have another membership.",
            name=recipient_of(gift),
        ),
    )


def _of_the_gifts_end(gift: Gift) -> str:
    if gift.redeemed_at is None:
        return Named("tells-giver", _("We e-mail the giver that the gift has been refunded."))
    return Named(
        "tells-giver-and-recipient",
        _(
            "We e-mail the giver that the gift has been refunded, and the recipient "
            "that it has ended."
        ),
    )


def _newest_of(payments: Iterable[Payment], payment: Payment) -> int:
    """The latest successful payment for the same membership."""
    same = [
        found
        for found in payments
        if found.subscription_id == payment.subscription_id
        and found.status is PaymentStatus.SUCCEEDED
    ]
    return max(same, key=lambda found: found.paid_at).id if same else payment.id


def _goes_on(person: Person, payment: Payment) -> str:
    """A warning that the membership keeps renewing unless it is ended too."""
    running = next(
        (
            found
            for found in person.memberships
            if found.reference == payment.subscription_id and found.ended_at is None
        ),
        None,
    )
    if running is None or running.cancel_at or running.period_end is None:
        return ""
    if is_overdue(running):
        return " " + _(
            "The membership continues: %(price)s has been overdue since %(date)s and "
            "may still be charged unless you also cancel the membership.",
            price=_due(running),
            date=date(running.grace_from or running.started_at),
        )
    return " " + _(
        "The membership continues: the next payment of %(price)s is due on %(date)s "
        "unless you also cancel the membership.",
        price=labels.money(running.amount, running.currency),
        date=date(running.period_end),
    )
