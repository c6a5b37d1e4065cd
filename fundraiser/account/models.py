"""Who is signed in to a member's own pages, and in which browsers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier


class MemberSession(Base):
    """One browser in which a member is signed in; ``token_hash`` is of its cookie.

    ``notice`` is what the next page has to say of the act before it.
    """

    __tablename__ = "member_session"

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    notice: Mapped[str | None]
