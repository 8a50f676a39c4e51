"""What says who somebody is, is hidden where that is asked for, and only there."""

from __future__ import annotations

import time

import pytest

from belvedere.redaction import Redactor

HIDDEN = "[redacted]"


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
        ("NO9386011117947 and BE68 5390 0754 7034", f"{HIDDEN} and {HIDDEN}"),
        ("MT84MALT011000012345MTLCAST001S", HIDDEN),
        ("LC55 HEMM 0001 0001 0012 0012 0002 3015", HIDDEN),
        ("MA64011519000001205000534921", HIDDEN),
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
                "Chrome/612.508.4347.1055",
                # Ids whose check digits are right as an IBAN's, and which no country has at that length.
                "CA0356C42A3A6384A7D0C9795E6B70EA",
                "FA32A1FB50YC784X",
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
        began = time.process_time()
        Redactor(personal=True).text(text)
        return time.process_time() - began

    assert min(seconds(20_000) for _ in range(3)) < 40 * min(seconds(2_000) for _ in range(3)) + 0.01
