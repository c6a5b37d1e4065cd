"""People who join and then change their minds, faster than Stripe can tell of it."""

from __future__ import annotations

import heapq
import threading
import time
import traceback
import uuid
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from chaos.changes import (
    FAILING_CARD,
    GOOD_CARD,
    Turn,
    cancel,
    change,
    change_price,
)
from fundraiser.payments.queue import MERGE
from fundraiser.payments.stripe.gateway import CHECKOUT_KEY
from simulator.core import billing, payments
from simulator.core.cards import IBAN_FAILS, IBAN_SUCCEEDS
from simulator.core.clock import Clock
from simulator.core.due import DAY
from simulator.core.events import emit
from simulator.core.faults import Faults
from simulator.core.objects import build_card, build_customer, build_debit, new_id
from simulator.core.store import Store
from simulator.core.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.service import Service
    from simulator.core.shapes import Object

DUPLICATED, LOST = 0.30, 0.05
_SHUFFLED_OVER = 3.0  # seconds: each delivery leaves at any moment of them
_TOGETHER = 300  # people at least who are in the middle of their changes
_BETWEEN = 4.0  # seconds at most between two changes of one of so many
_LOOK_EVERY = 0.5  # seconds between two looks at how far the service is behind
# The last changes of one person, in seconds: each comes while the one before is being looked at,
# which begins when the events of a moment have been merged.
_LOOKED_AT = MERGE.total_seconds() + 0.4
_IN_A_ROW = (0.0, _LOOKED_AT, 2 * _LOOKED_AT)
_NEXT_AFTER = 0.5  # seconds from one person's last changes to the next one's
_PATIENCE = 20  # looks that find it too far behind, before some changes are made all the same


class Post(Faults):
    """How the events of the load are delivered; decided here, by the run's own seed.

    ``only`` is what becomes of each event instead, where it is set.
    """

    def __init__(self, store: Store, random: Random) -> None:
        super().__init__(store)
        self.random = random
        self.lost = LOST
        self.only: list[float | None] = []
        self.counts: Counter[str] = Counter()

    def deliveries(self) -> list[float | None]:
        self.counts["events"] += 1
        if self.only:
            self.counts["never delivered"] += self.only == [None]
            return self.only
        if self.random.random() < self.lost:
            self.counts["never delivered"] += 1
            return [None]
        copies = 1
        if self.random.random() < DUPLICATED:
            copies = self.random.choices((2, 3, 4), (80, 15, 5))[0]
            self.counts["delivered twice or more"] += 1
        return [self.random.uniform(0, _SHUFFLED_OVER) for _ in range(copies)]


