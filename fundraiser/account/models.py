"""Models: members' sessions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier, clock


class MemberSession(Base):
    """A browser in which a member is signed in; ``token_hash`` is its cookie's hash.

    It ends at ``ends_at``, or a fortnight after ``seen_at`` (the machine's clock), when its owner
    last opened a page. ``browser`` names browser and system ("Firefox, Windows"); ``notice`` is the
    text for the next page.
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
