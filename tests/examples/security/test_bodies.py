"""Bodies that are too much: refused early, or read as what they are, and never a 500."""

from __future__ import annotations

import json

import pytest

from tests.examples.scholarships.identities import bearer
from tests.examples.security.attack import Target
from tests.examples.security.test_tokens import DRAFT

MEGABYTE = 1 << 20
WRITES = [
    ("POST", "/search", "application/json"),
    ("POST", "/scholarships", "application/json"),
    ("PATCH", "/scholarships/1", "application/json"),
    ("POST", "/auth/token", "application/x-www-form-urlencoded"),
]
WHO = f"Authorization: {bearer('admin')['Authorization']}\r\n"


def _head(method: str, path: str, kind: str, more: str) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{WHO}Content-Type: {kind}\r\n{more}"
    return f"{head}\r\n\r\n".encode()


@pytest.mark.parametrize(("method", "path", "kind"), WRITES)
def test_ten_megabytes_are_refused_early(service: Target, method: str, path: str, kind: str) -> None:
    """A 413 comes before the body does, and the process does not grow by what it refuses."""
    told = _head(method, path, kind, f"Content-Length: {10 * MEGABYTE}")
    assert service.raw(told).startswith(b"HTTP/1.1 413 ")  # warm
    before = service.peak()
    for _ in range(5):
        answer = service.raw(told)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"error":"http_413"' in answer
    piece = b"10000\r\n" + b"1" * 65_536 + b"\r\n"
    for _ in range(5):
        answer = service.raw(_head(method, path, kind, "Transfer-Encoding: chunked"), *[piece] * 160)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert service.sent < 4 * MEGABYTE
    assert service.peak() - before < 5 * MEGABYTE


def _nested(opening: str, closing: str, depth: int = 100_000) -> bytes:
    return (opening * depth + closing * depth).encode()


STRANGE = {
    "100,000 lists": _nested("[", "]", 30_000),
    "100,000 objects, unclosed": b'{"query":' * 7_000,
    "lists in a field": b'{"query":' + _nested("[", "]", 30_000) + b"}",
    "a number of 5,000 digits": b'{"min_amount":' + b"9" * 5_000 + b"}",
    "a number past all floats": b'{"min_gpa": 1e400}',
    "not a number": b'{"min_gpa": NaN}',
    "infinity": b'{"min_gpa": -Infinity}',
    "minus nought": b'{"limit": -0}',
    "a large integer": b'{"offset": 9223372036854775808}',
    "NUL": b'{"query": "a\\u0000b"}',
    "a raw NUL": b'{"query": "a\0b"}',
    "a lone surrogate": b'{"query": "\\ud800"}',
    "a lone low surrogate": b'{"country": "\\udc00x"}',
    "no UTF-8": b'{"query": "\xff\xfe"}',
    "UTF-16": '{"query": "a"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"query": "a"}',
    "the same name twice": b'{"limit": 1, "limit": 200}',
    "prototype": b'{"__proto__": {"admin": true}}',
    "nothing": b"",
    "null": b"null",
    "text": b'"text"',
    "two documents": b"{}{}",
    "control characters": b'{"query": "\\u0001\\u001b[31m\\u2028"}',
    "10,000 letters that combine": json.dumps({"query": "e" + "\u0301" * 400}).encode(),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_json_is_an_answer(either: Target, name: str) -> None:
    """It is found, not found, or a 400 or 422 that does not repeat it; the next request is answered as ever."""
    for method, path, user in (
        ("POST", "/search", ""),
        ("POST", "/scholarships", "partner"),
        ("PATCH", "/scholarships/1", "admin"),
    ):
        answer = either.ask(method, path, STRANGE[name], {"Content-Type": "application/json"}, user)
        assert answer.status in {200, 400, 413, 422}, answer.body
        if answer.status != 200:
            assert set(answer.json()) <= {"error", "message", "request_id", "details"}
            assert len(answer.body) < 2_000
    assert either.ask("GET", "/scholarships/1").status == 200


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "\x1b[31m", "\u202e", "\ufffe", "💥" * 50, "ﷺ" * 40])
def test_strange_text_is_stored_or_refused(either: Target, text: str) -> None:
    """A text that a database cannot hold is a 422; any other comes back as it was."""
    answer = either.ask("POST", "/scholarships", {**DRAFT, "title": f"x{text}x"}, user="partner")
    assert answer.status in {201, 422}
    if answer.status == 201:
        assert either.ask("GET", f"/scholarships/{answer.json()['id']}").json()["title"] == f"x{text}x"
    else:
        assert "\0" in text or "\ud800" in text


@pytest.mark.parametrize(
    "query", ["query=%00", "query=%ff%fe", "query=%ed%a0%80", "limit=" + "9" * 5_000, "x=" + "y" * 20_000, "&" * 5_000]
)
def test_strange_queries_are_an_answer(either: Target, query: str) -> None:
    """Whatever is in a query, the list is a list or a 422."""
    assert either.ask("GET", f"/scholarships?{query}").status in {200, 400, 414, 422}


@pytest.mark.parametrize("header", ["X-Large", "Cookie", "Authorization", "X-Request-ID", "traceparent", "Origin"])
def test_large_headers_are_an_answer(service: Target, header: str) -> None:
    """A header of a megabyte is refused or passed over, without the process keeping it."""
    value = "Bearer " + "a" * MEGABYTE
    request = f"GET /auth/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}: {value}\r\n\r\n".encode()
    service.raw(request)
    before = service.peak()
    for _ in range(5):
        answer = service.raw(request)
        assert answer.split(b" ", 2)[1] in {b"400", b"401", b"413", b"431"}
        assert len(answer) < 4_000
    assert service.peak() - before < 8 * MEGABYTE
    assert service.ask("GET", "/healthz").status == 200


def test_many_fields_are_an_answer(service: Target) -> None:
    """Thousands of names in a form, a cookie or a document cost no more than their bytes."""
    form = "&".join(f"a{number}=1" for number in range(7_000)).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert service.ask("POST", "/auth/token", form, kind).status in {400, 422}
    assert service.ask("POST", "/search", {f"a{number}": 1 for number in range(3_000)}).status == 422
