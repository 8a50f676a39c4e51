"""Values of any kind are looked into, and the rest of them is shown as it was."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from belvedere.redaction import Redactor

HIDDEN = "[redacted]"


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


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_redaction_takes_any_value(value: Any) -> None:
    """Whatever the value, redacting does not fail, and keeps what is no text."""
    shown = Redactor().value("field", value)
    assert type(shown) is type(value)
