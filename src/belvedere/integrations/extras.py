"""Libraries that come with extras: imported when a verb is called, and named with their installation where missing."""

from __future__ import annotations

import importlib
from typing import Any


def require(verb: str, module: str, install: str) -> Any:
    """Return a library's module.

    Args:
        verb: what asks for it, as the user calls it.
        module: its name.
        install: what `pip install` takes to bring it.

    Raises:
        ImportError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0] and error.name is not None:
            module = error.name  # what it needs itself
        raise ImportError(
            f"integrations.{verb} needs {module}, which is not installed: pip install '{install}'", name=module
        ) from error
