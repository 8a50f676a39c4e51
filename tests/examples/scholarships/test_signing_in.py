"""`POST /auth/token` and `GET /auth/me`."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from typing import Any
from unittest.mock import patch

import httpx
import jwt
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import URL

from belvedere.testing import CapturedLogs
from scholarships.auth.passwords import Passwords
from scholarships.config import Config
from scholarships.database import Database, DatabaseUnavailableError
from scholarships.users import Users
from tests.examples.scholarships.databases import PASSWORD
from tests.examples.scholarships.identities import AUDIENCE, FREELY, ISSUER, SECRET
from tests.examples.scholarships.serving import calling, served
from tests.examples.scholarships.test_passwords import Held

WRONG = "Incorrect username or password"


async def sign_in(client: httpx.AsyncClient, username: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    return await client.post("/auth/token", data={"username": username, "password": password, **more})


@pytest.mark.parametrize("username", ["admin", "partner", "student"])
async def test_token(client: httpx.AsyncClient, username: str) -> None:
    """Each user of the samples signs in by the password form, and the token says who that is, for whom, until when."""
    answer = await sign_in(client, username, grant_type="password")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    given = answer.json()
    token = given.pop("access_token")
    assert given == {"token_type": "bearer", "expires_in": 1800}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": "2027-01", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    lifetime = claims.pop("exp") - claims.pop("iat")
    assert lifetime == 1800
    assert claims == {"iss": ISSUER, "aud": AUDIENCE, "sub": username, "role": username}
    me = await client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (me.status_code, me.json()) == (200, {"username": username, "role": username})


@pytest.mark.parametrize(
    ("username", "password"),
    [("admin", "wrong"), ("admin", PASSWORD + " "), ("nobody", PASSWORD), ("Admin", PASSWORD), ("' OR 1=1 --", "x")],
)
async def test_wrong(client: httpx.AsyncClient, username: str, password: str) -> None:
    """A wrong password and a user that does not exist are told in the same words."""
    answer = await sign_in(client, username, password)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json() == {"error": "http_401", "message": WRONG, "request_id": answer.headers["X-Request-ID"]}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"username": "admin"},
        {"username": "admin", "password": PASSWORD, "grant_type": "client_credentials"},
        {"username": "a\0b", "password": PASSWORD},
        {"username": "x" * 101, "password": PASSWORD},
        {"username": "admin", "password": "x" * 1_001},
    ],
)
async def test_no_form(client: httpx.AsyncClient, form: dict[str, str]) -> None:
    """What is no password form is a 422 that repeats nothing of it."""
    answer = await client.post("/auth/token", data=form)
    assert answer.status_code == 422
    assert answer.json()["error"] == "validation_error"
    assert PASSWORD not in answer.text


async def test_nothing_logged(client: httpx.AsyncClient, belvedere_logs: CapturedLogs) -> None:
    """Neither a password nor a token is in a line of the log; who signed in, and who called, is."""
    token = (await sign_in(client, "student")).json()["access_token"]
    await client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    await sign_in(client, "student", "another password")
    lines = [line for line in belvedere_logs if line["logger"] == "belvedere.access"]
    assert [line.get("user_id") for line in lines] == ["student", "student", None]
    assert PASSWORD not in str(list(belvedere_logs))
    assert token not in str(list(belvedere_logs))
    assert "another password" not in str(list(belvedere_logs))


async def test_same_work(client: httpx.AsyncClient) -> None:
    """For a user that does not exist, one hash of the same parameters is verified, as for a wrong password."""
    verified: list[str] = []
    verify = PasswordHasher.verify

    def noted(self: PasswordHasher, stored: str, password: str) -> bool:
        verified.append(stored)
        return verify(self, stored, password)

    with patch.object(PasswordHasher, "verify", noted):
        await sign_in(client, "admin", "wrong")
        await sign_in(client, "nobody", "wrong")
    known, unknown = (stored.split("$")[1:4] for stored in verified)
    assert known == unknown


async def test_same_time(written_url: URL) -> None:
    """A user that does not exist costs as much of the processor as a wrong password: on a busy one as well."""
    slow = PasswordHasher(time_cost=1, memory_cost=65_536, parallelism=1)
    database = Database(written_url)
    users = Users(database)
    user = await users.get("admin")
    assert user is not None
    await users.replace_hash(user, slow.hash(PASSWORD))
    taken: dict[str, list[float]] = {"admin": [], "nobody": []}
    async with served(Config(database_url=written_url, **FREELY)) as app, calling(app) as client:
        app.state.sign_in._passwords = Passwords(slow)
        await sign_in(client, "nobody", "wrong")  # the first one makes what others are compared with
        for _ in range(11):
            for username, times in taken.items():
                began = time.process_time()
                await sign_in(client, username, "wrong")
                times.append(time.process_time() - began)
    await database.close()
    known, unknown = (statistics.median(times) for times in taken.values())
    assert 0.5 < unknown / known < 2


async def test_rehash(written_url: URL) -> None:
    """A hash of other parameters is replaced when its user signs in, and no sooner; the password stays."""
    database = Database(written_url)
    users, weak = Users(database), PasswordHasher(time_cost=1, memory_cost=512, parallelism=1)
    user = await users.get("student")
    assert user is not None
    await users.replace_hash(user, weak.hash(PASSWORD))
    old = await users.get("student")
    assert old is not None
    async with served(Config(database_url=written_url, **FREELY)) as app, calling(app) as client:
        assert (await sign_in(client, "student", "wrong")).status_code == 401
        assert await users.get("student") == old
        assert (await sign_in(client, "student")).status_code == 200
        new = await users.get("student")
        assert new is not None
        assert new.password_hash != old.password_hash
        assert "$m=1024,t=1,p=1$" in new.password_hash
        assert (await sign_in(client, "student")).status_code == 200
        assert await users.get("student") == new
    await users.replace_hash(old, "a hash for somebody who changed the password meanwhile")
    assert await users.get("student") == new
    await database.close()


async def test_rehash_fails(app: FastAPI, client: httpx.AsyncClient) -> None:
    """Where the new hash cannot be stored, signing in works all the same."""
    with (
        patch.object(PasswordHasher, "check_needs_rehash", lambda _self, _hash: True),
        patch.object(Users, "replace_hash", side_effect=DatabaseUnavailableError),
    ):
        assert (await sign_in(client, "admin")).status_code == 200


async def test_broken_hash(written_url: URL) -> None:
    """A hash that cannot be read lets nobody in."""
    database = Database(written_url)
    users = Users(database)
    user = await users.get("partner")
    assert user is not None
    await users.replace_hash(user, "plain text")
    async with served(Config(database_url=written_url, **FREELY)) as app, calling(app) as client:
        assert (await sign_in(client, "partner", "plain text")).status_code == 401
    await database.close()


async def test_changed_demo_password(written_url: URL) -> None:
    """A start with another `DEMO_PASSWORD` changes the password of the users of the samples."""
    config: dict[str, Any] = {"database_url": written_url, **FREELY}
    async with served(Config(demo_password="another one", **config)) as app, calling(app) as client:
        assert (await sign_in(client, "admin", "another one")).status_code == 200
        assert (await sign_in(client, "admin")).status_code == 401
    async with served(Config(demo_password=PASSWORD, **config)) as app, calling(app) as client:
        assert (await sign_in(client, "admin")).status_code == 200


async def test_without_keys(sample_url: URL) -> None:
    """Without `JWT_KEYS` each process makes a key of its own, and says so."""
    async with served(Config(database_url=sample_url)) as app, calling(app) as client:
        token = (await sign_in(client, "admin")).json()["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/auth/me", headers=header)).status_code == 200
    async with served(Config(database_url=sample_url)) as other, calling(other) as client:
        assert (await client.get("/auth/me", headers=header)).status_code == 401


async def test_database_away(app: FastAPI, client: httpx.AsyncClient) -> None:
    """While the database is away, nobody can sign in, and whoever has signed in still is."""
    with patch.object(Users, "get", side_effect=DatabaseUnavailableError):
        answer = await sign_in(client, "admin")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


async def test_flood(sample_url: URL) -> None:
    """More at once than can wait are told to come back, and those before them are served."""
    held = Held()
    async with served(Config(database_url=sample_url, **FREELY)) as app, calling(app) as client:
        app.state.sign_in._passwords = Passwords(held, at_once=1, waiting=0)
        signing_in = [asyncio.create_task(sign_in(client, "nobody")) for _ in range(20)]
        refused = [await answer for answer in itertools.islice(asyncio.as_completed(signing_in), 19)]
        held.go.set()
        answers = await asyncio.gather(*signing_in)
    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
    assert sorted(answer.status_code for answer in answers) == [401] + [503] * 19
