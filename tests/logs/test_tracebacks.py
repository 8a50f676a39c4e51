"""Tracebacks: what Python itself would write, and made once for a storm of the same."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from belvedere.logs import tracebacks
from belvedere.logs.tracebacks import REMEMBERED, formatted


def simple(number: int = 0) -> None:
    raise ValueError(f"broken {number}")


def caused() -> None:
    try:
        simple()
    except ValueError as error:
        raise RuntimeError("outer") from error


def during() -> None:
    try:
        simple()
    except ValueError:
        raise RuntimeError("outer")  # noqa: B904 - what is shown of such


def hidden() -> None:
    try:
        simple()
    except ValueError:
        raise RuntimeError("outer") from None


def noted() -> None:
    error = ValueError("noted")
    error.add_note("a note")
    raise error


def several() -> None:
    raise ExceptionGroup("both", [ValueError("a"), KeyError("b")])


def misspelled() -> None:
    length = 1
    print(lenght)  # type: ignore[name-defined]  # noqa: F821
    print(length)


def circular() -> None:
    error = ValueError("a")
    error.__cause__ = RuntimeError("b")
    error.__cause__.__cause__ = error
    raise error


def raised(call: Callable[[], None]) -> BaseException:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("call", [simple, caused, during, hidden, noted, several, misspelled, circular])
def test_it_is_what_python_writes(call: Callable[[], None]) -> None:
    """Each time, and whether or not it was written before."""
    for _ in range(2):
        error = raised(call)
        assert formatted(error) == "".join(traceback.format_exception(error)).rstrip("\n")


def test_the_same_exception_is_made_into_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is raised; another message, another way to it, or another cause is another text."""
    made: list[BaseException] = []
    original = traceback.format_exception

    def counting(error: Any) -> list[str]:
        made.append(error)
        return original(error)

    monkeypatch.setattr(tracebacks, "_texts", {})
    monkeypatch.setattr(traceback, "format_exception", counting)
    texts = [formatted(raised(simple)) for _ in range(50)]
    assert len(made) == 1
    assert set(texts) == {texts[0]}
    assert "broken 1" in formatted(raised(lambda: simple(1)))
    assert formatted(raised(caused)) != formatted(raised(during)) != formatted(raised(hidden))
    assert len(made) == 5


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are all different, or that are very long, fill no memory."""
    kept: dict[Any, str] = {}
    monkeypatch.setattr(tracebacks, "_texts", kept)
    for number in range(10 * REMEMBERED):
        assert f"broken {number}" in formatted(raised(lambda number=number: simple(number)))  # type: ignore[misc]
    assert len(kept) <= REMEMBERED
    kept.clear()
    long = "x" * tracebacks.LONGEST

    def endless() -> None:
        raise ValueError(long)

    assert long in formatted(raised(endless))
    assert kept == {}


def test_an_exception_that_cannot_be_shown() -> None:
    """Its type is."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise OSError

    assert "BrokenError" in formatted(BrokenError())


def test_equal_code_of_two_files_is_told_apart() -> None:
    """A function that was copied raises in its own file and line, though Python holds both for equal code."""
    for file, source in [
        ("orders.py", "lambda: 1 / 0"),
        ("stock.py", "lambda: 1 / 0"),
        ("stock.py", "lambda: (1\n/ 0)"),
    ]:
        with pytest.raises(ZeroDivisionError) as raised:
            eval(compile(source, file, "eval"))()  # noqa: S307 - ours
        assert formatted(raised.value) == "".join(traceback.format_exception(raised.value)).rstrip("\n")
