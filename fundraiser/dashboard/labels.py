"""Labels and sentences for staff pages."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING

from babel import Locale
from flask_babel import format_decimal

from fundraiser.campaigns.outgoing_webhook import Fault
from fundraiser.config import current_settings
from fundraiser.dashboard.articles import article
from fundraiser.dashboard.finance.labels import dispute_status, event
from fundraiser.dashboard.models import Churn, Topic
from fundraiser.dashboard.overdue.labels import cause as cause_of_failure
from fundraiser.db import now
from fundraiser.emails.kinds import label_of
from fundraiser.members.eligibility import Reason
from fundraiser.members.invitations import INVITATION
from fundraiser.members.models import UNKNOWN_AMOUNT, Cause, DriftKind, Dues, Source, Status
from fundraiser.members.overdue import is_overdue
from fundraiser.members.payment_methods import method_of
from fundraiser.members.prices import price_of
from fundraiser.money import Money, format_money
from fundraiser.outbox import EmailState
from fundraiser.payments.cases import CaseKind
from fundraiser.payments.disputes import Trouble, trouble
from fundraiser.payments.intents import IntentKind, Refusal
from fundraiser.payments.models import CheckoutKind, Part, PaymentStatus
from fundraiser.texts import Named, date, gettext as _, language, last_day

if TYPE_CHECKING:
    from datetime import date as date_type
    from decimal import Decimal

    from fundraiser.members.models import Drift, LedgerEntry, Member, Membership
    from fundraiser.payments.cases import MoneyCase
    from fundraiser.payments.intents import Intent
    from fundraiser.payments.models import BalanceTransaction, Payment, Payout, SyncRequest


def ledger_sentence(entry: LedgerEntry) -> str:
    """Why and when the person started or stopped being counted."""
    day = date(entry.happened_at)
    if entry.change > 0:
        return _started(entry, day)
    sentences = {
        Reason.ENDED: _("No longer counted from %(date)s: the membership ended.", date=day),
        Reason.GRACE_OVER: _(
            "No longer counted from %(date)s: a payment was still overdue after the grace period.",
            date=day,
        ),
        Reason.NOT_PAID: _(
            "No longer counted from %(date)s: the membership isn’t paid for.", date=day
        ),
        Reason.REFUNDED: _(
            "No longer counted from %(date)s: the payment for this period was refunded in full.",
            date=day,
        ),
        Reason.DISPUTED: _(
            "No longer counted from %(date)s: the payment for this period is disputed "
            "with the bank.",
            date=day,
        ),
        Reason.COLLECTION_PAUSED: _(
            "No longer counted from %(date)s: payments are paused.", date=day
        ),
        Reason.OTHER_PRODUCT: _(
            "No longer counted from %(date)s: it’s for a product that isn’t a membership.", date=day
        ),
        Reason.NOTHING_TO_PAY: _(
            "No longer counted from %(date)s: the membership is free.", date=day
        ),
        Reason.NO_MEMBERSHIP: _(
            "No longer counted from %(date)s: there’s no membership left.", date=day
        ),
    }
    other = _("No longer counted from %(date)s (%(reason)s).", date=day, reason=entry.reason)
    return sentences.get(Reason(entry.reason), other) if entry.reason in set(Reason) else other


def _started(entry: LedgerEntry, day: str) -> str:
    if entry.sequence > 1:
        return _("Counted again from %(date)s.", date=day)
    match entry.reason:
        case Reason.FIRST_PAYMENT_IN_PROCESS:
            return _("Joined on %(date)s: the first payment is being processed.", date=day)
        case Reason.GIFT:
            return _("Joined on %(date)s by accepting a gift.", date=day)
        case Reason.IMPORTED:
            return _("Joined on %(date)s through an import.", date=day)
    return _("Joined on %(date)s: the first payment arrived.", date=day)


def cause(entry: LedgerEntry, known_as: str | None) -> str:
    """What changed the ledger, with its name if it has one."""
    name = " ".join(part for part in (known_as, entry.cause_ref) if part)
    match entry.cause:
        case Cause.STRIPE:
            said = ", ".join(filter(None, (event(known_as or ""), entry.cause_ref)))
            return _("Stripe: %(name)s", name=said) if said else _("Stripe")
        case Cause.CLOCK:
            return _("Automatic check")
        case Cause.IMPORT:
            return _("Import: %(name)s", name=name)
        case Cause.STAFF:
            return _("Staff: %(name)s", name=known_as) if known_as else _("Staff")
        case Cause.MERGE:
            return _("Merged with another person’s record")
        case Cause.ERASURE:
            return _("Deleted at the person’s request")
        case Cause.GIFT:
            return _("Gift accepted: %(name)s", name=name)
        case Cause.RULE:
            return _("New rule: %(rule)s", rule=entry.rule)


def status_label(member: Member) -> str:
    """Whether a person is counted, in a few words."""
    if member.counting:
        return _("Counted")
    return _("No longer counted") if member.number else _("Never counted")


def note(member: Member, membership: Membership | None) -> str:
    """What will happen next to a counted person, if anything."""
    if membership is None or not member.counting:
        return ""
    if membership.cancel_at:
        return _("Ends on %(date)s", date=last_day(membership.cancel_at))
    if is_overdue(membership):
        return _("Payment overdue")
    return ""


def money(amount: int, currency: str) -> str:
    """Format an amount of the smallest unit."""
    return format_money(Money(amount, currency), language())


def price(membership: Membership) -> str:
    """The price and its interval."""
    if membership.amount == 0:
        return _("Free")
    if membership.source is Source.IMPORT and membership.amount == UNKNOWN_AMOUNT:
        return _("Amount unknown")
    if membership.source is Source.GIFT:
        return _("%(amount)s, as a gift", amount=money(membership.amount, membership.currency))
    return price_of(membership)


def method(membership: Membership) -> str:
    """A membership's payment method at Stripe; empty if unknown."""
    return method_of(membership) or ""


