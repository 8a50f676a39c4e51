"""Values are hidden by their key's name: what holds a secret, what only describes one, and what settings say."""

from __future__ import annotations

import pytest

from belvedere.redaction import Redactor

HIDDEN = "[redacted]"


@pytest.mark.parametrize(
    "key",
    [
        *("password", "passwd", "pwd", "PASSWORD", "user_password", "userPassword", "DB_PASSWORD", "password_hash"),
        *("new-password", "password1", "userpassword", "passphrase"),
        *("secret", "client_secret", "clientSecret", "secrets", "SECRET_KEY", "secretkey"),
        *("token", "refreshToken", "access_token", "accesstoken", "id_token", "access_tokens"),
        *("X-Auth-Token", "tokenValue"),
        *("authorization", "Authorization", "proxy-authorization", "auth", "credentials"),
        *("cookie", "Cookie", "set-cookie", "Set-Cookie", "cookies"),
        *("api_key", "apikey", "apiKey", "APIKey", "x-api-key", "X-API-Key", "stripe_api_keys"),
        *("private_key", "privateKey", "access_key", "aws_access_key_id", "signing_key", "encryption_key"),
        *("session", "session_id", "sessionid", "PHPSESSID", "csrf", "csrftoken", "X-CSRF-Token", "xsrf_token"),
        *("credit_card", "creditCard", "creditcard", "card_number", "cardNumber", "cvv", "cvv2", "cvc", "ssn", "iban"),
        *("email", "Email", "e-mail", "user_email", "emails", "ip_address", "ipAddress", "ip"),
        *("client_ip", "remote_addr"),
        *("x-forwarded-for", "x-real-ip", "otp", "pin", "jwt", "userPwd2", "OTPCode", "x_v2_jwt", "ssnLast4"),
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
        *("session_count", "sessions", "active_sessions", "session_timeout", "email_verified", "email_domain"),
        *("email_sent", "is_secret"),
        *("secretary", "cookie_name", "authorized", "author", "authority", "auth_method", "authenticated"),
        *("key", "primary_key", "keyboard", "card", "card_type", "discard", "ship", "zip", "recipe"),
        *("pod_ip", "ip_version"),
        *("path", "user_id", "order_id", "status", "method", "bypass", "pass_rate", "spin", "pinned", "emailed"),
        *("", "_", "-", "ключ", "日本"),
        # Random ids, in which a word of three letters came up: a ULID, a KSUID, a nanoid, base64.
        *("01RQXSR3V3PN8CVV5H1XE3M0VK", "foBZsg871dnBnIGW2Z9SSa5EPwd", "plNhueYvFiprvWrHTP8ssn"),
        "kNfgDGKCvcTzkt8L6ij3Rw",
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
