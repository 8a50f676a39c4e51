"""What must not leave the process does not, and the rest is shown as it was."""

from __future__ import annotations

import time
from base64 import b64encode
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belvedere.redaction import Redactor

HIDDEN = "[redacted]"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    "key",
    [
        *("password", "passwd", "pwd", "PASSWORD", "user_password", "userPassword", "DB_PASSWORD", "password_hash"),
        *("new-password", "password1", "userpassword", "passphrase"),
        *("secret", "client_secret", "clientSecret", "secrets", "SECRET_KEY", "secretkey"),
        *(
            "token",
            "refreshToken",
            "access_token",
            "accesstoken",
            "id_token",
            "access_tokens",
            "X-Auth-Token",
            "tokenValue",
        ),
        *("authorization", "Authorization", "proxy-authorization", "auth", "credentials"),
        *("cookie", "Cookie", "set-cookie", "Set-Cookie", "cookies"),
        *("api_key", "apikey", "apiKey", "APIKey", "x-api-key", "X-API-Key", "stripe_api_keys"),
        *("private_key", "privateKey", "access_key", "aws_access_key_id", "signing_key", "encryption_key"),
        *("session", "session_id", "sessionid", "PHPSESSID", "csrf", "csrftoken", "X-CSRF-Token", "xsrf_token"),
        *("credit_card", "creditCard", "creditcard", "card_number", "cardNumber", "cvv", "cvv2", "cvc", "ssn", "iban"),
        *(
            "email",
            "Email",
            "e-mail",
            "user_email",
            "emails",
            "ip_address",
            "ipAddress",
            "ip",
            "client_ip",
            "remote_addr",
        ),
        *("x-forwarded-for", "x-real-ip", "otp", "pin", "jwt"),
    ],
)
def test_keys_that_hold_secrets_are_redacted_whatever_they_hold(key: str) -> None:
    """A sensitive key is found whole and as words of a compound name, in any case and with any separator."""
    redactor = Redactor()
    assert redactor.value(key, "plain") == HIDDEN
    assert redactor.value(key, 123) == HIDDEN
    assert redactor.value(key, ["a", {"b": 1}]) == HIDDEN
    assert redactor.mapping({"outer": [{key: "plain"}]}) == {"outer": [{key: HIDDEN}]}


@pytest.mark.parametrize(
    "key",
    [
        *("token_type", "tokens_used", "max_tokens", "token_count", "token_expires_at", "prompt_tokens", "tokenizer"),
        *("password_length", "password_changed_at", "has_password", "password_required", "passenger", "compass"),
        *(
            "session_count",
            "sessions",
            "active_sessions",
            "session_timeout",
            "email_verified",
            "email_domain",
            "email_sent",
            "is_secret",
        ),
        *("secretary", "cookie_name", "authorized", "author", "authority", "auth_method", "authenticated"),
        *(
            "key",
            "primary_key",
            "keyboard",
            "card",
            "card_type",
            "discard",
            "ship",
            "zip",
            "recipe",
            "pod_ip",
            "ip_version",
        ),
        *("path", "user_id", "order_id", "status", "method", "bypass", "pass_rate", "spin", "pinned", "emailed"),
        *("", "_", "-", "ключ", "日本"),
    ],
)
def test_keys_that_describe_a_secret_or_only_sound_like_one_are_shown(key: str) -> None:
    """Counts, types, times and flags about secrets are no secrets; nor are words that merely contain one."""
    assert Redactor().value(key, "plain") == "plain"
    assert Redactor().value(key, 3) == 3


def test_nothing_is_shown_as_nothing() -> None:
    """An absent secret is worth knowing, and tells nothing."""
    assert Redactor().mapping({"password": None, "a": {"token": None}}) == {"password": None, "a": {"token": None}}