def state(membership: Membership) -> str:
    """A membership's status."""
    if membership.duplicate_of:
        return (
            _("Second membership, cancelled")
            if membership.ended_at
            else _("Second membership, to be cancelled")
        )
    if membership.cancel_wanted_at and not membership.cancel_at and not membership.ended_at:
        return _(
            "The member asked to cancel on %(date)s and Stripe refused: cancel it for them",
            date=date(membership.cancel_wanted_at),
        )
    if membership.moved_at:
        return _("For a product that isn’t a membership")
    if membership.collection_paused:
        return _("Payments paused")
    if membership.refunded_at:
        return _("Latest payment refunded")
    if membership.disputed_at:
        return _("Latest payment disputed")
    if membership.status is Status.ACTIVE:
        return _active(membership)
    if membership.status is Status.CANCELED and membership.ended_at:
        return Named("ended", _("Ended on %(date)s", date=date(membership.ended_at)))
    return _not_active(membership.status)


def _active(membership: Membership) -> str:
    if membership.cancel_at and membership.cancel_at <= now():
        return Named("ended", _("Ended on %(date)s", date=last_day(membership.cancel_at)))
    if membership.cancel_at:
        return Named(
            "ends-later", _("Active, ends on %(date)s", date=last_day(membership.cancel_at))
        )
    if membership.payment_status is Dues.IN_PROCESS:
        return _("Active, first payment processing")
    return _("Active")


def _not_active(status: Status) -> str:
    match status:
        case Status.PAST_DUE:
            return _("Payment overdue")
        case Status.TRIALING:
            return _("Trial")
        case Status.INCOMPLETE:
            return _("Waiting for the first payment")
        case Status.INCOMPLETE_EXPIRED:
            return _("Never paid")
        case Status.UNPAID:
            return _("Unpaid")
        case Status.PAUSED:
            return _("Paused")
    return _("Ended")


def came_from(membership: Membership) -> str:
    """How the person came here: the URL's source and tags, or the membership's source."""
    if membership.ref == INVITATION:
        return Named("invited", _("Invited by a member"))
    page = article(membership.ref) if membership.ref else None
    return ", ".join(filter(None, (page, membership.utm))) or source(membership)


def source(membership: Membership) -> str:
    """Where a membership comes from."""
    match membership.source:
        case Source.STRIPE:
            return _("Paid through Stripe")
        case Source.GIFT:
            return _("Gift")
        case Source.IMPORT:
            return _("Imported")
        case Source.COMPLIMENTARY:
            return _("Complimentary")


