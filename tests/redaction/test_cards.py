"""Numbers of cards are hidden, as they are printed or typed; ids, times and addresses in memory are told from them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belvedere.redaction import Redactor

HIDDEN = "[redacted]"
SPAN = "7397792141360212"
"""An id of a span that by its digits could be a card's."""
TRACE = "ac15470985cfd9219823774b6401870d"


def with_check_digit(digits: str) -> str:
    """Return a number whose last digit is made right (ISO/IEC 7812-1, annex B)."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    return digits + str(-(doubled + sum(int(digit) for digit in digits[-2::-2])) % 10)


@pytest.mark.parametrize(
    ("begins", "lengths"),
    [
        *(("4", (13, 16, 19)), ("51", (16,)), ("55", (16,)), ("2221", (16,)), ("2720", (16,))),  # Visa, Mastercard
        *(("34", (15,)), ("37", (15,)), ("300", (14,)), ("36", (14, 19)), ("38", (14,)), ("3528", (16, 19))),
        *(("1800", (15,)), ("2131", (15,))),  # JCB, long ago
        *(("6011", (16, 19)), ("644", (16,)), ("65", (16,)), ("62", (16, 17, 18, 19)), ("81", (16,))),
        *(("50", (13, 15, 16, 19)), ("58", (16, 18)), ("6304", (13, 16, 19)), ("67", (16, 19))),  # Maestro
        *(("2200", (16, 19)), ("8600", (16,)), ("9860", (16,)), ("9792", (16,)), ("508", (16,)), ("1001", (15,))),
    ],
)
def test_cards_of_every_scheme(begins: str, lengths: tuple[int, ...]) -> None:
    """Whatever a card of today begins with, and however long its number is, it is not shown."""
    redactor = Redactor()
    for length in lengths:
        for rest in ("123456789012345678", "975318642097531864", "000000000000000000"):
            number = with_check_digit(begins + rest[: length - 1 - len(begins)])
            assert len(number) == length
            assert redactor.text(f"paid by {number}.") == f"paid by {HIDDEN}."
            by_fours = " ".join(number[at : at + 4] for at in range(0, length, 4))
            assert redactor.text(f"paid by {by_fours}.") == f"paid by {HIDDEN}."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4111 1111 1111 1111", HIDDEN),
        ("4111-1111-1111-1111", HIDDEN),
        ("41111111 11111111", HIDDEN),
        ("3782 822463 10005", HIDDEN),
        ("3056-930902-5904", HIDDEN),
        ("1354 12345 678911", HIDDEN),
        ("5018 1234 56789", HIDDEN),
        ("621234 5678901234569", HIDDEN),
        ("at 1732181234567 4111111111111111 200 17", f"at 1732181234567 {HIDDEN} 200 17"),
        ("4242424242424242 4111-1111-1111-1111", f"{HIDDEN} {HIDDEN}"),
        ("4111-1111-1111-1111-21808263-4061-4375-b1eb-fe27eea55af9", f"{HIDDEN}-21808263-4061-4375-b1eb-fe27eea55af9"),
        # No id is known here: a number beside other text stays one.
        (f"{TRACE}-4111111111111111", f"{TRACE}-{HIDDEN}"),
        (f"{TRACE}:4111111111111111", f"{TRACE}:{HIDDEN}"),
        ("span 4111111111111111", f"span {HIDDEN}"),
    ],
)
def test_groups_of_cards(text: str, shown: str) -> None:
    """A card is found as it is printed, with digits cut apart by fours, and beside other numbers."""
    assert Redactor().text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        # UUIDs, ids of traces.
        "21808263-4061-4375-b1eb-fe27eea55af9",
        "tasks/21808263-4061-4375-B1EB-FE27EEA55AF9/run",
        "41111111-1111-1111-4111-111111111111",
        "4c1f6b0d-deef-4b60-9254-683816910928",
        f"traceparent: 00-{TRACE}-{SPAN}-01",
        f"b3: {TRACE}-{SPAN}-1-{SPAN}",
        f"{TRACE}:{SPAN}:0:1",
        f"{TRACE}/8807048826533265007;o=1",
        f"trace_id={TRACE} span_id={SPAN} otelSpanID={SPAN}",
        f'{{"trace_id": "{TRACE}", "span_id": "{SPAN}", "parentSpanId":"{SPAN}"}}',
        # Times, and what is named after them.
        "20261122030404",
        "dump-20320725104028.sql",
        "backup 20260115-190056, 20280926-014543-152159",
        "20300325013539008",
        "ORD-20311111-567720",
        "2024-0306-39437",
        "1828729054965-78",
        'http_requests_total{a="b"} 898437 1921982238870',
        # Threads and objects, long numbers that are no cards', rows of numbers.
        "<Thread(Thread-1, started 140345506049808)>",
        "<_DummyThread(Dummy-1, started daemon 140562074619248)>",
        "93923446987712",
        "9780306406157",
        "[70903 69793 45083 42101 73057 44373]",
        "41 4941041 6705094 6800",
    ],
)
def test_what_is_no_card_stays(text: str) -> None:
    """Ids, times and addresses are shown, also where their last digit happens to be what a card's would be."""
    assert Redactor().text(text) == text


@given(st.uuids())
def test_a_uuid_stays(uuid: UUID) -> None:
    """No UUID is taken for a card, as one in thousands would be by its digits."""
    assert Redactor(personal=True).text(f"task {uuid}") == f"task {uuid}"


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - of whatever zone
def test_times_stay(at: datetime) -> None:
    """No time is taken for a card, however it is written."""
    redactor = Redactor(personal=True)
    for form in ("%Y%m%d%H%M%S", "%Y%m%d-%H%M%S", "%Y%m%d %H%M%S-%f", "%Y-%m-%d-%H-%M-%S-%f", "%Y%m%d%H%M%S%f"):
        text = at.strftime(form)
        assert redactor.text(text) == text


@given(st.integers(0, (1 << 40) - 1), st.integers(0, 99), st.text("0123456789", min_size=16, max_size=16))
def test_ids_and_addresses_stay(number: int, sequence: int, span: str) -> None:
    """No thread, no entry of a stream and no context of a trace is taken for a card."""
    redactor = Redactor(personal=True)
    for text in (
        f"started {0x7F00_0000_0000 + 16 * (number // 16)}",
        f"{1_600_000_000_000 + number // 4}-{sequence}",
        f"00-{TRACE}-{span}-01",
    ):
        assert redactor.text(text) == text
