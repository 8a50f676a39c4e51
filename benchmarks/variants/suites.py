"""Libraries that bring several jobs at once, as their documentation sets them up."""

from __future__ import annotations

import logfire
from lite_bootstrap import FastAPIBootstrapper, FastAPIConfig

from benchmarks.application import application
from benchmarks.variants import ASGIApp
from benchmarks.variants._providers import span_processor


def with_logfire() -> ASGIApp:
    """Pydantic Logfire, nothing sent and nothing printed: its spans go to a processor that drops them."""
    app = application()
    logfire.configure(
        send_to_logfire=False,
        console=False,
        inspect_arguments=False,
        additional_span_processors=[span_processor()],
    )
    logfire.instrument_fastapi(app)
    return app


def with_lite_bootstrap() -> ASGIApp:
    """lite-bootstrap with what Belvedere's default also does: JSON access line and metrics; no traces."""
    config = FastAPIConfig(
        application=application(),
        service_name="benchmark",
        service_version="1.0.0",
        service_environment="production",
        service_debug=False,
        fastapi_logging_middleware_enabled=True,
    )
    return FastAPIBootstrapper(bootstrap_config=config).bootstrap()
