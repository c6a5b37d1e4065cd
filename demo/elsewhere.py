"""Members who pay elsewhere: a list from Patreon and one of bank transfers, brought in as files."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from demo.people import Person, make_person
from fundraiser.app import FundraiserApp
from fundraiser.config import current_settings
from fundraiser.sources import batches
from fundraiser.sources.overview import refresh
from fundraiser.sources.readings import Options

ONE_IN = 40  # of all members pays elsewhere and not here
BY_BANK = 4  # one in so many of these
IN_BOTH = 5  # one in so many of a list pays here too
LATE, LEAVING, YEARLY = 25, 20, 9  # one in so many is overdue, has cancelled, pays by the year
BANK = "bank-transfer"
PATREON_COLUMNS = (
    *("Name", "Email", "Patron Status", "Free Member", "Free Trial", "Lifetime Amount"),
    *("Pledge Amount", "Charge Frequency", "Patronage Since Date", "Last Charge Date"),
    *("Last Charge Status", "Access Expiration", "Next Charge Date", "Currency", "User ID"),
    "Last Updated",
)
BANK_COLUMNS = ("Name", "E-mail", "Amount", "Currency", "Every", "Paid until", "Member since")
TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Share:
    """How many people pay by each list and not here."""

    patreon: int
    bank: int

    @property
    def people(self) -> int:
        return self.patreon + self.bank


def share_of(members: int) -> Share:
    """How many of so many members pay elsewhere and not here."""
    elsewhere = members // ONE_IN
    bank = elsewhere // BY_BANK
    return Share(elsewhere - bank, bank)


def bring_in(app: FundraiserApp, share: Share, here: Iterable[Person], at: datetime) -> None:
    """Bring both lists in; ``here`` are people who pay here, of whom some pay there too."""
    random, both = Random(18), iter(here)  # noqa: S311 - the same newsroom each time
    with app.app_context():
        grace = current_settings().grace
        for name, content, source in (
            (
                f"{at:%Y%m%d}-members-123456-The Northern Ledger.csv",
                patreon_list(random, share.patreon, both, at),
                None,
            ),
            ("transfers.csv", bank_list(random, share.bank, both, at), BANK),
        ):
            upload = batches.Upload(io.BytesIO(content), name, source=source)
            with app.database.transaction() as session:
                batch = batches.begin(session, upload, Options(as_of=at.isoformat()))
                batches.read_and_plan(session, batch, upload.content, grace)
                batches.confirm(session, batch, grace)
                if source:
                    batches.find_source(session, batch).label = "Bank transfer"
                number = batch.id
            while batches.step(app.database, number, grace):
                pass
        with app.database.transaction() as session:
            refresh(session, grace)
    app.database.dispose()


def patreon_list(random: Random, count: int, here: Iterable[Person], at: datetime) -> bytes:
    """Patreon's export: ``count`` people who are counted and unknown, and some who pay here too."""
    rows = []
    for number, person in enumerate(_people(random, count, here, 200_000)):
        amount = random.choice(("3.00", "5.00", "5.00", "10.00"))
        is_yearly, due = number % YEARLY == 1, at + timedelta(days=random.randint(9, 29))
        since = at - timedelta(days=random.randint(40, 700))
        months = max((at - since).days // 30, 1)
        charged = due - timedelta(days=30)
        status, ends, following = "Active patron", "", due
        if number % LATE == 0 and number:
            status, charged, following = "Declined patron", at - timedelta(days=1), charged
        elif number % LEAVING == 1:
            ends = f"{due:{TIME}}"
        rows.append(
            (
                person.name,
                person.email,
                status,
                "No",
                "No",
                f"{float(amount) * months:.2f}",
                f"{float(amount) * 10:.2f}" if is_yearly else amount,
                "annual" if is_yearly else "monthly",
                f"{since:{TIME}}",
                f"{charged:{TIME}}",
                "Declined" if status.startswith("Declined") else "Paid",
                ends,
                "" if ends else f"{following:{TIME}}",
                "USD",
                70_000_000 + number,
                f"{at:{TIME}}",
            )
        )
    for number in range(count // 3):  # who only follows for free
        person = make_person(random, 230_000 + number)
        nothing = ("", "Yes", "No", "0.00", "0.00", "", "", "", "", "", "", "USD")
        rows.append((person.name, person.email, *nothing, 71_000_000 + number, f"{at:{TIME}}"))
    return _written(PATREON_COLUMNS, rows)


def bank_list(random: Random, count: int, here: Iterable[Person], at: datetime) -> bytes:
    """The newsroom's own list of standing orders."""
    rows = []
    for number, person in enumerate(_people(random, count, here, 250_000)):
        is_yearly = number % 3 == 0
        until = at + timedelta(days=random.randint(40, 300) if is_yearly else random.randint(9, 29))
        since = at - timedelta(days=random.randint(60, 1500))
        rows.append(
            (
                person.name,
                person.email,
                "60.00" if is_yearly else "5.00",
                person.currency,
                "yearly" if is_yearly else "monthly",
                f"{until:%Y-%m-%d}",
                f"{since:%Y-%m-%d}",
            )
        )
    return _written(BANK_COLUMNS, rows)


def _people(random: Random, count: int, here: Iterable[Person], first: int) -> Iterable[Person]:
    """So many new people, and for each five of them one who pays here."""
    known = iter(here)
    for number in range(count):
        yield make_person(random, first + number)
        if number % IN_BOTH == 0:
            yield next(known)


def _written(columns: Iterable[object], rows: Iterable[Iterable[object]]) -> bytes:
    page = io.StringIO()
    writer = csv.writer(page)
    writer.writerow(columns)
    writer.writerows(rows)
    return page.getvalue().encode()
