"""Labels: short words by which staff group people, such as "Board" or "Book club"."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, ForeignKey, Index, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from fundraiser.db import Base, Identifier, now
from fundraiser.errors import NotFoundError, UnprocessableError
from fundraiser.texts import gettext as _

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

LONGEST = 40  # characters
MOST = 200  # labels in all: more are no help in a list


class Label(Base):
    """A word that staff put on people; ``name`` is unique, ignoring case."""

    __tablename__ = "label"
    __table_args__ = (Index("uq_label_name", text("lower(name)"), unique=True),)

    id: Mapped[Identifier]
    name: Mapped[str]
    created_at: Mapped[datetime]


class MemberLabel(Base):
    """A person has a label."""

    __tablename__ = "member_label"

    member_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("member.id"), primary_key=True)
    label_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("label.id"), primary_key=True, index=True
    )


def list_labels(session: Session) -> Sequence[Label]:
    """All labels by name."""
    return session.scalars(select(Label).order_by(func.lower(Label.name))).all()


def count_labels(session: Session) -> Sequence[Row[Label, int]]:
    """All labels by name, each with its number of people."""
    return session.execute(
        select(Label, func.count(MemberLabel.member_id))
        .outerjoin(MemberLabel, MemberLabel.label_id == Label.id)
        .group_by(Label.id)
        .order_by(func.lower(Label.name))
    ).all()


def get_label(session: Session, label_id: int) -> Label:
    """Find the label with this ID.

    Raises:
        NotFoundError: there is none.
    """
    label = session.get(Label, label_id)
    if label is None:
        raise NotFoundError(_("This label no longer exists."))
    return label


def read_name(typed: str) -> str:
    """Parse a label's name.

    Raises:
        UnprocessableError: it is empty or too long.
    """
    name = " ".join(typed.split())
    if not name:
        raise UnprocessableError(_("Enter a label."), field="label")
    if len(name) > LONGEST:
        raise UnprocessableError(
            _("Enter %(count)s characters or fewer.", count=LONGEST), field="label"
        )
    return name


def find_or_add_label(session: Session, typed: str) -> Label:
    """Find the label with this name, ignoring case, or create it.

    Raises:
        UnprocessableError: the name is invalid, or there are too many labels.
    """
    name = read_name(typed)
    wanted = select(Label).where(func.lower(Label.name) == func.lower(name))
    if found := session.scalars(wanted).first():
        return found
    if (session.scalar(select(func.count(Label.id))) or 0) >= MOST:
        raise UnprocessableError(
            _("There are already %(count)s labels. Use one of them.", count=MOST), field="label"
        )
    session.execute(insert(Label).values(name=name, created_at=now()).on_conflict_do_nothing())
    return session.scalars(wanted).one()


def rename_label(session: Session, label: Label, typed: str) -> None:
    """Rename a label; people keep it.

    Raises:
        UnprocessableError: the name is invalid, or another label has it.
    """
    name = read_name(typed)
    taken = select(Label.id).where(func.lower(Label.name) == func.lower(name), Label.id != label.id)
    if session.scalar(taken) is not None:
        raise UnprocessableError(_("There is already a label with this name."), field="label")
    label.name = name


def delete_label(session: Session, label: Label) -> None:
    """Delete a label, and take it off everybody."""
    session.refresh(label, with_for_update=True)  # nobody gets it from here on
    session.execute(delete(MemberLabel).where(MemberLabel.label_id == label.id))
    session.delete(label)


def add_label(session: Session, label: Label, member_ids: Iterable[int]) -> Sequence[int]:
    """Label these people; returns the IDs of those who didn't have the label."""
    rows = [{"member_id": member_id, "label_id": label.id} for member_id in member_ids]
    if not rows:
        return []
    return session.scalars(
        insert(MemberLabel).values(rows).on_conflict_do_nothing().returning(MemberLabel.member_id)
    ).all()


def remove_label(session: Session, label: Label, member_ids: Iterable[int]) -> Sequence[int]:
    """Take a label off these people; returns the IDs of those who had it."""
    return session.scalars(
        delete(MemberLabel)
        .where(MemberLabel.label_id == label.id, MemberLabel.member_id.in_(list(member_ids)))
        .returning(MemberLabel.member_id)
    ).all()


def labels_of(session: Session, member_ids: Iterable[int]) -> dict[int, list[Label]]:
    """Each of these people's labels, by name; without those who have none."""
    rows = session.execute(
        select(MemberLabel.member_id, Label)
        .join(Label, Label.id == MemberLabel.label_id)
        .where(MemberLabel.member_id.in_(list(member_ids)))
        .order_by(func.lower(Label.name))
    )
    found: dict[int, list[Label]] = {}
    for member_id, label in rows:
        found.setdefault(member_id, []).append(label)
    return found
