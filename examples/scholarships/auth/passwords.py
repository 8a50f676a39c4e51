"""Passwords: argon2id, in a few threads, as slow for a name that does not exist as for one that does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import HTTPException

Result = TypeVar("Result")

AT_ONCE = 2
"""Hashes computed at once: each takes 64 MiB and four threads of the library's own (RFC 9106, section 4)."""
MOST_WAITING = 32
"""Hashes that wait for their turn; a caller beyond them is told to come back."""


class BusyError(HTTPException):
    """More people sign in at once than can be served; whoever does not handle this answers 503."""

    def __init__(self) -> None:
        super().__init__(503, headers={"Retry-After": "1"})


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a password is right, and the hash to store from now on, if it is another."""

    right: bool
    new_hash: str | None = None


class Passwords:
    """Hashes and verifies passwords; the event loop goes on meanwhile.

    Args:
        hasher: with the parameters that new hashes get; by default those that argon2-cffi recommends.
        at_once, waiting: the bounds of what is computed and of what waits; more raise `BusyError`.
    """

    def __init__(
        self, hasher: PasswordHasher | None = None, *, at_once: int = AT_ONCE, waiting: int = MOST_WAITING
    ) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")
        self._room = at_once + waiting

    async def hash(self, password: str) -> str:
        """Return a new hash."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> Verified:
        """Compare a password with a stored hash; without one, take as long and find it wrong."""
        return await self._run(lambda: self._verify(stored, password))

    def close(self) -> None:
        """End the threads, once what they compute is done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str | None, password: str) -> Verified:
        # Made before either case is known: else the first name that does not exist would take longer.
        dummy = self._dummy
        try:
            self._hasher.verify(dummy if stored is None else stored, password)
        except (VerificationError, InvalidHashError):
            return Verified(right=False)
        if stored is None:
            return Verified(right=False)
        outdated = self._hasher.check_needs_rehash(stored)
        return Verified(right=True, new_hash=self._hasher.hash(password) if outdated else None)

    @cached_property
    def _dummy(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe(32))

    async def _run(self, call: Callable[[], Result]) -> Result:
        if self._room == 0:
            raise BusyError
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._room += 1
