"""What dependencies answer in place of their route, such as a 429, for its OpenAPI document.

A dependency says so by an attribute `belvedere_responses`: responses by status, as OpenAPI has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from belvedere.asgi.routes import templates

ATTRIBUTE = "belvedere_responses"


def by_dependencies(app: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the responses that dependencies add, by path and method (in lower case)."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path, methods, route in templates(app):
        responses: dict[str, Any] = {}
        for call in _calls(getattr(route, "dependant", None)):
            # A bound method has the attributes of its object under `__self__` alone.
            said = getattr(call, ATTRIBUTE, None) or getattr(getattr(call, "__self__", None), ATTRIBUTE, None)
            if isinstance(said, Mapping):
                responses.update(said)
        if responses:
            found.update({(path, method.lower()): responses for method in methods})
    return found


def _calls(dependant: Any) -> Iterator[Any]:
    """Yield what is called for a route, its dependencies' dependencies included."""
    waiting = [dependant]
    while waiting:
        dependant = waiting.pop()
        if dependant is not None:
            yield dependant.call
            waiting.extend(dependant.dependencies)