def test_allowed_keys_are_shown_untouched() -> None:
    """An allowed key shows its value, whatever its shape; other keys are as before."""
    redactor = Redactor(allow=["email", "ip_address"])
    given = {
        "email": "ada@example.com",
        "ipAddress": "10.0.0.1",
        "user_email": "a@b.example",
        "note": "ada@example.com",
    }
    assert redactor.mapping(given) == {
        "email": "ada@example.com",
        "ipAddress": "10.0.0.1",
        "user_email": HIDDEN,
        "note": HIDDEN,
    }
    assert redactor.value("email", "ada@example.com") == "ada@example.com"


def test_more_keys_are_redacted_on_request() -> None:
    """A key of the settings is found like Belvedere's own: as a name and as words of one; allowing it again wins."""
    redactor = Redactor(redact=["tax_id", "nickname"], allow=["nickname"])
    given = {"tax_id": "1", "userTaxId": "2", "taxid": "3", "tax": "4", "id": "5", "nickname": "ada"}
    assert redactor.mapping(given) == {
        "tax_id": HIDDEN,
        "userTaxId": HIDDEN,
        "taxid": HIDDEN,
        "tax": "4",
        "id": "5",
        "nickname": "ada",
    }


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


@dataclass
class Account:
    name: str
    password: str
    contact: Any = None


def test_values_are_redacted_however_deep_they_are() -> None:
    """Dictionaries, lists, tuples, sets, pairs, bytes and dataclasses are looked into; their kind stays if it can."""
    given = {
        "account": Account("ada", "s3cret", {"note": "ada@example.com"}),
        "headers": [("Accept", "text/html"), ("Cookie", "a=b"), (b"authorization", b"x")],
        "nested": OrderedDict(list=[({"token": 1}, "Bearer abc123"), frozenset({"4111111111111111"})]),
        "set": {"ada@example.com", "b"},
        "bytes": b"Bearer abc123",
        "plain": b"\xff",
        "number": 4111111111111111,
        1: "Bearer abc123",
        "kind": Account,
    }
    assert Redactor().mapping(given) == {
        "account": {"name": "ada", "password": HIDDEN, "contact": {"note": HIDDEN}},
        "headers": [("Accept", "text/html"), ("Cookie", HIDDEN), (b"authorization", HIDDEN)],
        "nested": {"list": [({"token": HIDDEN}, f"Bearer {HIDDEN}"), frozenset({HIDDEN})]},
        "set": {HIDDEN, "b"},
        "bytes": f"Bearer {HIDDEN}".encode(),
        "plain": b"\xff",
        "number": 4111111111111111,
        1: f"Bearer {HIDDEN}",
        "kind": Account,
    }


def test_what_was_given_is_not_changed() -> None:
    """Redaction returns new containers."""
    given = {"a": [{"token": "x"}]}
    Redactor().mapping(given)
    assert given == {"a": [{"token": "x"}]}


def test_text_of_another_class_is_text() -> None:
    """A subclass of `str` is looked into as well."""

    class Path(str):
        __slots__ = ()

    assert Redactor().value("note", Path("ada@example.com")) == HIDDEN


def test_circles_and_towers_come_to_an_end() -> None:
    """A container in itself is named, one that is met again is looked at once, and too deep a one is not shown."""
    circle: dict[str, Any] = {"token": "x"}
    circle["self"] = circle
    assert Redactor().mapping(circle) == {"token": HIDDEN, "self": "[circular]"}
    doubled: Any = "x"
    for _ in range(60):
        doubled = [doubled, doubled]
    shown = Redactor().value("a", doubled)
    assert shown[0] is shown[1]
    tower: Any = "x"
    for _ in range(1000):
        tower = [tower]
    shown = Redactor().value("a", tower)
    depth = 0
    while isinstance(shown, list):
        shown, depth = shown[0], depth + 1
    assert (shown, depth) == (HIDDEN, 64)


