"""Secrets are hidden by their shape, wherever they stand in a text, and however hostile the text."""

from __future__ import annotations

import time
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belvedere.redaction import Redactor

HIDDEN = "[redacted]"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # JSON Web Tokens, signed, unsigned, encrypted, and texts that only begin like one.
        (JWT, HIDDEN),
        (f"got {JWT}, ok", f"got {HIDDEN}, ok"),
        (f"x{JWT}", f"x{HIDDEN}"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", HIDDEN),
        ("eyJhbGciOiJSU0EifQ.OKOawDo13gRp.48V1_ALb6US.5eym8TW_c8SuK.XFBoMYUZodet", HIDDEN),
        ("eyJhbGci and so on", "eyJhbGci and so on"),
        ("eyJhbGciOiJ.x", "eyJhbGciOiJ.x"),
        # Credentials of HTTP.
        ("Bearer abc123.def", f"Bearer {HIDDEN}"),
        ("sent bearer topsecret today", f"sent bearer {HIDDEN} today"),
        (f"Authorization: Bearer {JWT}", f"Authorization: Bearer {HIDDEN}"),
        ("a Bearer token is missing", "a Bearer token is missing"),
        ('Bearer realm="shop"', 'Bearer realm="shop"'),
        ("the bearer of this", "the bearer of this"),
        (f"Basic {b64encode(b'ada:lovelace').decode()}", f"Basic {HIDDEN}"),
        ("Basic YTo_Pz8", f"Basic {HIDDEN}"),
        ("Basic authentication and basic auth", "Basic authentication and basic auth"),
        ("Basic abc1-not-base64", f"Basic {HIDDEN}"),
        ("Basic understanding of it", "Basic understanding of it"),
        # Passwords in URLs: the rest of the URL stays.
        ("postgresql+asyncpg://ada:s3cret@db.example:5432/x", f"postgresql+asyncpg://ada:{HIDDEN}@db.example:5432/x"),
        ("redis://:s3cret@cache.example/0", f"redis://:{HIDDEN}@cache.example/0"),
        ("amqp://u:p@ss@mq.example/", f"amqp://u:{HIDDEN}@mq.example/"),
        ("postgresql://u:a/b@db.example/x", f"postgresql://u:{HIDDEN}@db.example/x"),
        (
            "from http://a:b@c.example to https://d:e@f.example",
            f"from http://a:{HIDDEN}@c.example to https://d:{HIDDEN}@f.example",
        ),
        ("https://shop.example:8443/@ada?x=1", "https://shop.example:8443/@ada?x=1"),
        ("http://[::1]:8000/@ada", "http://[::1]:8000/@ada"),
        ("ssh://git@git.example/repo", "ssh://git@git.example/repo"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("://", "://"),
        # E-mail addresses.
        ("ada@example.com", HIDDEN),
        ("mail ada.love+x@sub.example.co.uk.", f"mail {HIDDEN}."),
        ("a@b.example, c@d.example", f"{HIDDEN}, {HIDDEN}"),
        ("ädä@exämple.de", HIDDEN),
        (
            "@app.get and x @ y and user@localhost and root@127.0.0.1",
            "@app.get and x @ y and user@localhost and root@127.0.0.1",
        ),
        # Card numbers, grouped as they are printed or not at all.
        ("4111111111111111", HIDDEN),
        ("paid with 4111 1111 1111 1111.", f"paid with {HIDDEN}."),
        ("3782-822463-10005 and 5500000000000004", f"{HIDDEN} and {HIDDEN}"),
        ("order 12345678 4111-1111-1111-1111 12", f"order 12345678 {HIDDEN} 12"),
        ("card_4111111111111111", f"card_{HIDDEN}"),
        ("135412345678911", HIDDEN),
        ("4111111111111112", "4111111111111112"),
        ("1732181234567 and 1732181234567890", "1732181234567 and 1732181234567890"),
        ("41111111111111114111", "41111111111111114111"),
        ("0.4111111111111111 and 4111111111111111.5", "0.4111111111111111 and 4111111111111111.5"),
        ("a4111111111111111 and 4111111111111111b", "a4111111111111111 and 4111111111111111b"),
        ("41 11 11 11 11 11 11 11", "41 11 11 11 11 11 11 11"),
        # Keys within texts.
        ("GET /x?token=abc&page=2 and api_key=1", f"GET /x?token={HIDDEN}&page=2 and api_key={HIDDEN}"),
        (
            "{'password': 'a b', \"secret\": \"c\", 'n': 'x'}",
            f"{{'password': '{HIDDEN}', \"secret\": \"{HIDDEN}\", 'n': 'x'}}",
        ),
        ("connect(password=password, token='t', n=1)", f"connect(password=password, token='{HIDDEN}', n=1)"),
        ('{"password": null}', '{"password": null}'),
        (f"token={JWT}", f"token={HIDDEN}"),
        ("password='never closed", f"password='{HIDDEN}'"),
        # Keys in the values of others, bytes, and quotes within quotes.
        ("url=https://shop.example/x?token=abc&page=2", f"url=https://shop.example/x?token={HIDDEN}&page=2"),
        ('message="login, password=abc" n=1', f'message="login, password={HIDDEN}" n=1'),
        ('body=\'{"password": "abc", "n": 1}\'', f'body=\'{{"password": "{HIDDEN}", "n": 1}}\''),
        ("{b'password': b'a b', 'n': b'x'} token=b'c'", f"{{b'password': '{HIDDEN}', 'n': b'x'}} token='{HIDDEN}'"),
        (r'{"password": "a\"b c\\", "n": "x"}', f'{{"password": "{HIDDEN}", "n": "x"}}'),
        ("retry=2 user=ada rate=5", "retry=2 user=ada rate=5"),
        # The end of base64, in which `Otp`, `Cvv` and the like are bound to come up, is no value.
        ("KjCvv1detcAt4IB6AfGhog==", "KjCvv1detcAt4IB6AfGhog=="),
        ('{"digest": "rlc1CdjK7N7cqv68JWTOfA==", "n": 1}', '{"digest": "rlc1CdjK7N7cqv68JWTOfA==", "n": 1}'),
        ("{'digest': 'amRfDlkDUsAhBm1jCvc8P04wI8w=', 'n': 1}", "{'digest': 'amRfDlkDUsAhBm1jCvc8P04wI8w=', 'n': 1}"),
        ("HrYXpIA6IH9ThpCvvSTa_=1", "HrYXpIA6IH9ThpCvvSTa_=1"),
        ("cvv=12=", f"cvv={HIDDEN}"),
        # Ordinary texts.
        ("", ""),
        ("order_placed", "order_placed"),
        ("2026-11-21T10:00:00.000000Z", "2026-11-21T10:00:00.000000Z"),
        ("/items/17", "/items/17"),
        ("5b6a3c52-7f0e-4f7e-9a53-0a1b2c3d4e5f", "5b6a3c52-7f0e-4f7e-9a53-0a1b2c3d4e5f"),
    ],
)
def test_secrets_are_found_by_their_shape(text: str, shown: str) -> None:
    """What looks like a secret is replaced, what stands around it stays; a second pass changes nothing more."""
    redactor = Redactor()
    assert redactor.text(text) == shown
    assert redactor.value("note", text) == shown
    assert redactor.text(shown) == shown


