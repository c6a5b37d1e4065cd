"""The simulator's balance: what moves it, and the payouts that empty it, to the cent."""

from typing import Any

from tests.simulator_parts import IBAN_SUCCEEDS, Simulator

MANY: Any = {"limit": 100}


def moved_by(simulator: Simulator, source: str) -> list[tuple[str, str, int, int, int]]:
    """What an object did to the balance, the first of it first."""
    found = simulator.client.v1.balance_transactions.list(params={"source": source}).data
    return [(one.type, one.reporting_category, one.amount, one.fee, one.net) for one in found[::-1]]


def in_the_balance(simulator: Simulator) -> dict[str, int]:
    """All that Stripe holds, by currency."""
    found = simulator.client.v1.balance.retrieve()
    sums: dict[str, int] = {}
    for parts in (found.available, found.pending):
        for part in parts:
            sums[part.currency] = sums.get(part.currency, 0) + part.amount
    return sums


def test_each_thing_that_moves_money_says_so_and_payouts_contain_it_to_the_cent(
    simulator: Simulator,
) -> None:
    kept, refunded, disputed, won = (simulator.subscribe() for _ in range(4))
    debit = simulator.subscribe(method="sepa_debit", iban=IBAN_SUCCEEDS)
    charge = [simulator.charges(one)[0].id for one in (kept, refunded, disputed, won)]
    simulator.client.v1.refunds.create(params={"charge": charge[1], "amount": 200})
    lost = simulator.control("disputes", charge=charge[2])["id"]
    back = simulator.control("disputes", charge=charge[3])["id"]
    simulator.control("disputes", dispute=lost, outcome="lost")
    simulator.control("disputes", dispute=back, outcome="won")
    simulator.control("fees", amount=120, currency="eur")
    simulator.advance(days=3.5)  # the debit settles, and what is available is paid out

    assert moved_by(simulator, charge[0]) == [("charge", "charge", 500, 33, 467)]
    assert moved_by(simulator, lost) == [("adjustment", "dispute", -500, 2000, -2500)]
    assert moved_by(simulator, back)[1] == ("adjustment", "dispute_reversal", 500, 0, 500)
    settled = simulator.charges(debit)[0].id
    assert moved_by(simulator, settled) == [("payment", "charge", 500, 35, 465)]

    # The disputes cost more than came in, so that nothing was paid out yet.
    assert simulator.client.v1.payouts.list(params=MANY).data == []
    for _ in range(9):
        simulator.subscribe()
    simulator.advance(days=6)
    payouts = simulator.client.v1.payouts.list(params=MANY).data
    assert [(one.status, one.automatic) for one in payouts] == [("paid", True)] * len(payouts)
    everything = simulator.client.v1.balance_transactions.list(params=MANY)
    rows = list(everything.auto_paging_iter())
    for payout in payouts:
        listed: Any = {"payout": payout.id, "limit": 100}
        inside = simulator.client.v1.balance_transactions.list(params=listed).data
        assert sum(one.net for one in inside) == 0  # the payout itself is among them
        assert sum(one.net for one in inside if one.type != "payout") == payout.amount
    assert sum(one.net for one in rows) == in_the_balance(simulator).get("eur", 0)

    failed = simulator.control("payouts", payout=payouts[0].id)
    assert failed["status"] == "failed"
    again = in_the_balance(simulator)["eur"]
    assert again == sum(one.net for one in rows) + payouts[0].amount
    assert {"payout.created", "payout.paid", "payout.failed"} <= set(simulator.types())
