"""Disputes, and inquiries that may precede them.

An inquiry (`warning_needs_response`) moves no money, and the charge can be refunded. The bank
closes it, or escalates it to a dispute (`needs_response`), which withdraws the money until it is
won or lost.
"""

from typing import Any, Literal

from simulator.core.balance import DISPUTE_FEES, enter, shown
from simulator.core.errors import refused
from simulator.core.events import emit, update
from simulator.core.objects import new_id
from simulator.core.shapes import Object
from simulator.core.world import World

Outcome = Literal["won", "lost", "warning_closed"]
ENDED = {"won", "lost", "warning_closed"}
# Banks ask first about these; a bank debit is disputed without a question.
WITH_INQUIRIES = {"card", "link", "paypal"}
ANSWER_WITHIN = 9 * 86400


def open_dispute(
    world: World, charge: Object, at: int, reason: str = "fraudulent", *, inquiry: bool = False
) -> Object:
    """Open a dispute of the charge, or an `inquiry`."""
    if charge["disputed"] or charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} cannot be disputed (again).")
    kind = charge["payment_method_details"]["type"]
    if inquiry and kind not in WITH_INQUIRIES:
        raise refused(f"A payment by {kind} is disputed without an inquiry.")
    asks = inquiry and world.on("inquiries")
    made = world.store.put(
        {
            "id": new_id("dispute"),
            "object": "dispute",
            "created": at,
            "amount": charge["amount"],
            "charge": charge["id"],
            "currency": charge["currency"],
            "evidence_details": {
                "due_by": at + ANSWER_WITHIN,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": asks,
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "warning_needs_response" if asks else "needs_response",
            **_details(charge, "inquiry" if asks else "chargeback"),
        }
    )
    world.store.put({**charge, "disputed": True, "_disputed_at": None})
    if not asks:
        made = world.store.put(_withdrawn(world, made, at))
    emit(world, "charge.dispute.created", made, at)
    if not asks:
        emit(world, "charge.dispute.funds_withdrawn", made, at)
    return made


def _details(charge: Object, case: str) -> Object:
    card = charge["payment_method_details"].get("card")
    if card is None:
        return {}
    told = {"brand": card["brand"], "network": card["brand"], "network_reason_code": "10.4"}
    told["case_type"] = case
    return {"payment_method_details": {"card": told, "type": "card"}}


def _withdrawn(world: World, dispute: Object, at: int) -> Object:
    """The dispute with its amount and fee withdrawn; not yet stored."""
    entry = enter(
        world,
        "dispute",
        source=dispute["id"],
        amount=-dispute["amount"],
        currency=dispute["currency"],
        at=at,
        fee=DISPUTE_FEES.get(dispute["currency"], DISPUTE_FEES["eur"]),
        description=f"Chargeback withdrawal for {dispute['charge']}",
    )
    return {**dispute, "balance_transactions": [shown(world, entry)]}


def escalate(world: World, dispute: Object, at: int) -> Object:
    """Turn an inquiry into a dispute, and withdraw the money."""
    if not dispute["status"].startswith("warning") or dispute["status"] in ENDED:
        raise refused(f"Dispute {dispute['id']} is {dispute['status']}: no inquiry to escalate.")
    charge = world.store.one(dispute["charge"])
    if charge["refunded"]:
        raise refused(f"Charge {charge['id']} was refunded, so its inquiry is not escalated.")
    taken = _withdrawn(world, dispute, at)
    after = update(
        world,
        "charge.dispute.updated",
        dispute,
        at,
        balance_transactions=taken["balance_transactions"],
        is_charge_refundable=False,
        status="needs_response",
        **_details(charge, "chargeback"),
    )
    emit(world, "charge.dispute.funds_withdrawn", after, at)
    return after


def close_dispute(world: World, dispute: Object, *, won: bool, at: int) -> Object:
    """Close a dispute as the bank decides."""
    return end(world, dispute, "won" if won else "lost", at)


def end(world: World, dispute: Object, outcome: Outcome, at: int) -> Object:
    """Close a dispute as won or lost, or an inquiry as `warning_closed`."""
    if dispute["status"] in ENDED:
        raise refused(f"Dispute {dispute['id']} is closed already.")
    if dispute["status"].startswith("warning") is not (outcome == "warning_closed"):
        raise refused(f"Dispute {dispute['id']} is {dispute['status']}: it can't be {outcome}.")
    new: dict[str, Any] = {"status": outcome}
    if outcome == "won":  # the fee of a dispute stays with Stripe, whoever wins
        back = enter(
            world,
            "dispute_reversal",
            source=dispute["id"],
            amount=dispute["amount"],
            currency=dispute["currency"],
            at=at,
            description=f"Chargeback reversal for {dispute['charge']}",
        )
        new["balance_transactions"] = [*dispute["balance_transactions"], shown(world, back)]
        new["is_charge_refundable"] = world.on("won_dispute_refundable")
        emit(world, "charge.dispute.funds_reinstated", {**dispute, **new}, at)
    return update(world, "charge.dispute.closed", dispute, at, **new)


def refuse_refund(world: World, charge: Object) -> None:
    """Raise Stripe's refusal if an open or lost dispute holds the charge's money."""
    found = world.store.find("dispute", where={"parent": charge["id"]})
    if any(not one["is_charge_refundable"] for one in found):
        raise refused(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )


def answer_by_refund(world: World, charge: Object, at: int) -> None:
    """Close an inquiry after a full refund."""
    if not charge["refunded"] or not world.on("refund_closes_inquiry"):
        return
    for found in world.store.find("dispute", where={"parent": charge["id"]}):
        if found["status"].startswith("warning") and found["status"] not in ENDED:
            end(world, found, "warning_closed", at)
