"""Who is signed in to a member's own pages, and in which browsers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier, clock


class MemberSession(Base):
    """One browser in which a member is signed in; ``token_hash`` is of its cookie.

    It ends at ``ends_at``, or earlier a fortnight after ``seen_at`` (the machine's clock), when its
    owner last opened a page. ``browser`` names browser and system ("Firefox, Windows"); ``notice``
    is what the next page has to say of the act before it.
    """

    __tablename__ = "member_session"

    id: Mapped[Identifier]
    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    browser: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(default=clock.machine, server_default=func.now())
    ends_at: Mapped[datetime]
    notice: Mapped[str | None]