HOSTILE = [
    *(
        "a",
        "1",
        "1 ",
        "1234 ",
        "12345 ",
        "1-",
        "@",
        "a@",
        "a@a.",
        "a.a@",
        "eyJ",
        "eyJ.",
        "eyJaaaaa.aaaaa",
        "://",
        "://a:b",
        "://a:b/",
    ),
    *(
        "Bearer ",
        "bearer bearer",
        "Basic =",
        "=",
        "a=",
        'aa="',
        "aa='",
        '"',
        "'a':",
        'token="',
        "password=",
        "4111 ",
        "4111 1111 ",
    ),
    *(
        "a" * 64 + "@",
        "://" + "a" * 200,
        "token=" + "a" * 4100 + "'",
        "\n",
        "ß",
        "[redacted]",
        "x" * 100 + "=",
        "a-",
        "_",
    ),
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


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_redaction_takes_any_value(value: Any) -> None:
    """Whatever the value, redacting does not fail, and keeps what is no text."""
    shown = Redactor().value("field", value)
    assert type(shown) is type(value)


@pytest.mark.parametrize(
    "key",
    [
        *("phone", "phoneNumber", "mobile", "tel", "first_name", "firstName", "LastName", "fullname", "username"),
        *("address", "home_address", "addressLine1", "street_name", "zip", "zip_code", "postcode"),
        *("date_of_birth", "birthDate", "dob", "passport_number", "national_id", "tax-id", "bank_account"),
        *("gender", "ethnicity", "race", "lat", "longitude", "emergency_contact"),
    ],
)
def test_keys_of_persons_where_that_is_asked_for(key: str) -> None:
    """What says who somebody is goes where it is kept for long, and stays in the log; a setting shows it."""
    assert Redactor(personal=True).mapping({key: "x"}) == {key: HIDDEN}
    assert Redactor().mapping({key: "x"}) == {key: "x"}
    assert Redactor(allow=[key], personal=True).mapping({key: "x"}) == {key: "x"}


@pytest.mark.parametrize(
    "key",
    [
        *("query", "min_amount", "deadline_after", "field_of_study", "level", "country", "min_gpa", "limit", "sort"),
        *("name", "title", "city", "age", "phone_type", "has_phone", "address_count", "embrace", "template", "flat"),
    ],
)
def test_keys_of_nobody(key: str) -> None:
    """What a search asks for is shown, and what only describes."""
    assert Redactor(personal=True).mapping({key: "x"}) == {key: "x"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call +1 (555) 123-4567, please", "call [redacted], please"),
        ("+49 170 1234567", HIDDEN),
        ("tel:+442071838750", "tel:[redacted]"),
        ("(212) 555-0100 or 212.555.0100", "[redacted] or [redacted]"),
        ("ssn 123-45-6789", "ssn [redacted]"),
        ("DE89 3704 0044 0532 0130 00 THEN", "[redacted] THEN"),
        ("GB82WEST12345698765432", HIDDEN),
        *(
            (same, same)
            for same in (
                "DE89WEST00440532013001",
                "2026-11-21T18:49:35+00:00",
                "2020-2021, 1000-2000",
                "1,000,000.00 - 2,000,000.00",
                "9f0c1c6e-1234-4123-8123-123456789012",
                "978-3-16-148410-0",
                "10.0.0.1",
                "+12 hours, 3+4567890123",
                "order 1234567890",
            )
        ),
    ],
)
def test_numbers_of_persons(text: str, shown: str) -> None:
    """Telephones, Social Security and bank accounts are known by their shape, dates, amounts and ids are not theirs."""
    assert Redactor(personal=True).text(text) == shown
    assert Redactor().text(text) == text


@pytest.mark.parametrize("piece", ["+1", "1 ", "AB12 ", "(2", "+1 - ", "222-", "9"])
def test_looking_for_persons_takes_time_in_proportion(piece: str) -> None:
    """Ten times as much text takes about ten times as long."""

    def seconds(times: int) -> float:
        text = piece * times
        began = time.perf_counter()
        Redactor(personal=True).text(text)
        return time.perf_counter() - began

    assert min(seconds(20_000) for _ in range(3)) < 40 * min(seconds(2_000) for _ in range(3)) + 0.01