@dataclass
class Load:
    """Makes the changes in a thread of its own; ``share_done`` says how far it is (0 to 1)."""

    service: Service
    people: int
    changes_each: int
    seed: int
    most_behind: int
    behind: Callable[[], int]
    made: Counter[str] = field(default_factory=Counter)
    last_change: dict[str, float] = field(default_factory=dict)
    share_done: float = 0.0
    error: str | None = None

    def __post_init__(self) -> None:
        self.random = Random(f"load {self.seed}")  # noqa: S311 - a fault must be repeatable
        store = Store(self.service.settings.store)
        self.post = Post(store, Random(f"post {self.seed}"))  # noqa: S311 - the same
        self.world = World(
            store=store,
            clock=Clock(store),
            faults=self.post,
            base_url=self.service.settings.url_of("simulator"),
            webhook_url=f"{self.service.settings.app_url}/webhooks/stripe",
            webhook_secret=self.service.settings.secrets["webhook_secret"],
        )
        self.prices = [price for price in store.find("price") if price["recurring"]]
        self.addresses: list[str] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Let the people join and make their changes."""
        self._begin(lambda: self.live(range(self.people), most_behind=self.most_behind))

    def start_last_changes(self, most: int) -> None:
        """Changes after which nobody hears of these people again; begin when all is still.

        So many change three times in a row, each time while the change before is being looked at:
        only the customer's lock keeps an older look from overwriting a newer. As many are ended,
        and no event says so: only a look through Stripe's own list can find them.
        """
        self._begin(lambda: self._change_last(most))

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(30)
        self.world.store.close()

    @property
    def is_over(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def _begin(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - the main thread ends the run with it
                self.error = traceback.format_exc()

        self._thread = threading.Thread(target=run, name="load", daemon=True)
        self._thread.start()

    def live(self, numbers: range, *, most_behind: int | None) -> None:
        """Let these people join and make their changes, a few of each at a time.

        It slows down while the service is more than ``most_behind`` events and customers behind,
        and goes on all the same: Stripe does not wait either.
        """
        waiting = list(reversed(numbers))
        # When somebody changes next: (moment, number, customer, changes left).
        agenda: list[tuple[float, int, str, int]] = []
        # The more at a time, the longer each waits: the load's pace is the same, and a run of many
        # people leaves the service time to see one of them between two changes.
        together = max(_TOGETHER, len(numbers) // 25)
        between = _BETWEEN * together / _TOGETHER
        steps = len(numbers) * (self.changes_each + 1)
        looked, done, waited = 0.0, 0, 0
        while (waiting or agenda) and not self._stop.is_set():
            now = time.monotonic()
            if now - looked > _LOOK_EVERY:
                looked = now
                if most_behind is not None and self.behind() > most_behind:
                    waited += 1
                    if waited % _PATIENCE:
                        time.sleep(_LOOK_EVERY)
                        continue
            if agenda and agenda[0][0] <= now:
                _, number, customer, left = heapq.heappop(agenda)
                self._change(customer)
                left -= 1
            elif waiting and len(agenda) < together:
                number = waiting.pop()
                customer, left = self._join(number), self.changes_each
            else:
                time.sleep(0.005)
                continue
            done += 1
            if left:
                moment = now + self.random.uniform(0, between)
                heapq.heappush(agenda, (moment, number, customer, left))
            self.share_done = done / steps

    def _join(self, number: int) -> str:
        world, random = self.world, self.random
        # Some have been members for weeks when the run begins: their period ends in it.
        at = world.now() - random.choices((0, 20 * DAY), (90, 10))[0]
        address = f"reader-{number}@example.org"
        if self.addresses and random.random() < 0.05:  # noqa: PLR2004 - one in twenty joins twice
            address = random.choice(self.addresses).swapcase()
        kind = random.choices(("card", "declined", "debit", "trial"), (86, 4, 7, 3))[0]
        with world.store.transaction():
            customer = build_customer(
                id=new_id("customer"), email=address, created=at, name=f"Reader {number}"
            )
            method = self._method(kind, customer["id"], at)
            customer = world.store.put(
                build_customer(
                    id=customer["id"],
                    email=address,
                    created=at,
                    name=f"Reader {number}",
                    payment_method=method["id"],
                )
            )
            emit(world, "customer.created", customer, at)
            billing.start(
                world,
                customer=customer,
                price=random.choice(self.prices),
                method=method,
                outcome=payments.judge(method),
                at=at,
                metadata={CHECKOUT_KEY: checkout_of(self.seed, number).hex},
                trial_end=at + 7 * DAY if kind == "trial" else None,
            )
        self.addresses.append(address)
        self.made[f"join ({kind})"] += 1
        self.last_change[customer["id"]] = time.time()
        return str(customer["id"])

    def _method(self, kind: str, customer: str, at: int) -> Object:
        if kind == "debit":
            iban = self.random.choice((IBAN_SUCCEEDS, IBAN_FAILS))
            built = build_debit(
                id=new_id("payment_method"), customer=customer, created=at, iban=iban
            )
        else:
            number = FAILING_CARD if kind == "declined" else GOOD_CARD
            built = build_card(
                id=new_id("payment_method"), customer=customer, created=at, number=number
            )
        return self.world.store.put(built)

    def _change(self, customer_id: str, only: Callable[[Turn], bool] | None = None) -> None:
        store = self.world.store
        with store.transaction():
            customer = store.get(customer_id)
            if customer is None:
                self.made["nothing (the customer was deleted)"] += 1
                return
            subscription = store.find("subscription", where={"customer": customer_id}, limit=1)[0]
            turn = Turn(
                self.world, self.random, customer, subscription, self.prices, self.addresses
            )
            name = change(turn) if only is None else f"last: {only.__name__}"
            if only:
                only(turn)
        self.made[name.replace("_", " ")] += 1
        self.last_change[customer_id] = time.time()

    def _change_last(self, most: int) -> None:
        paying = self._paying()
        self.random.shuffle(paying)
        number = min(most, len(paying) // 2)
        in_a_row, unheard = paying[:number], paying[number : 2 * number]
        began = time.monotonic()
        self.post.only = [0.0]
        for moment, customer in sorted(
            (place * _NEXT_AFTER + later, customer)
            for place, customer in enumerate(in_a_row)
            for later in _IN_A_ROW
        ):
            self._stop.wait(max(0.0, began + moment - time.monotonic()))
            self._change(customer, change_price)
        self.post.only = [None]
        for customer in unheard:
            self._change(customer, cancel)
        self.post.only = []

    def _paying(self) -> list[str]:
        """The customers whose newest subscription is active and not paused."""
        newest: dict[str, Object] = {}
        for found in self.world.store.find("subscription"):
            newest.setdefault(found["customer"], found)
        return [
            customer
            for customer, found in newest.items()
            if found["status"] == "active" and not found["pause_collection"]
        ]


def checkout_of(seed: int, number: int) -> uuid.UUID:
    """Our own name of the Checkout through which this person joined."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {number}")
