"""Paths without the parameters that are called like a secret: of `/reset/{token}` nobody is shown the token."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from belvedere.conventions import REDACTED

_PARAMETER: Final = re.compile(r"\{([^{}:]+)(?::[^{}]*)?\}")
_LONGEST: Final = 4096
"""Characters of a path in which parameters are looked for."""


class Paths:
    """What may be shown of paths, by the templates of the routes that took them.

    Args:
        hides: whether what is called so is shown to nobody.
    """

    def __init__(self, hides: Callable[[str], bool]) -> None:
        self._hides = hides
        self._patterns: dict[str, re.Pattern[str] | None] = {}

    def hide_in(self, template: str) -> bool:
        """Whether paths of this template hold something that is not shown."""
        return self._pattern(template) is not None

    def shown(self, template: str, path: str) -> str:
        """Return a path with `[redacted]` in place of such parameters; the template where it does not fit the path."""
        pattern = self._pattern(template)
        if pattern is None:
            return path
        found = pattern.fullmatch(path) if len(path) <= _LONGEST else None
        if found is None:
            return template
        parts: list[str] = []
        done = 0
        for group in range(1, pattern.groups + 1):
            parts += (path[done : found.start(group)], REDACTED)
            done = found.end(group)
        return "".join((*parts, path[done:]))

    def _pattern(self, template: str) -> re.Pattern[str] | None:
        try:
            return self._patterns[template]
        except KeyError:
            # Templates are as many as an application has routes.
            pattern = self._patterns[template] = self._compiled(template)
            return pattern

    def _compiled(self, template: str) -> re.Pattern[str] | None:
        pieces = _PARAMETER.split(template)
        hidden = [self._hides(name) for name in pieces[1::2]]
        if not any(hidden):
            return None
        # What stands before it is a root path, which templates do not have.
        pattern = "(?s:.*)"
        for place, literal in enumerate(pieces[::2]):
            pattern += re.escape(literal)
            if place < len(hidden):
                pattern += "([^/]+)" if hidden[place] else "[^/]+"
        return re.compile(pattern)
