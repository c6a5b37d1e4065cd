"""E-mail bodies in the current locale; raises `NotDueError` if the e-mail is no longer due."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask_babel import format_decimal
from sqlalchemy import bindparam, select

from fundraiser.campaigns.progress import current_campaign
from fundraiser.config import current_settings
from fundraiser.db import memoize, now
from fundraiser.emails.debits import body_about_debit
from fundraiser.emails.gifts import ABOUT_GIFT, body_about_gift
from fundraiser.emails.invitations import body_about_campaign
from fundraiser.emails.money import ABOUT_MONEY, body_about_money
from fundraiser.emails.parts import (
    Body,
    Link,
    NotDueError,
    Wording,
    bar_of,
    campaign_of,
    compose,
    money,
    what_is_paid,
)
from fundraiser.emails.sequences import ABOUT_MEMBERSHIP, body_about_membership
from fundraiser.joining.join import return_address
from fundraiser.members.address_changes import AddressChange, End, mask
from fundraiser.members.addresses import mint
from fundraiser.members.eligibility import counting_of
from fundraiser.members.email_links import membership_link, undo_link
from fundraiser.members.models import Dues, Membership, Source
from fundraiser.members.prices import next_payment_of
from fundraiser.outbox import EmailKind
from fundraiser.payments.models import Checkout, Payment, Tier
from fundraiser.texts import by_language, date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from fundraiser.campaigns.models import Campaign
    from fundraiser.members.addresses import Minted
    from fundraiser.members.models import Member
    from fundraiser.outbox import Email

# Made once: thousands of new members may be welcomed within an hour.
_NEWEST_FIRST = (
    select(Membership)
    .where(Membership.member_id == bindparam("member"))
    .order_by(Membership.started_at.desc())
)
_CHECKOUT = select(Checkout).where(Checkout.reference == bindparam("reference"))


def body_of(session: Session, email: Email, member: Member) -> Body:
    """What this e-mail says to its member.

    Raises:
        NotOwedError: what it would say is true no longer.
    """
    match email.kind:
        case EmailKind.WELCOME:
            return _welcome(session, email, member)
        case EmailKind.CONTRIBUTION:
            return _contribution(session, email, member)
        case _ if email.kind in ABOUT_MONEY:
            return body_about_money(session, email)
        case EmailKind.DEBIT_FAILED:
            return body_about_debit(session, email)
        case EmailKind.SIGN_IN | EmailKind.CHANGE_OF_ADDRESS:
            return body_with_code(email.kind, _minted(session, email))
        case EmailKind.ADDRESS_CHANGED:
            return _address_changed(session, email)
        case EmailKind.MILESTONE | EmailKind.LAST_DAYS:
            return body_about_campaign(session, email)
        case _ if email.kind in ABOUT_GIFT:
            return body_about_gift(session, email)
        case _ if email.kind in ABOUT_MEMBERSHIP:
            return body_about_membership(session, email)
    raise NotDueError("There is no such e-mail any more.")


def body_to_staff(_session: Session, email: Email) -> Body:
    """The body that was written when the e-mail was enqueued."""
    told = email.context
    return Body(
        has_account=False,
        to_staff=True,
        subject=told["subject"],
        heading=told["subject"],
        paragraphs=told["paragraphs"],
        link=Link(*told["link"]) if told["link"] else None,
        reason=_("You get this letter because you have an account in the newsroom’s dashboard."),
    )


def _welcome(session: Session, email: Email, member: Member) -> Body:
    """Due while the ledger's newest row of the person is the one that caused it."""
    membership = _newest_that_counts(session, member)
    if not member.counting or str(member.sequence) != email.cycle or membership is None:
        raise NotDueError("The person had stopped counting before the e-mail could leave.")
    return body_of_welcome(session, member.number, membership, is_new=member.sequence == 1)


