"""One shape for every error: who answers it, what it says, and how the OpenAPI schema tells."""

from belvedere.problems.problems import Problems

__all__ = ["Problems"]
