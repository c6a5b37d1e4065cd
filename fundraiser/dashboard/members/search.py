"""Find members by what staff know of them: a name, an address, a number, a code, an ID."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, cast, false, func, literal, literal_column, select, true
from sqlalchemy.dialects.postgresql import TSQUERY, array

from fundraiser.members.gifts import LOOKS_LIKE_CODE, Gift, hash_code
from fundraiser.members.models import MEMBER_PARTS, Member, Membership
from fundraiser.payments.models import Customer, Payment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

_NUMBER = re.compile(r"(?:№|#|no\.?)?\s{0,5}(\d[\d\s.,]{0,18})", re.IGNORECASE)


def named(query: str, who: type[Member]) -> ColumnElement[bool] | None:
    """The person with this Stripe ID, gift code or member number; None if nobody has it.

    A gift code matches its giver and its recipient.
    """
    if query.startswith("cus_"):
        return who.id.in_(select(Customer.member_id).where(Customer.id == query))
    if query.startswith("sub_"):
        return who.id.in_(select(Membership.member_id).where(Membership.reference == query))
    if query.startswith(("ch_", "py_")):
        return who.id.in_(select(Payment.member_id).where(Payment.charge_id == query))
    if LOOKS_LIKE_CODE.fullmatch(query):
        both = select(func.unnest(array([Gift.giver_id, Gift.recipient_id])))
        return who.id.in_(both.where(Gift.code_hash == hash_code(query)))
    if number := _NUMBER.fullmatch(query):
        return who.number == int(re.sub(r"\D", "", number[1]))
    return None


def read_words(session: Session, query: str) -> list[str]:
    """Split what is typed into words, without accents and apostrophes, as the index has them."""
    folded = session.scalar(select(func.search_text(unicodedata.normalize("NFC", query))))
    return (folded or "").split()


def has_words(words: Sequence[str], who: type[Member]) -> ColumnElement[bool]:
    """SQL: the name or address contains each of these words; quick for one person at a time."""
    told = func.search_text(func.coalesce(who.name, "") + " " + func.coalesce(who.email, ""))
    return and_(false() if not words else true(), *(func.strpos(told, word) > 0 for word in words))


def has_words_by_index(words: Sequence[str]) -> ColumnElement[bool]:
    """SQL: the same as ``has_words``, through the index."""
    # No word has a quote or a backslash: ``search_text`` removes them.
    wanted = " & ".join(f"'{word}':*" for word in words)
    return literal_column(MEMBER_PARTS).op("@@", is_comparison=True)(cast(literal(wanted), TSQUERY))
