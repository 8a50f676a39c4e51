"""Names that need an extra come when they are asked for, and say how to get it where it is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import belvedere


def run(code: str) -> str:
    """Run `code` in a fresh interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_nothing_of_an_extra_is_imported_until_its_name_is_asked_for() -> None:
    code = "import sys, belvedere; from belvedere import *; print([m for m in ('limits', 'redis') if m in sys.modules])"
    assert run(code) == "[]"


def test_a_missing_extra_names_its_own_installation() -> None:
    code = (
        "import sys; sys.modules['limits'] = None\n"
        "import belvedere\n"
        "try:\n    from belvedere import RateLimiter\n"
        "except ImportError as error: print(error)"
    )
    assert run(code).endswith("pip install 'belvedere[limits]'")


def test_every_name_of_an_extra_comes_from_the_package_itself() -> None:
    for name, (module, _) in belvedere._EXTRAS.items():
        assert getattr(belvedere, name).__module__.startswith(module)
        assert name not in belvedere.__all__


def test_a_name_that_no_extra_has_is_an_attribute_error() -> None:
    name = "nonesuch"
    with pytest.raises(AttributeError, match=name):
        getattr(belvedere, name)
