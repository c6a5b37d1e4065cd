"""Labels for imported rows: how we read them, and what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundraiser.money import Money, format_exact
from fundraiser.sources.models import BatchState, Outcome
from fundraiser.sources.readings import Why
from fundraiser.texts import gettext as _, language

if TYPE_CHECKING:
    from fundraiser.sources.models import ImportBatch


def why(code: str) -> str:
    """A reason, as a sentence."""
    return _reasons().get(code, code)


def _reasons() -> dict[str, str]:
    return {
        Why.PAID: _("Paid."),
        Why.FREE: _("A free membership: nobody pays."),
        Why.TRIAL: _("A free trial: nothing paid yet."),
        Why.GIFTED: _("A gift from the newsroom: nothing was charged."),
        Why.COMPLIMENTARY: _("A complimentary membership: nobody pays."),
        Why.NEVER_PAID: _("They have never paid."),
        Why.REFUNDED: _("The latest payment was refunded."),
        Why.FRAUD: _("The payment was fraudulent."),
        Why.GUEST: _("A guest of somebody who pays."),
        Why.PENDING: _("The payment hasn’t gone through yet. The next list will show."),
        Why.NOT_ACTIVE: _("The membership is no longer active."),
        Why.NO_PROOF: _("This file doesn’t say who pays."),
        Why.MOVED: _("The subscription has moved to another Stripe account and is counted there."),
        Why.AT_STRIPE: _("Already counted through Stripe."),
        Why.ONE_TIME: _("A one-time payment, not a membership."),
        Why.PARTLY_REFUNDED: _("Part of the payment was refunded. Is this person a member?"),
        Why.UNKNOWN_CHARGE: _(
            "We don’t know whether the latest payment went through. Was it paid?"
        ),
        Why.GIFT: _("A gift: somebody else paid. Do you count it as a membership?"),
        Why.PAST_DUE: _(
            "The latest payment failed, and this file doesn’t say when. Bring the "
            "subscription over from Stripe, or enter the day until which it was paid."
        ),
        Why.DECLINED: _("The latest charge failed. Enter the day until which they’ve paid."),
        Why.NO_END: _("The file doesn’t say until when they’ve paid. Enter the day."),
        Why.NO_INTERVAL: _(
            "The file doesn’t say how often they pay. Enter the day until which they’ve paid."
        ),
        Why.NO_PAYER: _("The payment doesn’t say who paid. Do you know this member?"),
        Why.SHARED_ACCOUNT: _(
            "People with different names pay from this account. Is this a member?"
        ),
        Why.WHICH_MONTH: _(
            "This date can be read in two ways. Choose the order of day and month for this file."
        ),
        Why.WHICH_DECIMAL: _(
            "This amount can be read in two ways. Choose the decimal mark for this file."
        ),
        Why.ERASED: _("This person deleted their account here. Ask them before you add them."),
        Why.BAD_ADDRESS: _("This isn’t an e-mail address."),
        Why.LOOKALIKE_ADDRESS: _(
            "The address has characters of another alphabet that look like Latin ones."
        ),
        Why.NO_ADDRESS: _("The row has neither an e-mail address nor a membership ID."),
        Why.NO_SUCH_DAY: _("There’s no such date."),
        Why.NO_DAY: _("The “Paid until” date is missing."),
        Why.END_IS_OVER: _("Its end date has already passed."),
        Why.NO_AMOUNT: _("The amount is missing."),
        Why.BAD_AMOUNT: _("This isn’t an amount."),
        Why.BAD_CURRENCY: _("This isn’t a currency."),
        Why.ROW_LENGTH: _("The row has more or fewer cells than there are column headings."),
        Why.TOO_LONG: _("A cell in this row is too long."),
        Why.UNKNOWN_STATUS: _("We don’t know this status. Is this person a member?"),
        Why.DELETED: _(
            "They asked for their data to be deleted: we’ve kept nothing from this row."
        ),
        Why.NOT_A_PERSON: _("A line of totals, not a person."),
        Why.NOT_A_PAYMENT: _("Not a payment by a member."),
        Why.MONEY_OUT: _("An outgoing payment."),
        Why.PAYOUT: _("Money from people who are counted through another source."),
        Why.GRACE_OVER: _("Paid until a date that has passed, and the grace period is over too."),
        Why.ENDED: _("Cancelled, and the time they paid for is over."),
        Why.SAME_ROW: _(
            "The same membership is in another row of this file, and that one is used."
        ),
        Why.ABSENT: _("Not on the whole list."),
        Why.NO_ADDRESS_KNOWN: _("No address is given: you may already have this person."),
        Why.SERIAL_DATE: _("The date is a spreadsheet’s number. Check it."),
        Why.HIDDEN_ROW: _("This row is hidden in the workbook."),
        Why.SEAT: _("Paid, but without a customer: perhaps a seat that a group pays for."),
        Why.NOT_CHARGED: _("A payment is due, and nobody has tried to charge it."),
        Why.BY_ITS_TEXT: _("Read as a membership from the text of the payment."),
    }


def outcome(code: Outcome) -> str:
    """A row's outcome, for one or many."""
    return {
        Outcome.NEW: _("New members"),
        Outcome.RENEWED: _("Updated"),
        Outcome.UNCHANGED: _("Unchanged"),
        Outcome.JOINED: _("Added to people you already have"),
        Outcome.GIVEN: _("Complimentary memberships given"),
        Outcome.ENDED: _("Ended"),
        Outcome.ABSENT: _("Not on the whole list, so ended"),
        Outcome.SAME_ROW: _("The same membership twice in the file"),
        Outcome.NOT_COUNTED: _("Not counted"),
        Outcome.HELD: _("Waiting for your decision"),
        Outcome.REFUSED: _("Refused"),
        Outcome.SKIPPED: _("Left out"),
    }[code]


def state(code: BatchState) -> str:
    """A file's state."""
    return {
        BatchState.UPLOADED: _("Uploaded"),
        BatchState.READING: _("Reading"),
        BatchState.PLANNED: _("Ready to check"),
        BatchState.APPLYING: _("Importing"),
        BatchState.APPLIED: _("Imported"),
        BatchState.UNDOING: _("Undoing"),
        BatchState.UNDONE: _("Undone"),
        BatchState.REFUSED: _("Refused"),
        BatchState.DISCARDED: _("Removed"),
    }[code]


def interval(name: str) -> str:
    """How often something is paid."""
    return {
        "month": _("monthly"),
        "year": _("yearly"),
        "week": _("weekly"),
        "day": _("daily"),
    }.get(name, _("how often is unknown"))


def sums(batch: ImportBatch) -> list[tuple[str, str, int]]:
    """What counted people pay: interval, amount, and how many they are."""
    found = []
    for key, (count, amount) in sorted(batch.sums.items()):
        currency, _space, name = key.partition(" ")
        words = format_exact(Money(amount, currency), language()) if amount else _("unknown")
        found.append((interval(name), words, count))
    return found


def results(batch: ImportBatch) -> list[tuple[Outcome, str, int]]:
    """The number of rows for each outcome, in display order."""
    return [
        (one, outcome(one), batch.counts[one.value])
        for one in Outcome
        if batch.counts.get(one.value)
    ]
