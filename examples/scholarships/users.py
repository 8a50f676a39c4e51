"""The users, and those of the samples."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scholarships.auth.passwords import Passwords
from scholarships.database import Database
from scholarships.models import User
from scholarships.schemas import Role


@dataclass(frozen=True, slots=True)
class StoredUser:
    """Somebody who can sign in."""

    username: str
    role: Role
    password_hash: str


class Users:
    """All users.

    Each method raises `DatabaseUnavailableError` when the database cannot be asked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, username: str) -> StoredUser | None:
        """Return one, or `None`."""
        async with self._database.session() as session:
            user = await session.get(User, username)
        return None if user is None else StoredUser(user.username, Role(user.role), user.password_hash)

    async def replace_hash(self, user: StoredUser, new_hash: str) -> None:
        """Store another hash of the same password, unless the password has been changed meanwhile."""
        async with self._database.session() as session:
            await session.execute(
                update(User)
                .where(User.username == user.username, User.password_hash == user.password_hash)
                .values(password_hash=new_hash)
            )
            await session.commit()


async def load_demo_users(connection: AsyncConnection, passwords: Passwords, password: str) -> int:
    """Have one user of each role, named as the role, with this password; return how many were changed."""
    changed = 0
    for role in Role:
        name = role.value
        stored = (await connection.execute(select(User.password_hash).where(User.username == name))).scalar()
        if stored is not None and (await passwords.verify(stored, password)).right:
            continue
        hashed = await passwords.hash(password)
        if stored is None:
            await connection.execute(insert(User).values(username=name, role=name, password_hash=hashed))
        else:
            await connection.execute(update(User).where(User.username == name).values(password_hash=hashed))
        changed += 1
    return changed
