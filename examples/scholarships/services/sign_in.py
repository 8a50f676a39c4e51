"""Signing in: a name and a password for a token."""

from __future__ import annotations

from fastapi import HTTPException

import belvedere
from scholarships.auth.passwords import Passwords
from scholarships.auth.tokens import Issued, Tokens
from scholarships.database import DatabaseUnavailableError
from scholarships.users import StoredUser, Users

log = belvedere.get_logger(__name__)


class WrongPasswordError(HTTPException):
    """No such user, or another password: nobody is told which."""

    def __init__(self) -> None:
        super().__init__(401, "Incorrect username or password", headers={"WWW-Authenticate": "Bearer"})


class SignIn:
    """Gives tokens to those who know their password."""

    def __init__(self, users: Users, passwords: Passwords, tokens: Tokens) -> None:
        self._users = users
        self._passwords = passwords
        self._tokens = tokens

    async def sign_in(self, username: str, password: str) -> Issued:
        """Return a token.

        Raises:
            WrongPasswordError: after the same time, whether or not there is such a user.
            BusyError: when too many sign in at once.
        """
        user = await self._users.get(username)
        verified = await self._passwords.verify(user.password_hash if user else None, password)
        if user is None or not verified.right:
            raise WrongPasswordError
        if verified.new_hash is not None:
            await self._rehash(user, verified.new_hash)
        belvedere.bind(user_id=user.username)
        return self._tokens.issue(user.username, user.role)

    async def _rehash(self, user: StoredUser, new_hash: str) -> None:
        try:
            await self._users.replace_hash(user, new_hash)
        except DatabaseUnavailableError:
            log.warning("rehash_postponed")  # the old hash is still good; the next time will do
