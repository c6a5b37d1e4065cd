"""What the e-mails about gifts say: to the giver, to whom a gift is for, and to who has one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask_babel import ngettext
from sqlalchemy import select

from fundraiser.config import current_settings
from fundraiser.emails.parts import Body, Link, NotDueError, Wording, compose, money
from fundraiser.members.addresses import Minted, mint
from fundraiser.members.gifts import Gift, card_address, code_of, ends_at, giver_of, recipient_of
from fundraiser.members.models import Member, Membership, Source
from fundraiser.outbox import EmailKind
from fundraiser.payments.models import Tier
from fundraiser.texts import by_language, date, gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from fundraiser.outbox import Email


def body_about_gift(session: Session, email: Email) -> Body:
    """What an e-mail about a gift says to a member: to its giver, or to who has it.

    Raises:
        NotOwedError: what it would say is true no longer.
    """
    if email.kind is EmailKind.GIFT_ENDING:
        found = session.execute(
            select(Membership, Gift)
            .join(Gift, Gift.charge_id == Membership.reference)
            .where(
                Membership.source == Source.GIFT,
                Membership.reference == email.context["membership"],
            )
        ).first()
        if found is None or found.Membership.counts_until is None:
            raise NotDueError("The gift that it is about is not known any more.")
        return _ending(session, found.Gift, found.Membership.counts_until)
    gift = session.get_one(Gift, email.context["gift"])
    if email.kind in _OF_THE_END:
        return _body_of_the_end(session, email, gift)
    if gift.is_void:
        raise NotDueError("The gift was paid back or disputed before the e-mail could leave.")
    return _TO_GIVER[email.kind](session, gift)


def body_to_recipient(session: Session, email: Email) -> Body:
    """What an e-mail says to whom a gift is for, who is perhaps nobody of ours yet."""
    gift = session.get_one(Gift, email.gift_id)
    if email.kind is EmailKind.GIFT_TOLD:
        return _told(session, gift)
    minted = mint(session, email.context["check"])
    if minted is None:
        raise NotDueError("The code was not wanted any more before the e-mail could leave.")
    return _digits(gift, minted)


def body_of_gift(session: Session, kind: EmailKind, gift: Gift) -> Body:
    """What a kind says of a gift, as an example: with digits that open nothing."""
    match kind:
        case EmailKind.GIFT_CODE:
            return _digits(gift, Minted("", "", "123456"))
        case EmailKind.GIFT_TOLD:
            return _told(session, gift)
        case EmailKind.GIFT_ENDING:
            return _ending(session, gift, ends_at(gift.paid_at, gift.years))
        case EmailKind.GIFT_PAID_BACK:
            return _paid_back(session, gift)
        case EmailKind.GIFT_TAKEN_BACK:
            return _taken_back(session, gift, gift.paid_at, is_member=False)
    return _TO_GIVER[kind](session, gift)


def _values(session: Session, gift: Gift) -> dict[str, str]:
    tier = session.get(Tier, gift.tier)
    return {
        "newsroom": current_settings().newsroom_name,
        "giver": giver_of(gift),
        "recipient": recipient_of(gift),
        "tier": by_language(tier.names) if tier else gift.tier,
        "amount": money(gift.amount, gift.currency),
    }


def _what(gift: Gift, values: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (_("Membership"), values["tier"]),
        (_("For"), ngettext("%(num)s year", "%(num)s years", gift.years)),
    ]


def _code_row(gift: Gift) -> list[tuple[str, str]]:
    code = code_of(gift)
    return [(_("Code"), code)] if code else []


def _given(session: Session, gift: Gift) -> Body:
    values = _values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift for %(name)s: the code and the card", name=v["recipient"]),
            _("Your gift for %(name)s is paid", name=v["recipient"]),
            [
                _("Thank you. We took %(amount)s, once, and nothing more is taken.", **_sum(v)),
                _told_when(gift, v["recipient"]),
                _(
                    "The membership begins on the day on which the code is used. It has no end; "
                    "whoever has it can use it, once."
                ),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter because you paid for a gift.")),
        rows=[*_code_row(gift), *_what(gift, values), (_("You paid"), values["amount"])],
        link=Link(_("See and print the card"), card_address(gift)),
    )


def _sum(values: Mapping[str, str]) -> dict[str, str]:
    return {"amount": values["amount"]}


def _told_when(gift: Gift, name: str) -> str:
    if gift.tell_at is None:
        return _("You give it yourself: print the card, or write the code into one of your own.")
    if gift.tell_at <= gift.paid_at:
        return _("We have written to %(name)s as well, and sent the code.", name=name)
    return _(
        "We write to %(name)s on %(date)s and send the code. You can print the card as well.",
        name=name,
        date=date(gift.tell_at),
    )


def _told(session: Session, gift: Gift) -> Body:
    values = _values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("%(giver)s gives you a membership of %(newsroom)s", **_names(v)),
            _("A gift from %(name)s", name=v["giver"]),
            [
                ngettext(
                    "%(giver)s has paid for %(num)s year of membership of %(newsroom)s for you.",
                    "%(giver)s has paid for %(num)s years of membership of %(newsroom)s for you.",
                    gift.years,
                    **_names(v),
                ),
                _(
                    "Accept it with the button or with the code. You are a member from that day "
                    "on; it ends by itself, and nothing is ever taken from you."
                ),
            ],
        )

    words = compose(
        say,
        values,
        _("You get this letter because somebody gave your address for a gift."),
    )
    # The giver's own words, to the letter; staff can't write them anew.
    # Marked as the giver's: our mark stands on the rest.
    said = _("%(name)s’s own words, which we pass on unread:", name=values["giver"])
    lines = (f"> {line}" for line in gift.message.splitlines() if line.strip())
    fixed = (said, *lines) if gift.message else ()
    link = f"{current_settings().public_url}/gift/redeem#{code_of(gift) or ''}"
    return replace(
        words,
        has_account=False,
        paragraphs=[*words.paragraphs, *fixed],
        fixed=fixed,
        rows=[*_code_row(gift), *_what(gift, values)],
        link=Link(_("Accept the gift"), link),
    )


def _names(values: Mapping[str, str]) -> dict[str, str]:
    return {"giver": values["giver"], "newsroom": values["newsroom"]}


def _digits(gift: Gift, minted: Minted) -> Body:
    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your digits to accept the gift: %(code)s", code=v["code"]),
            v["code"],
            [
                _(
                    "Enter these six digits on the page where you wanted to accept the gift from "
                    "%(name)s. They work once, within ten minutes.",
                    name=v["giver"],
                ),
                _("If it was not you, do nothing: nothing happens then."),
            ],
        )

    reason = _("You get this letter because somebody entered your address to accept a gift.")
    values = {"code": minted.code, "giver": giver_of(gift)}
    return replace(compose(say, values, reason), has_account=False)


def _not_accepted(session: Session, gift: Gift) -> Body:
    if gift.redeemed_at:
        raise NotDueError("The gift was accepted before the e-mail could leave.")
    values = _values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift for %(name)s was not accepted yet", name=v["recipient"]),
            _("Your gift for %(name)s was not accepted yet", name=v["recipient"]),
            [
                _("Nobody has used the code so far. Perhaps our letter or your card was mislaid."),
                _("Tell %(name)s, or pass the code on yourself. It has no end.", **_to(v)),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter, once, because you paid for a gift.")),
        rows=[*_code_row(gift), *_what(gift, values)],
        link=Link(_("See and print the card"), card_address(gift)),
    )


def _to(values: Mapping[str, str]) -> dict[str, str]:
    return {"name": values["recipient"]}


def _redeemed(session: Session, gift: Gift) -> Body:
    values = _values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("%(name)s has accepted your gift", **_to(v)),
            _("%(name)s has accepted your gift", **_to(v)),
            [
                _("Thank you for giving a membership of %(newsroom)s.", newsroom=v["newsroom"]),
                _("It ends by itself, and nothing more is taken from you."),
            ],
        )

    rows = _what(gift, values)
    if gift.redeemed_at:
        rows.append((_("Accepted on"), date(gift.redeemed_at)))
    return replace(
        compose(say, values, _("You get this letter because you paid for a gift.")), rows=rows
    )


def _ending(session: Session, gift: Gift, until: datetime) -> Body:
    """The offer to go on; there is no other e-mail at a gift's end."""
    values = _values(session, gift) | {"date": date(until)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift from %(name)s ends on %(date)s", name=v["giver"], date=v["date"]),
            _("Would you like to go on?"),
            [
                _(
                    "You are a member of %(newsroom)s until %(date)s, because %(name)s has paid "
                    "for it. It ends by itself, and nothing is taken from you.",
                    newsroom=v["newsroom"],
                    date=v["date"],
                    name=v["giver"],
                ),
                _(
                    "If you want to stay, join with your own payment. It begins on the day on "
                    "which you join, and your number stays the same."
                ),
            ],
        )

    join = f"{current_settings().public_url}/join?tier={gift.tier}&interval=year"
    return replace(
        compose(say, values, _("You get this letter, once, because your gift runs out.")),
        rows=[*_what(gift, values), (_("Ends on"), values["date"])],
        link=Link(_("Stay a member"), join),
    )