def body_of_welcome(
    session: Session, number: int | None, membership: Membership, *, is_new: bool
) -> Body:
    """What is said to who begins to count; to who comes back, always in our own words."""
    amount = money(membership.amount, membership.currency)
    values = {
        "number": format_decimal(number or 0),
        "newsroom": current_settings().newsroom_name,
        "amount": amount,
    }
    fixed = []
    if membership.payment_status is Dues.IN_PROCESS:
        fixed.append(
            _(
                "Your bank has the order for %(amount)s. It can take some days until the money "
                "arrives; you count as a member until then.",
                amount=amount,
            )
        )
    campaign = campaign_of(session, membership)
    is_gift = membership.source is Source.GIFT
    words = compose(
        _greet if is_new else _greet_again,
        values,
        _("You get this letter because you became a member."),
        *fixed,
    )
    return replace(
        words,
        original=words.original if is_new else None,
        bar=bar_of(session, campaign) if campaign else None,
        rows=terms(session, membership),
        advice=(
            _("It is a gift"),
            _("It ends by itself, and nothing is taken from you. We ask before, once."),
        )
        if is_gift
        else (
            _("To change or cancel"),
            _(
                "Change your amount or how you pay, pause or cancel any time in your account. If "
                "you cancel, you stay a member until the end of what you have paid for, and you "
                "won’t be charged again."
            ),
        ),
        manage=None if is_gift else membership_link(membership),
        link=_way_back(session, membership, campaign),
    )


def _greet(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("You are member %(number)s of %(newsroom)s", number=v["number"], newsroom=v["newsroom"]),
        _("You are member %(number)s", number=v["number"]),
        [
            _(
                "Thank you. %(newsroom)s is paid for by its readers, and you are one of them.",
                newsroom=v["newsroom"],
            )
        ],
    )


def _greet_again(v: Mapping[str, str]) -> Wording:
    return Wording(
        _(
            "Welcome back to %(newsroom)s, member %(number)s",
            number=v["number"],
            newsroom=v["newsroom"],
        ),
        _("You are member %(number)s", number=v["number"]),
        [_("Thank you for coming back. Your number is the one that you had before.")],
    )


def _contribution(session: Session, email: Email, member: Member) -> Body:
    payment = session.scalars(select(Payment).where(Payment.charge_id == email.cycle)).one()
    if payment.refunded >= payment.amount:
        raise NotDueError("The contribution was paid back before the e-mail could leave.")
    return body_of_contribution(session, payment, is_member=member.counting)


def body_of_contribution(session: Session, payment: Payment, *, is_member: bool) -> Body:
    """What is said to who gave once."""
    values = {
        "newsroom": current_settings().newsroom_name,
        "amount": money(payment.amount, payment.currency),
        "date": date(payment.paid_at),
    }

    def say(v: Mapping[str, str]) -> Wording:
        thanks = _("Thank you for %(amount)s", amount=v["amount"])
        return Wording(
            thanks,
            thanks,
            [
                _(
                    "We took %(amount)s on %(date)s, once, and nothing more will be taken.",
                    amount=v["amount"],
                    date=v["date"],
                )
            ],
        )

    campaign = current_campaign(session)
    join = f"{current_settings().public_url}/join"
    return replace(
        compose(
            say,
            values,
            _("You get this letter because you made a contribution."),
            _(
                "A contribution does not make you a member, so it is not in the number. "
                "Your membership goes on beside it as before."
            )
            if is_member
            else _(
                "A contribution does not make you a member, so it is not in the number: "
                "that counts the people who pay every month or every year."
            ),
        ),
        rows=[
            (_("One-time contribution"), values["amount"]),
            (_("Taken on"), values["date"]),
        ],
        has_account=is_member,
        link=None
        if is_member
        else Link(_("Become a member"), f"{join}?campaign={campaign.slug}" if campaign else join),
    )


