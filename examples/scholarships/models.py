"""The tables. Full-text indexes differ between databases and lie in the migrations alone."""

from __future__ import annotations

from datetime import date

from sqlalchemy import CheckConstraint, Double, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Scholarship(Base):
    """A scholarship that can be applied for until its deadline."""

    __tablename__ = "scholarships"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="ck_scholarships_amount"),
        CheckConstraint("min_gpa >= 0 AND min_gpa <= 4", name="ck_scholarships_min_gpa"),
        Index("ix_scholarships_deadline", "deadline"),
        Index("ix_scholarships_amount", "amount"),
        {"sqlite_autoincrement": True},  # an id is never given to another scholarship
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    provider: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text)
    amount: Mapped[int]
    """US dollars a year."""
    deadline: Mapped[date]
    field_of_study: Mapped[str] = mapped_column(String(100))
    level: Mapped[str] = mapped_column(String(20))
    country: Mapped[str] = mapped_column(String(100))
    min_gpa: Mapped[float | None] = mapped_column(Double)
    """The grade point average that is asked for, of 4.0; `None` where grades do not matter."""
    url: Mapped[str] = mapped_column(String(500))
    owner: Mapped[str | None] = mapped_column(String(100))
    """Who made it: the `sub` of a token; `None` for the samples."""


class User(Base):
    """Somebody who can sign in."""

    __tablename__ = "users"

    username: Mapped[str] = mapped_column(String(100), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str] = mapped_column(String(255))
