"""Hashing: off the event loop, and bounded."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from scholarships.auth.passwords import BusyError, Passwords, Verified


class Held(PasswordHasher):
    """A hasher that waits until it may go on, and counts how many do so at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.go.wait(120)
        with self.lock:
            self.inside -= 1
        return super().hash(password, salt=salt)


async def test_verify() -> None:
    """A password is right or wrong; without a stored hash it is wrong, whatever it is."""
    passwords = Passwords()
    stored = await passwords.hash("right")
    assert stored != await passwords.hash("right")
    assert await passwords.verify(stored, "right") == Verified(right=True)
    assert await passwords.verify(stored, "wrong") == Verified(right=False)
    assert await passwords.verify(None, "right") == Verified(right=False)
    passwords.close()


async def test_strength() -> None:
    """A hash has the parameters of RFC 9106 for machines with little memory: 64 MiB, three passes, four lanes."""
    passwords = Passwords(PasswordHasher())
    assert (await passwords.hash("right")).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    passwords.close()


async def test_bounds() -> None:
    """No more than two at once, no more than so many in wait; the loop goes on, and there is room again afterwards."""
    hasher = Held()
    passwords = Passwords(hasher, at_once=2, waiting=3)
    under_way = [asyncio.create_task(passwords.hash("x")) for _ in range(5)]
    await asyncio.sleep(0)  # each is in the queue by its first step
    with pytest.raises(BusyError) as busy:
        await passwords.hash("x")
    assert (busy.value.status_code, busy.value.headers) == (503, {"Retry-After": "1"})
    hasher.go.set()
    assert len(set(await asyncio.gather(*under_way))) == 5
    assert hasher.most <= 2
    assert await passwords.hash("x")
    passwords.close()
