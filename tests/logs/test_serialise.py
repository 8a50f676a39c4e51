"""Any value can be logged: what it becomes, and where it ends."""

from __future__ import annotations

import math
from collections import ChainMap, OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from belvedere import failures
from belvedere.logs import get_logger
from belvedere.logs.serialise import MAX_CHARACTERS, MAX_DEPTH, MAX_ITEMS, as_text, cut, cut_middle, plain, repair
from tests.logs.conftest import Start
from tests.logs.lines import Line, line

Lines = Callable[[], list[Line]]
Point = namedtuple("Point", "x y")  # noqa: PYI024 - an untyped one, as applications have


class Color(Enum):
    RED = "red"


class Word(StrEnum):
    A = "a"


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


class Float(float):
    pass


@dataclass
class Order:
    number: int
    tags: set[str] = field(default_factory=set)
    hidden: str = field(default="x", repr=False)


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    key: SecretStr = SecretStr("s3cret")
    hidden: str = Field("x", repr=False)


class Opaque:
    def __repr__(self) -> str:
        return "<Opaque>"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class BrokenText(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no text")


class BrokenMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no keys")

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "<BrokenMapping>"


class Chatty:
    """Logs itself whenever it is shown."""

    def __repr__(self) -> str:
        get_logger("chatty").info("shown", value=self)
        return "<Chatty!>"


class Liar:
    def __repr__(self) -> Any:
        return 5


MOMENT = datetime(2026, 11, 21, 10, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(value, value) for value in (None, True, 0, -1, 1.5, "text", "", "ünï", [], {}, [1, [2]], {"a": {"b": 1}})],
        (math.nan, None),
        (math.inf, None),
        (2**64, str(2**64)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (10**5000, f"{hex(10**5000)[:4096]}… [{len(hex(10**5000)) - 4096} more characters]"),
        (b"bytes", "bytes"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (bytearray(b"x"), "x"),
        (memoryview(b"x"), "x"),
        ("\ud800", "\\ud800"),
        ({"\ud800": ["\udfff"]}, {"\\ud800": ["\\udfff"]}),
        ((1, "a"), [1, "a"]),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        (deque([1, 2]), [1, 2]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (OrderedDict(a=1), {"a": 1}),
        (ChainMap({"a": 1}), {"a": 1}),
        (
            {1: "int", None: "none", b"b": "bytes", (1,): "tuple"},
            {"1": "int", "None": "none", "b": "bytes", "(1,)": "tuple"},
        ),
        (MOMENT, "2026-11-21T10:00:00.000005+00:00"),
        (date(2026, 11, 21), "2026-11-21"),
        (time(10, 0), "10:00:00"),
        (timedelta(minutes=1), "0:01:00"),
        (Decimal("1.10"), "1.10"),
        (Fraction(1, 3), "1/3"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (PurePosixPath("/tmp/x"), "/tmp/x"),  # noqa: S108
        (ip_address("::1"), "::1"),
        (Color.RED, "red"),
        (Word.A, "a"),
        (Number.ONE, 1),
        (Text("text"), "text"),
        (Float(1.5), 1.5),
        (Order(1, {"a"}), {"number": 1, "tags": ["a"]}),
        (Model(name="ada", more=[1]), {"name": "ada", "key": "SecretStr('**********')", "more": [1]}),
        (ValueError("no"), "ValueError: no"),
        (KeyError(), "KeyError"),
        (BrokenText(), "BrokenText: BrokenText()"),
        (Opaque(), "<Opaque>"),
        (Broken(), "<Broken, whose repr raised RuntimeError>"),
        (Liar(), "<Liar, whose repr raised TypeError>"),
        (BrokenMapping(), "<BrokenMapping>"),
        (Opaque, "<class 'tests.logs.test_serialise.Opaque'>"),
        (Order, "<class 'tests.logs.test_serialise.Order'>"),
        (range(3), "range(0, 3)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_becomes_json(start: Start, lines: Lines, value: Any, shown: Any) -> None:
    """What JSON has a word for is shown as that, the rest as it describes itself; nothing raises."""
    start()
    get_logger("app").info("e", value=value)
    get_logger("app").info("e", inside=[{"value": value}])
    assert lines() == [line("info", "app", "e", value=shown), line("info", "app", "e", inside=[{"value": shown}])]
    assert failures.counts == {}


def test_an_event_may_be_anything(start: Start, lines: Lines) -> None:
    """The event is text in the line, whatever was logged."""
    start()
    for event in (5, b"bytes", ["a"], ValueError("no"), Broken(), "\ud800"):
        get_logger("app").info(event)
    assert [item["event"] for item in lines()] == [
        *("5", "bytes", "['a']", "no", "<Broken, whose repr raised RuntimeError>", "\\ud800"),
    ]


def test_a_value_that_logs_itself_comes_to_an_end(start: Start, lines: Lines) -> None:
    """Showing a value inside of showing it names its type alone."""
    start()
    get_logger("app").info("e", value=Chatty())
    assert lines() == [line("info", "chatty", "shown", value="<Chatty>"), line("info", "app", "e", value="<Chatty!>")]


def test_long_texts_are_cut(start: Start, lines: Lines) -> None:
    """65,536 characters are kept, and the line says how many there were more; so it is with bytes and descriptions."""
    start()
    get_logger("app").info(
        "x" * 1_000_000, text="y" * 65_537, bytes=b"z" * 70_000, whole="w" * 65_536, email="e" * 70_000
    )
    get_logger("app").info("e", value=type("Long", (), {"__repr__": lambda self: "r" * 5_000})())
    assert lines() == [
        line(
            "info",
            "app",
            "x" * 65_536 + "… [934464 more characters]",
            text="y" * 65_536 + "… [1 more characters]",
            bytes="z" * 65_536 + "… [4464 more characters]",
            whole="w" * 65_536,
            email="[redacted]",
        ),
        line("info", "app", "e", value="r" * 4_096 + "… [904 more characters]"),
    ]


def test_a_secret_across_the_cut_is_not_shown(start: Start, lines: Lines) -> None:
    """Half an address would be one still."""
    start()
    get_logger("app").info("x" * 65_520 + " ada@example.com" + "y" * 100)
    assert lines()[0]["event"].startswith("x" * 65_520 + " [redacted]")


def test_a_long_traceback_keeps_both_ends(start: Start, lines: Lines) -> None:
    """What was raised stands at the end of a traceback, what led to it at the beginning."""
    start()
    get_logger("app").error("failed", exc_info=ValueError("a" * 100_000 + "z"))
    text = lines()[0]["exception"]
    assert text.startswith("ValueError: aaa")
    assert text.endswith("aaaz")
    assert "… [34477 more characters]\n" in text


def test_circles_are_named(start: Start, lines: Lines) -> None:
    """A container in itself does not go on for ever; one that is met twice is shown twice."""
    circle: dict[str, Any] = {"a": 1}
    circle["self"] = [circle]
    twice = [1]
    start()
    get_logger("app").info("e", circle=circle, twice=[twice, twice])
    assert lines() == [line("info", "app", "e", circle={"a": 1, "self": ["[circular]"]}, twice=[[1], [1]])]


def test_depth_is_bounded() -> None:
    """Containers within containers are followed so far, and no farther."""
    tower: Any = "top"
    for _ in range(100_000):
        tower = [tower]
    shown = plain(tower)
    for _ in range(MAX_DEPTH):
        (shown,) = shown
    assert shown == "[too deep]"


def test_items_are_bounded() -> None:
    """A value with very many items is shown in part, however they are spread."""
    assert plain(list(range(MAX_ITEMS + 5)))[-1] == "[more items]"
    assert len(plain(list(range(MAX_ITEMS + 5)))) == MAX_ITEMS + 1
    assert plain({str(number): number for number in range(MAX_ITEMS + 5)})["…"] == "[more items]"
    doubled: Any = [1]
    for _ in range(15):
        doubled = [doubled, doubled]
    assert len(orjson.dumps(plain(doubled))) < 300_000


def test_characters_are_bounded() -> None:
    """Many long texts together do not make a line of any length."""
    shown = plain(["x" * 60_000] * 100)
    assert sum(map(len, shown)) < MAX_CHARACTERS + 100 * 40
    assert shown[-1] == "… [60000 more characters]"


def test_cutting_leaves_short_texts_alone() -> None:
    """What fits is not touched, what does not is cut where it says."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… [1 more characters]"
    assert cut_middle("abc") == "abc"


def test_any_object_has_a_text() -> None:
    """`str()` or, where that fails, a description."""
    assert as_text(Text("x")) == "x"
    assert as_text(Broken()) == "<Broken, whose repr raised RuntimeError>"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
values = st.recursive(
    scalars | st.complex_numbers() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(scalars, inner) | st.tuples(inner, inner) | st.frozensets(scalars),
)


@given(values)
def test_anything_at_all_can_be_serialised(value: Any) -> None:
    """Whatever Python builds, orjson takes the result."""
    orjson.dumps(repair({"value": plain(value)}))


@given(st.text(st.characters()))
def test_texts_with_surrogates_can_be_serialised(text: str) -> None:
    """Every text can be written, those that are no Unicode included."""
    assert orjson.loads(orjson.dumps(repair(text))) == repair(text)
