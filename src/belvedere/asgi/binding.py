"""Context that is taken from the request itself, such as a project's id from the path or else from a header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from belvedere.context import RequestContext, valid_id


class Binder:
    """Binds each name to its first source that holds a valid value (as a request id has to be).

    Headers and the query are known when a request begins, so that a 404 has them too; parameters of the path once a
    route has taken it. `from_path` therefore comes second, and wins only where the path stands before what was found.

    Args:
        sources: name to sources in order, each `path:NAME`, `header:NAME` or `query:NAME`.
    """

    def __init__(self, sources: Mapping[str, Sequence[str]]) -> None:
        self._sources = [
            (name, [(kind, key) for kind, _, key in (source.partition(":") for source in ordered)])
            for name, ordered in sources.items()
        ]
        self.reads_path = any(kind == "path" for _, ordered in self._sources for kind, _ in ordered)

    def begin(self, request: RequestContext) -> None:
        self._bind(request, None)

    def from_path(self, request: RequestContext, scope: dict[str, Any]) -> None:
        self._bind(request, scope.get("path_params") or {})

    def _bind(self, request: RequestContext, path: Mapping[str, Any] | None) -> None:
        for name, ordered in self._sources:
            for kind, key in ordered:
                value = _value(request, kind, key, path)
                if value is not None and valid_id(value.encode("utf-8", "replace")):
                    if request.bound is None:
                        request.bound = {}
                    request.bound[name] = value
                    break


def _value(request: RequestContext, kind: str, key: str, path: Mapping[str, Any] | None) -> str | None:
    if kind == "header":
        header = request.headers.get(key.lower().encode("latin-1"))
        return None if header is None else header.decode("latin-1")
    if kind == "query":
        query = parse_qsl(request.scope.get("query_string", b"").decode("latin-1"))
        return next((value for name, value in query if name == key), None)
    return None if path is None or key not in path else str(path[key])
