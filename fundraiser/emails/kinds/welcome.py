"""Welcome: somebody is counted as a member, for the first time or again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask_babel import format_decimal
from sqlalchemy import bindparam, select

from fundraiser.config import current_settings
from fundraiser.db import memoize, now
from fundraiser.emails.kind import Kind
from fundraiser.emails.parts.body import Body, Link, NotDueError, Wording, compose, money
from fundraiser.emails.parts.campaigns import bar_of, campaign_of
from fundraiser.emails.parts.memberships import example_membership
from fundraiser.joining.join import return_address
from fundraiser.members.eligibility import counting_of
from fundraiser.members.email_links import membership_link
from fundraiser.members.models import Dues, Member, Membership, Source
from fundraiser.members.prices import next_payment_of, price_of
from fundraiser.outbox import Email, OncePer, Recipient, key_for
from fundraiser.payments.last_payment import last_payment_of
from fundraiser.payments.models import Checkout, Tier
from fundraiser.texts import by_language, gettext as _, last_day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign

# Made once: thousands of new members may be welcomed within an hour.
_NEWEST_FIRST = (
    select(Membership)
    .where(Membership.member_id == bindparam("member"))
    .order_by(Membership.started_at.desc())
)
_CHECKOUT = select(Checkout).where(Checkout.reference == bindparam("reference"))


def _read(session: Session, email: Email) -> Body:
    """Due while the member's newest row in the ledger is the one that caused it."""
    member = session.get_one(Member, email.member_id)
    membership = _newest_that_counts(session, member)
    is_newest = email.key == key_for(Recipient.MEMBER, member.id, member.sequence)
    if not member.counting or not is_newest or membership is None:
        raise NotDueError("The person had stopped counting before the e-mail could leave.")
    return _body(session, member.number, membership, is_new=member.sequence == 1)


def _example(session: Session, member: Member | None) -> Body:
    membership = example_membership(session, member)
    return _body(session, member.number if member else 1, membership, is_new=True)


def _body(session: Session, number: int | None, membership: Membership, *, is_new: bool) -> Body:
    """The body for a new member; for one who is back, always in our own words."""
    amount = money(membership.amount, membership.currency)
    values = {
        "number": format_decimal(number or 0),
        "newsroom": current_settings().newsroom_name,
        "amount": amount,
    }
    fixed = []
    if membership.payment_status is Dues.IN_PROCESS:
        fixed.append(bank_has_order(amount))
    campaign = campaign_of(session, membership)
    is_gift = membership.source is Source.GIFT
    body = compose(
        greet if is_new else greet_again,
        values,
        _("You’re getting this e-mail because you became a member."),
        *fixed,
    )
    return replace(
        body,
        original=body.original if is_new else None,
        bar=bar_of(session, campaign) if campaign else None,
        rows=_terms(session, membership),
        advice=(
            _("Your membership is a gift"),
            _("It ends automatically and you won’t be charged. We’ll e-mail you once beforehand."),
        )
        if is_gift
        else (
            _("To change or cancel"),
            _(
                "Change your amount or how you pay, pause or cancel any time in your "
                "account. If you cancel, you stay a member until the end of what "
                "you’ve paid for, and you won’t be charged again."
            ),
        ),
        manage=None if is_gift else membership_link(membership),
        link=_way_back(session, membership, campaign),
    )


def bank_has_order(amount: str) -> str:
    """The first payment is a bank debit that has not arrived."""
    return _(
        "Your bank debit of %(amount)s is processing, which can take a few days. "
        "You’re counted as a member in the meantime.",
        amount=amount,
    )


def greet(v: Mapping[str, str]) -> Wording:
    """Somebody is a member for the first time."""
    return Wording(
        _("Welcome to %(newsroom)s, member %(number)s", number=v["number"], newsroom=v["newsroom"]),
        _("You’re member %(number)s", number=v["number"]),
        [
            _(
                "Thank you. %(newsroom)s is paid for by its readers, and now you’re "
                "one of them. Your number counts everybody who has ever joined.",
                newsroom=v["newsroom"],
            )
        ],
    )


def greet_again(v: Mapping[str, str]) -> Wording:
    """Somebody has come back."""
    return Wording(
        _(
            "Welcome back to %(newsroom)s, member %(number)s",
            number=v["number"],
            newsroom=v["newsroom"],
        ),
        _("You’re member %(number)s", number=v["number"]),
        [_("Thank you for coming back. You keep the number you had before.")],
    )


def _newest_that_counts(session: Session, member: Member) -> Membership | None:
    newest_first = session.scalars(_NEWEST_FIRST, {"member": member.id})
    counting = counting_of(newest_first, now(), current_settings().grace)
    return next((m for m in counting if m.source in {Source.STRIPE, Source.GIFT}), None)


def _terms(session: Session, membership: Membership) -> list[tuple[str, str]]:
    """What they pay, what was taken, what comes next."""
    rows = []
    slug = membership.tier
    tier = memoize(session, ("tier", slug), lambda: session.get(Tier, slug)) if slug else None
    if tier:
        rows.append((_("Membership"), by_language(tier.names)))
    if membership.source is Source.GIFT:
        if membership.counts_until:
            rows.append((_("Gift until"), last_day(membership.counts_until)))
        return rows
    rows.append((_("You pay"), price_of(membership)))
    if last_paid := last_payment_of(session, membership):
        rows.append((_("Last payment"), last_paid))
    if following := next_payment_of(membership):
        rows.append((_("Next payment"), following))
    if membership.cancel_at:
        rows.append((_("Ends on"), last_day(membership.cancel_at)))
    return rows


def _way_back(session: Session, membership: Membership, campaign: Campaign | None) -> Link | None:
    """To the article from which the reader joined, or else to the campaign."""
    checkout = session.scalars(_CHECKOUT, {"reference": membership.reference}).first()
    if checkout and (article := return_address(checkout, joined=False)):
        return Link(_("Go back to the article"), article)
    if campaign:
        home = current_settings().public_url
        return Link(_("See how far we are"), f"{home}/campaigns/{campaign.slug}")
    return None


KIND = Kind(
    label=lambda: _("Welcome"),
    urgent=True,
    once_per=OncePer.RECIPIENT,
    body=_read,
    example=_example,
    resendable=True,
)
