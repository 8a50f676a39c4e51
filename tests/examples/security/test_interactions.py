"""Interactions: who asked for what is the admins' to know; and nothing secret is kept, there or anywhere else."""

from __future__ import annotations

import base64
import time
import urllib.parse

import pytest

from tests.examples.scholarships.identities import bearer
from tests.examples.security.attack import E_MAIL, PASSWORD, Target, leaked
from tests.examples.security.test_injection import SQL


@pytest.mark.parametrize("path", ["/interactions", "/interactions/summary"])
@pytest.mark.parametrize(("user", "status"), [("", 401), ("student", 403), ("partner", 403), ("admin", 200)])
def test_interactions_are_the_admins(service: Target, path: str, user: str, status: int) -> None:
    """Who asked for what is told to admins alone."""
    answer = service.ask("GET", path, user=user)
    assert answer.status == status
    assert ("items" in answer.json()) == (status == 200)


def test_sql_in_filters_of_interactions(either: Target) -> None:
    """Filters and places in the list of interactions are data as well."""
    for name in ("event_type", "user_id", "scholarship_id", "after", "since", "until", "bucket", "limit"):
        for text in SQL:
            for path in ("/interactions", "/interactions/summary"):
                answer = either.ask("GET", f"{path}?" + urllib.parse.urlencode({name: text}), user="admin")
                assert answer.status in {200, 404, 422}, answer.body
                assert text not in answer.body.decode()


def test_nothing_secret_is_kept(either: Target) -> None:
    """Passwords, tokens and e-mail addresses, sent wherever one may, are in no line, metric, answer or interaction."""
    token = bearer("admin")["Authorization"].partition(" ")[2]
    basic = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    signed_in = either.sign_in("admin", PASSWORD).json()["access_token"]
    marker = f"secrecy{time.time_ns()}"
    query = urllib.parse.urlencode(
        {"query": marker, "country": E_MAIL, "password": PASSWORD, "access_token": token, "x": f"Bearer {token}"}
    )
    answers = [
        either.sign_in("admin", f"{PASSWORD}x"),
        either.sign_in(E_MAIL, PASSWORD),
        either.ask("POST", "/auth/token", {"username": E_MAIL, "password": PASSWORD}),
        either.ask("GET", f"/scholarships?{query}", user="student"),
        either.ask("GET", f"/scholarships?{query}&limit=nonsense"),
        either.ask("POST", "/search", {"query": f"{marker} {E_MAIL}", "country": token}),
        either.ask("POST", "/search", {"query": marker, "password": PASSWORD, "token": token}),
        either.ask("GET", "/auth/me", headers={"Authorization": f"Basic {basic}", "Cookie": f"session={token}"}),
        either.ask("GET", f"/scholarships/{token}"),
        either.ask("PATCH", "/scholarships/1", {"url": f"https://admin:{PASSWORD}@x.example/"}, user="admin"),
        either.ask("GET", "/metrics"),
        either.ask("GET", "/interactions/summary", user="admin"),
    ]
    assert {answer.status for answer in answers} <= {200, 400, 401, 404, 422}
    for answer in answers:
        leaked(answer.body.decode() + str(answer.headers), basic, signed_in)
    last = answers[9].headers["x-request-id"]
    deadline = time.monotonic() + 60
    while last not in (kept := either.ask("GET", "/interactions?limit=1000", user="admin").body.decode()):
        assert time.monotonic() < deadline, kept[:2_000]
        time.sleep(0.1)
    assert marker in kept
    leaked(kept, basic, signed_in)
    for file in either.state.rglob("*"):
        if file.is_file():
            leaked(file.read_bytes().decode("latin-1"), basic, signed_in)
    leaked(either.written(), basic, signed_in)