def _body_of_the_end(session: Session, email: Email, gift: Gift) -> Body:
    """What is said where the money of a gift has gone back."""
    taken = [at for at in (gift.refunded_at, gift.disputed_at) if at]
    if not taken:
        raise NotDueError("The money had come back before the e-mail could leave.")
    if email.kind is EmailKind.GIFT_PAID_BACK:
        return _paid_back(session, gift)
    ended = min(taken)
    membership = session.scalars(
        select(Membership).where(
            Membership.source == Source.GIFT, Membership.reference == gift.charge_id
        )
    ).one()
    if membership.counts_until and membership.counts_until <= ended:
        raise NotDueError("The gift had run out before its money went back.")
    recipient = session.get_one(Member, gift.recipient_id)
    return _taken_back(session, gift, ended, is_member=recipient.counting)


def _paid_back(session: Session, gift: Gift) -> Body:
    values = _values(session, gift)

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift for %(name)s was paid back", **_to(v)),
            _("Your gift for %(name)s was paid back", **_to(v)),
            [
                _(
                    "We have paid back %(amount)s. Your bank may take up to ten days to show it.",
                    **_sum(v),
                ),
                _(
                    "The code is good no longer. If it was used, the membership has ended with it, "
                    "and we write that to whoever had it."
                ),
            ],
        )

    return replace(
        compose(say, values, _("You get this letter because you paid for a gift.")),
        rows=[*_what(gift, values), (_("Paid back"), values["amount"])],
    )