def payment_state(payment: Payment) -> str:
    """A payment's status."""
    match trouble(payment.dispute):
        case Trouble.DISPUTED:
            status = dispute_status(payment.dispute or "")
            return Named("disputed", _("Disputed (%(status)s)", status=status))
        case Trouble.LOST:
            return Named("dispute-lost", _("Dispute lost: refunded by the bank"))
        case Trouble.INQUIRY if payment.refunded < payment.amount:
            return Named("inquiry", _("The bank has asked about it; we still have the money"))
        case Trouble.OVER if payment.dispute == "won" and not payment.refunded:
            return Named("dispute-won", _("Paid; dispute won"))
    if payment.refunded >= payment.amount > 0:
        return Named("payment-refunded", _("Refunded"))
    if payment.refunded:
        amount = format_money(Money(payment.refunded, payment.currency), language())
        return Named("partly-refunded", _("%(amount)s refunded", amount=amount))
    match payment.status:
        case PaymentStatus.SUCCEEDED:
            return Named("paid", _("Paid"))
        case PaymentStatus.PENDING:
            return Named("payment-processing", _("Processing"))
        case PaymentStatus.FAILED if payment.failure:
            reason = cause_of_failure(payment.failure)
            return _("Failed (%(reason)s)", reason=reason[:1].lower() + reason[1:])
    return _("Failed")


def purpose(kind: str | None, tier: str | None, tiers: dict[str, str]) -> str:
    """What was paid for; ``tiers`` are names by slug."""
    if tier:
        return tiers.get(tier, tier)
    match kind:
        case CheckoutKind.MEMBERSHIP:
            return _("Memberships")
        case CheckoutKind.CONTRIBUTION:
            return _("One-time contributions")
        case CheckoutKind.GIFT:
            return _("Gifts")
        case Part.FEES:
            return _("Other Stripe fees")
    return _("Not paid through this service")


def movement(found: BalanceTransaction) -> str:
    """The type of a balance transaction."""
    match found.category:
        case "charge":
            return _("Payment")
        case "refund":
            return _("Refund")
        case "refund_failure":
            return _("Failed refund")
        case "dispute":
            return _("Dispute")
        case "dispute_reversal":
            return _("Dispute won")
        case "fee":
            return _("Stripe fee")
        case "payout":
            return _("Payout")
        case "payout_reversal":
            return _("Returned payout")
    return found.category.replace("_", " ").capitalize()


def payout_state(found: Payout) -> str:
    """A payout's status."""
    match found.status:
        case "paid":
            return _("Arrived")
        case "failed":
            return _("Failed and returned")
        case "canceled":
            return _("Cancelled and returned")
    return _("Being transferred")


def case(found: MoneyCase) -> str:
    """A money case, and what happens next."""
    amount = money(found.amount, found.currency)
    match found.kind:
        case CaseKind.SECOND_REFUND if found.due_at:
            return _(
                "%(amount)s for a second membership hasn’t been refunded yet. We’ll try again.",
                amount=amount,
            )
        case CaseKind.SECOND_REFUND:
            return _(
                "We couldn’t refund %(amount)s for a second membership. Refund it another way.",
                amount=amount,
            )
        case CaseKind.SECOND_END:
            return _(
                "We couldn’t cancel a second membership (%(amount)s) yet. We’ll try again.",
                amount=amount,
            )
        case CaseKind.PAID_AFTER_END if found.wish:
            return _(
                "%(amount)s was paid after the membership had ended, and the member wants a "
                "refund. We’ll try again.",
                amount=amount,
            )
        case CaseKind.PAID_AFTER_END:
            return _(
                "%(amount)s was paid after the membership had ended. We’ve asked the "
                "member whether to restart it or get a refund.",
                amount=amount,
            )


def drift(found: Drift) -> str:
    """A kind of drift."""
    match found.kind:
        case DriftKind.LEDGER:
            return _("This person’s ledger entries don’t match their record.")
        case DriftKind.RULE:
            return _("The ledger and the rule disagree on whether this person is counted.")
        case DriftKind.STRIPE:
            return _("Stripe and our records disagree about this customer.")
    return _("The number, the ledger’s total and the count of active members don’t match.")


def error(request: SyncRequest) -> str:
    """An error's message, without its exception's name."""
    _name, _colon, sentence = (request.error or "").partition(": ")
    return sentence or request.error or _("The cause is unknown.")


