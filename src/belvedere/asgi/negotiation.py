"""What a client says it would rather have."""

from __future__ import annotations

from collections.abc import Iterable


def quality(parameters: Iterable[str]) -> float:
    """Return the weight among the parameters of an element of `Accept` and its like: 1 where none is given.

    A weight that is no number is 0 (RFC 9110, section 12.4.2).
    """
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