def body_with_code(kind: EmailKind, minted: Minted) -> Body:
    """The e-mails that prove that somebody reads those of an address."""
    values = {"newsroom": current_settings().newsroom_name, "code": minted.code}
    if kind is EmailKind.CHANGE_OF_ADDRESS:
        return compose(
            _change_of_address,
            values,
            _("You get this letter because somebody asked to change an address to or from it."),
        )
    link = f"{current_settings().public_url}/account/sign-in/link#{minted.token}"
    return replace(
        compose(
            _sign_in,
            values,
            _("You get this letter because somebody asked to sign in with your address."),
        ),
        link=Link(_("Sign in"), link),
    )


def _address_changed(session: Session, email: Email) -> Body:
    change = session.get(AddressChange, email.context["change"])
    if change is None:
        raise NotDueError("The change was forgotten before the e-mail could leave.")
    to = End(email.context["end"])
    before, after = (change.address(end) if end is to else mask(change.address(end)) for end in End)
    return body_of_changed_address(before, after, change.id if change.can_be_undone else None)


def body_of_changed_address(before: str, after: str, undone_by: int | None) -> Body:
    """That a member's address was changed; ``undone_by`` is the change that a link undoes."""
    newsroom = current_settings().newsroom_name
    return replace(
        compose(
            _changed_address,
            {"newsroom": newsroom, "before": before, "after": after},
            _("You get this e-mail because it was sent to both the old and the new address."),
            *(
                (_("If that wasn’t you, undo it with the button below. It works for 72 hours."),)
                if undone_by is not None
                else ()
            ),
        ),
        link=None if undone_by is None else Link(_("Undo the change"), undo_link(undone_by)),
    )


def _changed_address(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your e-mail address at %(newsroom)s has been changed", newsroom=v["newsroom"]),
        _("Your e-mail address has been changed"),
        [
            _(
                "Your membership’s e-mail address was %(before)s and is now %(after)s.",
                before=v["before"],
                after=v["after"],
            ),
            _("You’ve been signed out in other browsers. Sign in with the new address."),
        ],
    )


def _sign_in(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your code for %(newsroom)s: %(code)s", newsroom=v["newsroom"], code=v["code"]),
        v["code"],
        [
            _(
                "Enter these six digits in the browser in which you asked for them, or press the "
                "button below in that browser. Both work once, within ten minutes."
            ),
            _("If it was not you who asked, do nothing: nobody has been let in."),
        ],
    )


def _change_of_address(v: Mapping[str, str]) -> Wording:
    return Wording(
        _("Your code to change your address: %(code)s", code=v["code"]),
        v["code"],
        [
            _(
                "Enter these six digits on the page where you asked to change your e-mail "
                "address. They work once, within ten minutes. Another code went to the other "
                "address: both are needed."
            ),
            _("If it was not you who asked, do nothing: the address stays as it is."),
        ],
    )


def _minted(session: Session, email: Email) -> Minted:
    minted = mint(session, email.context["check"])
    if minted is None:
        raise NotDueError("The code was not wanted any more before the e-mail could leave.")
    return minted


def _newest_that_counts(session: Session, member: Member) -> Membership | None:
    newest_first = session.scalars(_NEWEST_FIRST, {"member": member.id})
    counting = counting_of(newest_first, now(), current_settings().grace)
    return next((m for m in counting if m.source in {Source.STRIPE, Source.GIFT}), None)


def terms(session: Session, membership: Membership) -> list[tuple[str, str]]:
    """What they pay, what was taken, what comes next."""
    rows = []
    slug = membership.tier
    tier = memoize(session, ("tier", slug), lambda: session.get(Tier, slug)) if slug else None
    if tier:
        rows.append((_("Membership"), by_language(tier.names)))
    if membership.source is Source.GIFT:
        if membership.counts_until:
            rows.append((_("A gift until"), date(membership.counts_until)))
        return rows
    rows.append((_("You pay"), what_is_paid(membership)))
    if membership.paid_at:
        rows.append((_("Last payment"), date(membership.paid_at)))
    if following := next_payment_of(membership):
        rows.append((_("Next payment"), following))
    if membership.cancel_at:
        rows.append((_("Ends on"), date(membership.cancel_at)))
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