def _taken_back(session: Session, gift: Gift, ended: datetime, *, is_member: bool) -> Body:
    """No word of whose will it was; ``is_member``: by something else than the gift."""
    values = _values(session, gift) | {"date": date(ended)}

    def say(v: Mapping[str, str]) -> Wording:
        return Wording(
            _("Your gift from %(name)s has ended", name=v["giver"]),
            _("Your gift ended on %(date)s", date=v["date"]),
            [
                _(
                    "The payment for it was taken back, so the membership of %(newsroom)s that it "
                    "gave you ended on %(date)s. You did nothing wrong, and nothing is taken from "
                    "you.",
                    newsroom=v["newsroom"],
                    date=v["date"],
                ),
            ],
        )

    what_now = (
        _("You stay a member by what you have beside it.")
        if is_member
        else _(
            "You are not in the number now. If you want to stay, join with your own payment: your "
            "number stays the same."
        )
    )
    join = f"{current_settings().public_url}/join?tier={gift.tier}&interval=year"
    return replace(
        compose(say, values, _("You get this letter because you accepted a gift."), what_now),
        has_account=is_member,
        rows=[*_what(gift, values), (_("Ended on"), values["date"])],
        link=None if is_member else Link(_("Stay a member"), join),
    )


_TO_GIVER: dict[EmailKind, Callable[[Session, Gift], Body]] = {
    EmailKind.GIFT_GIVEN: _given,
    EmailKind.GIFT_REMINDER: _not_accepted,
    EmailKind.GIFT_REDEEMED: _redeemed,
}
_OF_THE_END = {EmailKind.GIFT_PAID_BACK, EmailKind.GIFT_TAKEN_BACK}
ABOUT_GIFT = {*_TO_GIVER, *_OF_THE_END, EmailKind.GIFT_ENDING}
TO_RECIPIENT = {EmailKind.GIFT_TOLD, EmailKind.GIFT_CODE}
