"""Lets browsers read the 500 of an exception that nobody caught.

Starlette answers it outside of all middleware, and so without the headers of its `CORSMiddleware`: the script of a page
from another origin is told of a network error then, and never of what happened, nor of the request's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response


def readable(scope: Mapping[str, Any], response: Response) -> Any:
    """Return what sends `response` with the headers that the application's own middleware would have added.

    A class derived from it is left alone: nobody knows what it does besides.
    """
    if scope.get("type") == "http" and scope.get("method") != "OPTIONS":  # a preflight would be allowed
        for middleware in getattr(scope.get("app"), "user_middleware", ()):
            if getattr(middleware, "cls", None) is CORSMiddleware:
                return CORSMiddleware(response, *middleware.args, **middleware.kwargs)
    return response