def country(code: str | None) -> str | None:
    """A country's name."""
    return Locale.parse(language()).territories.get(code, code) if code else None


def language_name(code: str) -> str:
    """A language's name."""
    return str(Locale.parse(language()).languages.get(code, code))


def email(kind: str) -> str:
    """An e-mail's kind."""
    return label_of(kind)


def email_state(state: EmailState) -> str:
    """An e-mail's status."""
    match state:
        case EmailState.QUEUED:
            return _("Waiting to be sent")
        case EmailState.SENDING:
            return _("Sending")
        case EmailState.SENT:
            return _("Sent")
        case EmailState.FAILED:
            return _("Sending failed")
        case EmailState.UNKNOWN:
            return _("Possibly sent: the mail server’s answer was lost")
        case EmailState.WITHDRAWN:
            return _("Not sent: no longer needed")
        case EmailState.BOUNCED:
            return _("Bounced")


def breakdown(topic: Topic, key: str) -> str:
    """A row's label in a breakdown of members."""
    if key == "*":
        return _("All others")
    if topic is Topic.COUNTRY:
        return country(key) or _("Unknown")
    if topic is Topic.INTERVAL:
        return {
            "month": _("Monthly"),
            "year": _("Yearly"),
            "week": _("Weekly"),
            "day": _("Daily"),
        }.get(key, _("No interval"))
    if topic is Topic.SOURCE:
        key = {
            "gift": _("Gift"),
            "import": _("Imported"),
            INVITATION: _("Invited by a member"),
        }.get(key) or article(key)
    return key or _("Unknown")


def churn(kind: Churn) -> str:
    """Whether people left by choice."""
    match kind:
        case Churn.VOLUNTARY:
            return _("By choice")
        case Churn.INVOLUNTARY:
            return _("Payment didn’t arrive")


def webhook_fault(error: str) -> str:
    """Why the site's webhook failed."""
    match error:
        case Fault.UNKNOWN:
            return _("We can’t find this site. Check the address.")
        case Fault.PRIVATE:
            return _("This address leads into a private network, so we don’t send anything there.")
        case Fault.UNTRUSTED:
            return _("The site’s certificate isn’t valid.")
        case Fault.SILENT:
            return _("The site isn’t answering.")
    return _("The site answered with status %(status)s instead of 200.", status=error)


def rate(value: Decimal) -> str:
    """An exchange rate, with the decimals as entered."""
    return str(format_decimal(value, format="#,##0.########"))


def month(first: date_type) -> str:
    """Format a month: March 2026."""
    return date(datetime.combine(first, time(12), current_settings().newsroom_timezone), "LLLL y")


def currency(code: str) -> str:
    """A currency's name and code."""
    name = Locale(language()).currencies.get(code)
    return f"{name} ({code})" if name else code


def day(value: date_type) -> str:
    """Format a day: 3 March 2026."""
    return date(datetime.combine(value, time(12), current_settings().newsroom_timezone))


def asked(kind: IntentKind) -> str:
    """What a member, or staff for one, requested at Stripe."""
    return {
        IntentKind.CANCEL: _("Requested: cancel the membership at the end of its period."),
        IntentKind.CANCEL_NOW: _("Requested: end the membership now."),
        IntentKind.RESUME: _("Requested: continue the membership."),
        IntentKind.PAUSE: _("Requested: pause the payments."),
        IntentKind.PRICE: _("Requested: change the payment."),
        IntentKind.REFUND: _("Requested: refund a payment."),
        IntentKind.EMAIL: _("Requested: change the e-mail address."),
        IntentKind.DETAILS: _("Requested: change the name or language."),
        IntentKind.ERASURE: _("Requested: delete the account."),
    }[kind]


def intent_state(intent: Intent) -> str:
    """Why a request isn't done; empty once it is."""
    if intent.is_open:
        return _("Stripe hasn’t confirmed it yet. We’ll keep trying.")
    match intent.refusal:
        case None:
            return ""
        case Refusal.ENDED:
            return _("Not done: it had already ended in Stripe.")
        case Refusal.LATE:
            return _(
                "Not done: Stripe didn’t answer for an hour, and the amounts have changed since."
            )
        case Refusal.TAKEN:
            return _("Not done: the address belongs to another person.")
    return _("Not done: %(reason)s", reason=intent.error)
