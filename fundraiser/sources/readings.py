"""The common result of parsing: what a file's row says about a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fundraiser.addresses import read_address
from fundraiser.members.models import UNKNOWN_AMOUNT, Interval, fold_address
from fundraiser.money import decimals, parse_amount
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

LONGEST_TEXT = 200  # characters of a name or of a key
_LARGEST = Decimal(10) ** 12
# Nobody pays ten years ahead: such an end was set by whoever gave the membership away.
TOO_FAR = timedelta(days=10 * 366)


class Says(StrEnum):
    """What a row proves.

    ``paid``: something was paid, until a day that the rule judges. ``not_paying``: nothing was.
    ``gives``: a complimentary membership. ``ask``: staff must decide. ``refused``: unreadable.
    ``skipped``: no person.
    """

    PAID = "paid"
    NOT_PAYING = "not_paying"
    GIVES = "gives"
    ASK = "ask"
    REFUSED = "refused"
    SKIPPED = "skipped"


class Why(StrEnum):
    """Why we read a row this way, or why staff should check it; ``labels`` has the sentences."""

    PAID = "paid"
    # nothing was paid
    FREE = "free"
    TRIAL = "trial"
    GIFTED = "gifted"
    COMPLIMENTARY = "complimentary"
    NEVER_PAID = "never_paid"
    REFUNDED = "refunded"
    FRAUD = "fraud"
    GUEST = "guest"
    PENDING = "pending"
    NOT_ACTIVE = "not_active"
    NO_PROOF = "no_proof"
    MOVED = "moved"
    AT_STRIPE = "at_stripe"
    ONE_TIME = "one_time"
    # only a person can say
    PARTLY_REFUNDED = "partly_refunded"
    UNKNOWN_CHARGE = "unknown_charge"
    GIFT = "gift"
    PAST_DUE = "past_due"
    DECLINED = "declined"
    NO_END = "no_end"
    NO_INTERVAL = "no_interval"
    NO_PAYER = "no_payer"
    SHARED_ACCOUNT = "shared_account"
    WHICH_MONTH = "which_month"
    WHICH_DECIMAL = "which_decimal"
    ERASED = "erased"
    # it can't be read
    BAD_ADDRESS = "bad_address"
    LOOKALIKE_ADDRESS = "lookalike_address"
    NO_ADDRESS = "no_address"
    NO_SUCH_DAY = "no_such_day"
    NO_DAY = "no_day"
    END_IS_OVER = "end_is_over"
    NO_AMOUNT = "no_amount"
    BAD_AMOUNT = "bad_amount"
    BAD_CURRENCY = "bad_currency"
    ROW_LENGTH = "row_length"
    TOO_LONG = "too_long"
    UNKNOWN_STATUS = "unknown_status"
    # it's nobody
    DELETED = "deleted"
    NOT_A_PERSON = "not_a_person"
    NOT_A_PAYMENT = "not_a_payment"
    MONEY_OUT = "money_out"
    PAYOUT = "payout"
    # what the plan finds
    GRACE_OVER = "grace_over"
    ENDED = "ended"
    SAME_ROW = "same_row"
    ABSENT = "absent"
    # counted, and to be looked at
    NO_ADDRESS_KNOWN = "no_address_known"
    SERIAL_DATE = "serial_date"
    HIDDEN_ROW = "hidden_row"
    SEAT = "seat"
    NOT_CHARGED = "not_charged"
    BY_ITS_TEXT = "by_its_text"


class RowError(Exception):
    """A row is unusable; ``says`` is its outcome."""

    def __init__(self, why: Why, says: Says = Says.REFUSED) -> None:
        super().__init__(why)
        self.why, self.says = why, says


class FileRefusedError(Exception):
    """A whole file is unusable; the message says why and what to do."""


@dataclass(slots=True)
class Options:
    """How to read a file; None means automatic.

    ``columns`` maps our fields to headings. ``as_of`` is the list's date. ``annual`` says whether a
    yearly payer's amount is for a ``year`` or a ``month``. ``paid_until`` is the day until which
    members have paid for whom the file gives none, and ``prices`` what they pay by interval
    (``{"month": "5.00"}``) if it has no amounts.
    """

    encoding: str | None = None
    delimiter: str | None = None
    date_order: str | None = None
    decimal: str | None = None
    sheet: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    as_of: str | None = None
    currency: str | None = None
    annual: str = "year"
    paid_until: str | None = None
    prices: dict[str, str] = field(default_factory=dict)
    whole_list: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Options:
        return cls(**{name: kept[name] for name in cls.__dataclass_fields__ if name in kept})


@dataclass(frozen=True, slots=True)
class Context:
    """What a format needs besides the file: the newsroom's time zone and currency, and the date.

    ``at`` is now; ``list_at`` is the list's date, if known before reading.
    """

    zone: ZoneInfo
    currency: str
    at: datetime
    list_at: datetime
    options: Options

    def end_of(self, day: date) -> datetime:
        """The end of this day in the newsroom's time zone."""
        return datetime.combine(day + timedelta(days=1), time(), self.zone).astimezone(UTC)

    def start_of(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def until(self, moment: date | datetime) -> datetime:
        """A time as an end: a day without a time lasts until its end."""
        return self._aware(moment) if isinstance(moment, datetime) else self.end_of(moment)

    def since(self, moment: date | datetime) -> datetime:
        """A time as a start."""
        return self._aware(moment) if isinstance(moment, datetime) else self.start_of(moment)

    @staticmethod
    def _aware(moment: datetime) -> datetime:
        """Treat times without a zone as UTC, as the systems we know write them."""
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(slots=True)
class Reading:
    """One row, or one payer's combined rows, in the form that the rule judges.

    ``row`` is the row's number, from 1 below the headings (in a workbook, the sheet's own), and
    ``lines`` how many rows it combines. ``key`` is the membership's ID at its source. ``amount`` is
    in the currency's smallest unit. ``counts_until`` is the end of the paid time, ``cancel_at`` an
    end chosen by the person. ``looks`` are reasons for staff to check a row that is counted anyway.
    ``cells`` are the file's own.
    """

    row: int
    says: Says = Says.PAID
    why: Why = Why.PAID
    key: str | None = None
    email: str | None = None
    address: str | None = None
    name: str | None = None
    amount: int = 0
    currency: str = ""
    interval: Interval | None = None
    interval_count: int = 1
    card_last4: str | None = None
    started_at: datetime | None = None
    counts_until: datetime | None = None
    cancel_at: datetime | None = None
    refunded_at: datetime | None = None
    looks: list[str] = field(default_factory=list)
    cells: list[Any] = field(default_factory=list)
    lines: int = 1

    def set_email(self, typed: str) -> None:
        """Parse the address.

        Raises:
            RowError: it is invalid, or a lookalike.
        """
        cleaned = typed.replace("\xa0", " ").strip()
        if not cleaned:
            return
        address = read_address(cleaned)
        if address is None:
            raise RowError(Why.BAD_ADDRESS)
        if not address.isascii():
            # A Cyrillic letter in a Latin word passes for the letter that it resembles.
            raise RowError(Why.LOOKALIKE_ADDRESS)
        self.email, self.address = address, fold_address(address)

    def set_card(self, written: object) -> None:
        """Set the last four digits of the card; ignores anything else."""
        digits = str(written or "").strip()[-4:]
        if len(digits) == 4 and digits.isascii() and digits.isdecimal():  # noqa: PLR2004 - they are four
            self.card_last4 = digits

    def set_amount(self, amount: Decimal, currency: str) -> None:
        """Set an amount in the currency's smallest unit.

        Raises:
            RowError: it is no amount of a currency.
        """
        code = currency.strip().upper()
        if len(code) != 3 or not code.isascii() or not code.isalpha():  # noqa: PLR2004 - ISO 4217
            raise RowError(Why.BAD_CURRENCY)
        if not amount.is_finite() or abs(amount) > _LARGEST:
            raise RowError(Why.BAD_AMOUNT)
        self.amount = max(int((amount.scaleb(decimals(code))).to_integral_value()), 0)
        self.currency = code

    def set_price(self, context: Context) -> None:
        """Set the amount from the interval's price, since the file has none.

        Raises:
            FileRefusedError: the price is no amount.
        """
        self.currency = (context.options.currency or context.currency).upper()
        price = context.options.prices.get(self.interval.value if self.interval else "")
        amount = parse_amount(price, self.currency) if price else UNKNOWN_AMOUNT
        if not amount:
            raise FileRefusedError(
                _("“%(price)s” isn’t a price. Write it like 5.00.", price=(price or "")[:40])
            )
        self.amount = amount

    def is_not_paying(self, why: Why) -> Reading:
        self.says, self.why = Says.NOT_PAYING, why
        return self

    def ask(self, why: Why) -> Reading:
        self.says, self.why = Says.ASK, why
        return self

    def skip(self, why: Why) -> Reading:
        self.says, self.why = Says.SKIPPED, why
        return self


def add_interval(at: date | datetime, interval: Interval, count: int = 1) -> date | datetime:
    """The same day some intervals later; the month's last day if there is no such day."""
    if interval in {Interval.DAY, Interval.WEEK}:
        return at + timedelta(days=count * (7 if interval is Interval.WEEK else 1))
    months = at.month - 1 + count * (12 if interval is Interval.YEAR else 1)
    year, month = at.year + months // 12, months % 12 + 1
    for day in (at.day, 30, 29, 28):
        try:
            return at.replace(year=year, month=month, day=min(day, at.day))
        except ValueError:
            continue
    raise AssertionError


def next_anniversary(began: date, interval: Interval, after: date) -> date:
    """The first renewal after a day, for a membership that started then."""
    count = 1
    if interval is Interval.YEAR:
        count = max(after.year - began.year, 1)
    elif interval is Interval.MONTH:
        count = max((after.year - began.year) * 12 + after.month - began.month, 1)
    while (found := add_interval(began, interval, count)) <= after:
        count += 1
    return found
