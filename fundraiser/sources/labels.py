"""What staff read of a row: why it is read as it is, and what becomes of it."""

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
        Why.FREE: _("A free membership: nothing is paid."),
        Why.TRIAL: _("A free trial: nothing has been paid yet."),
        Why.GIFTED: _("Given by the newsroom: nothing was charged."),
        Why.COMPLIMENTARY: _("A complimentary membership: nothing is paid."),
        Why.NEVER_PAID: _("Nothing has ever been paid."),
        Why.REFUNDED: _("The latest payment was refunded."),
        Why.FRAUD: _("The payment was fraudulent."),
        Why.GUEST: _("A guest of somebody who pays."),
        Why.PENDING: _("The payment hasn’t gone through yet. The next list will tell."),
        Why.NOT_ACTIVE: _("The membership isn’t active any more."),
        Why.NO_PROOF: _("This file doesn’t say who pays."),
        Why.MOVED: _("The subscription moved to another Stripe account, and is counted there."),
        Why.AT_STRIPE: _("Already counted through Stripe."),
        Why.ONE_TIME: _("A single payment, and no membership."),
        Why.PARTLY_REFUNDED: _("A part was refunded. Is this person a member?"),
        Why.UNKNOWN_CHARGE: _("We don’t know what became of the latest payment. Is it paid?"),
        Why.GIFT: _("A gift: somebody else paid. Do you count it as a membership?"),
        Why.PAST_DUE: _(
            "The latest payment failed, and this file doesn’t say when. Bring the subscription in "
            "from Stripe, or say until when it was paid."
        ),
        Why.NO_END: _("The file doesn’t say until when it’s paid. Enter the day."),
        Why.NO_INTERVAL: _("The file doesn’t say how often is paid. Enter until when it’s paid."),
        Why.NO_PAYER: _("The payment doesn’t say who paid. Do you know this member?"),
        Why.WHICH_MONTH: _(
            "The day can be read in two ways. Choose the order of day and month for this file."
        ),
        Why.WHICH_DECIMAL: _(
            "The amount can be read in two ways. Choose the decimal mark for this file."
        ),
        Why.ERASED: _("This person had their account deleted here. Ask them before you add them."),
        Why.BAD_ADDRESS: _("This is no e-mail address."),
        Why.LOOKALIKE_ADDRESS: _(
            "The address has letters of another alphabet that look like Latin ones."
        ),
        Why.NO_ADDRESS: _("The row has neither an e-mail address nor a number of the member."),
        Why.NO_SUCH_DAY: _("There is no such day."),
        Why.NO_DAY: _("The day until which it’s paid is missing."),
        Why.END_IS_OVER: _("The day on which it would end is over."),
        Why.NO_AMOUNT: _("The amount is missing."),
        Why.BAD_AMOUNT: _("This is no amount."),
        Why.BAD_CURRENCY: _("This is no currency."),
        Why.ROW_LENGTH: _("The row has more or fewer cells than there are headings."),
        Why.TOO_LONG: _("A cell of this row is too long."),
        Why.UNKNOWN_STATUS: _("We don’t know this status. Is this person a member?"),
        Why.DELETED: _("They asked to be forgotten: nothing of the row is kept."),
        Why.NOT_A_PERSON: _("A line of totals, and nobody."),
        Why.NOT_A_PAYMENT: _("No payment by a member."),
        Why.MONEY_OUT: _("Money that went out."),
        Why.PAYOUT: _("Money of people who are counted elsewhere."),
        Why.GRACE_OVER: _("Paid until a day that is over, and so is the grace period."),
        Why.ENDED: _("Cancelled, and what was paid for is over."),
        Why.SAME_ROW: _("Another row of this file is the same membership, and holds."),
        Why.ABSENT: _("Missing from the whole list."),
        Why.NO_ADDRESS_KNOWN: _("No address is given: this may be somebody you have already."),
        Why.SERIAL_DATE: _("The day is a spreadsheet’s number. Check it."),
        Why.HIDDEN_ROW: _("The row is hidden in the workbook."),
        Why.SEAT: _("Paid without a customer: perhaps a seat that a group pays for."),
        Why.NOT_CHARGED: _("Due since, and nobody tried to charge it."),
        Why.BY_ITS_TEXT: _("Taken for a membership by the text of the payment."),
    }


def outcome(code: Outcome) -> str:
    """What becomes of a row, for one or many."""
    return {
        Outcome.NEW: _("New members"),
        Outcome.RENEWED: _("Updated"),
        Outcome.UNCHANGED: _("Unchanged"),
        Outcome.JOINED: _("Joined to people you have already"),
        Outcome.GIVEN: _("Complimentary memberships given"),
        Outcome.ENDED: _("Ended"),
        Outcome.ABSENT: _("Missing from the whole list, and ended"),
        Outcome.SAME_ROW: _("The same membership twice in the file"),
        Outcome.NOT_COUNTED: _("Not counted"),
        Outcome.HELD: _("For you to decide"),
        Outcome.REFUSED: _("Refused"),
        Outcome.SKIPPED: _("Left out"),
    }[code]


def state(code: BatchState) -> str:
    """Where a file is on its way."""
    return {
        BatchState.UPLOADED: _("Uploaded"),
        BatchState.READING: _("Being read"),
        BatchState.PLANNED: _("Ready to look at"),
        BatchState.APPLYING: _("Being applied"),
        BatchState.APPLIED: _("Applied"),
        BatchState.UNDOING: _("Being undone"),
        BatchState.UNDONE: _("Undone"),
        BatchState.REFUSED: _("Refused"),
        BatchState.DISCARDED: _("Discarded"),
    }[code]


def interval(name: str) -> str:
    """How often something is paid."""
    return {
        "month": _("monthly"),
        "year": _("yearly"),
        "week": _("weekly"),
        "day": _("daily"),
    }.get(name, _("no interval given"))


def sums(batch: ImportBatch) -> list[tuple[str, str, int]]:
    """What the people who count pay: how often, the amount, and how many they are."""
    found = []
    for key, (count, amount) in sorted(batch.sums.items()):
        currency, _space, name = key.partition(" ")
        found.append((interval(name), format_exact(Money(amount, currency), language()), count))
    return found


def results(batch: ImportBatch) -> list[tuple[Outcome, str, int]]:
    """How many rows have each outcome, in the order in which staff read them."""
    return [
        (one, outcome(one), batch.counts[one.value])
        for one in Outcome
        if batch.counts.get(one.value)
    ]
