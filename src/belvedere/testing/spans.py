"""The fixture `belvedere_spans`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from belvedere.testing.logs import described

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import TracerProvider

    Spans = list[ReadableSpan]
else:
    Spans = list


class CapturedSpans(Spans):
    """The spans that ended in a test, in that order: the SDK's `ReadableSpan`, whoever made them."""

    @property
    def names(self) -> list[str]:
        """The name of each span."""
        return [span.name for span in self]

    def find(self, name: str | None = None, /, **attributes: Any) -> list[ReadableSpan]:
        """Return the spans of that name (of any, if `None`) that have these attributes.

        In their names, `_` stands for a dot: `find("GET /orders/{id}", http_response_status_code=200)`.
        """
        return [
            span
            for span in self
            if (name is None or span.name == name) and attributes.items() <= _attributes(span).items()
        ]

    def one(self, name: str | None = None, /, **attributes: Any) -> ReadableSpan:
        """Return the one span that `find` finds.

        Raises:
            AssertionError: there is none, or more than one; it lists those that ended.
        """
        found = self.find(name, **attributes)
        if len(found) != 1:
            shown = "".join(f"\n  {span.name} {dict(span.attributes or {})}" for span in self) or "\n  nothing"
            raise AssertionError(f"{len(found)} spans with {described(name, attributes)}, not one, among{shown}")
        return found[0]

    def watch(self, provider: TracerProvider) -> None:
        """Capture the spans of `provider` as well, such as one that was given to `FastAPI(telemetry=…)` alone.

        Raises:
            TypeError: it is none of the SDK's.
        """
        from belvedere.testing import _tracing

        _tracing.attach(provider)


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    attributes = dict(span.attributes or {})
    return {**{key.replace(".", "_"): value for key, value in attributes.items()}, **attributes}


@pytest.fixture
def belvedere_spans() -> Iterator[CapturedSpans]:
    """The OpenTelemetry spans that ended in this test; skips it where the SDK is not installed.

        def test_order(client, belvedere_spans):
            client.get("/orders/7")
            assert belvedere_spans.one("GET /orders/{id}").attributes["http.response.status_code"] == 200

    Spans of the global provider are captured: of the application's own, if it was set before the test, which goes on
    exporting as ever. Where there is none, the test gets one that keeps every span and is gone afterwards, so that
    tests which do not ask for spans run as they would alone. Within such a test, the application cannot set another.
    """
    try:
        from belvedere.testing import _tracing
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        pytest.skip("belvedere_spans needs the OpenTelemetry SDK: pip install belvedere[otel]")
    spans = CapturedSpans()
    with _tracing.capturing(spans.append):
        yield spans
