"""Finds the application that APP names, as uvicorn would."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from belvedere.cli.failure import BadUse
from belvedere.settings import SettingsError

_FOLLOWED = 32
"""Wrappers around an application that are followed."""


class Application(NamedTuple):
    """The application itself, and the names of what APP has around it, outermost first."""

    app: Any
    wrappers: list[str]


def load(target: str, *, factory: bool, folder: Path) -> Application:
    """Return the application that `target` names: `module:attribute`, attributes of attributes included.

    Args:
        target: as uvicorn takes it.
        factory: whether the attribute is called to get the application.
        folder: searched for the module first.

    Raises:
        BadUse: it cannot be found, imported or made, or is no FastAPI or Starlette application.
    """
    module_name, _, attributes = target.partition(":")
    if not module_name or not attributes:
        raise BadUse(f"{target!r} names no application: write module:attribute, such as shop.main:app")
    module = _import(module_name, folder)
    found = _attribute(module, module_name, attributes)
    if factory:
        if not callable(found) or _is_application(found):
            raise BadUse(f"{target} is no factory, it is {_what(found)}: leave --factory out")
        found = _attempt(found, f"{target}() raised", folder)
    return _unwrapped(found, f"{target}()" if factory else target)


def _import(name: str, folder: Path) -> Any:
    sys.path.insert(0, str(folder.absolute()))
    try:
        return _attempt(lambda: importlib.import_module(name), f"importing {name} raised", folder)
    except _AbsentError:
        raise BadUse(
            f"there is no module {name} in {folder.absolute()} nor among the installed packages: "
            "run this where the server is started, or name the folder by --app-dir"
        ) from None


class _AbsentError(Exception):
    """The module itself is not there, as against one that it imports."""


def _attempt(call: Callable[[], Any], doing: str, folder: Path) -> Any:
    """Return what the application's own code returns; say in one message what it raises."""
    try:
        return call()
    except SettingsError as error:
        raise BadUse(str(error)) from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ImportError) and not any(_beyond_import(frame.filename) for frame in frames):
            raise _AbsentError from None
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise BadUse(f"{doing} {text}{_place(frames, folder)}") from None
    except SystemExit as error:
        raise BadUse(f"{doing} SystemExit: {error.code} (the application refuses to start)") from None


def _beyond_import(file: str) -> bool:
    """Whether a frame is neither ours nor of the import machinery."""
    return not file.startswith("<frozen importlib") and file not in {__file__, importlib.__file__}


def _place(frames: traceback.StackSummary, folder: Path) -> str:
    """Return where it happened: the last line of the application's own, which it can be mended at."""
    home = folder.absolute()
    own = [
        (Path(frame.filename).relative_to(home), frame.lineno)
        for frame in frames
        if Path(frame.filename).is_relative_to(home) and "site-packages" not in frame.filename
    ]
    return " ({}, line {})".format(*own[-1]) if own else ""


def _attribute(module: Any, module_name: str, attributes: str) -> Any:
    found = module
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            known = sorted(f"{module_name}:{name}" for name, value in vars(module).items() if _is_application(value))
            hint = f"there is {', '.join(known)}" if known else "look there for the name of the application"
            raise BadUse(f"{module_name} has no attribute {attributes}: {hint}")
        found = getattr(found, attribute)
    return found


def _unwrapped(found: Any, target: str) -> Application:
    """Follow `.app`, where ASGI middlewares keep what they wrap, to the application itself."""
    inner = found
    wrappers: list[str] = []
    while not _is_application(inner) and len(wrappers) < _FOLLOWED:
        wrappers.append(type(inner).__name__)
        inner = getattr(inner, "app", None)
        if inner is None:
            hint = "; if it makes one, add --factory" if inspect.isroutine(found) else ""
            raise BadUse(f"{target} is {_what(found)}, no FastAPI or Starlette application{hint}")
    return Application(inner, wrappers)


def _is_application(value: Any) -> bool:
    marks = ("build_middleware_stack", "exception_handlers")
    return not inspect.isclass(value) and all(hasattr(value, mark) for mark in marks)


def _what(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"