HOSTILE = [
    *("a", "1", "1 ", "1234 ", "12345 ", "1-", "@", "a@", "a@a.", "a.a@", "eyJ", "eyJ.", "eyJaaaaa.aaaaa", "://"),
    *("://a:b", "://a:b/"),
    *("Bearer ", "bearer bearer", "Basic =", "=", "a=", 'aa="', "aa='", '"', "'a':", 'token="', "password="),
    *("4111 ", "4111 1111 "),
    *("a" * 64 + "@", "://" + "a" * 200, "token=" + "a" * 4100 + "'", "\n", "ß", "[redacted]", "x" * 100 + "="),
    *("a-", "_", "0" * 32 + "-", "span_id=", "41111111-1111-"),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """A megabyte made to confuse the search is searched in time that grows with its length alone."""
    redactor = Redactor()
    large = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]

    def seconds(text: str) -> float:
        started = time.process_time()
        redactor.text(text)
        return time.process_time() - started

    # Were it quadratic, the megabyte would take a hundred times what its tenth takes.
    assert seconds(large) < 1.0 + 30 * seconds(large[:100_000])


@given(st.text())
def test_redaction_takes_any_text(text: str) -> None:
    """Whatever the text, the result is a text, and redacting it again changes nothing."""
    redactor = Redactor()
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(st.text(), st.sampled_from([JWT, "Bearer abc123xyz", "ada@example.com", "4111 1111 1111 1111"]), st.text())
def test_a_secret_is_found_wherever_it_stands(before: str, secret: str, after: str) -> None:
    """Whatever stands around it, apart from what would make it a part of something else, a secret is not shown."""
    assert secret not in Redactor().text(f"{before} {secret} {after}")
