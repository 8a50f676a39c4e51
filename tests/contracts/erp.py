"""The ERP backend: constant labels, three metrics of its own, two checks."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, WebSocket

import belvedere
from belvedere import Check, Settings

SETTINGS: dict[str, Any] = {
    "service": "erp_backend",
    "logs": {"format": "json"},
    "metrics": {"constant_labels": {"app_name": "erp_backend"}},
    "health": {"live": "/healthz/live", "ready": "/healthz/ready"},
}


def build() -> FastAPI:
    """Return the application; `app.state.down` holds the names of dependencies that are away."""
    app = FastAPI(title="ERP Backend")
    app.state.down = set()
    created = belvedere.counter("erp_entities_created_total", "Entities created.", ["entity_type", "organization_id"])
    seconds = belvedere.histogram(
        "erp_service_function_duration_seconds", "Time of service functions.", ["service_name", "function_name"]
    )
    sockets = belvedere.gauge("erp_active_websocket_connections", "WebSocket connections that are open.")

    def check(name: str) -> Check:
        async def ping() -> None:
            if name in app.state.down:
                raise ConnectionError(f"{name}://erp:s3cret@{name}")

        return Check(name, ping)

    @belvedere.track_time(seconds, "invoices", "number")
    def number() -> int:
        return 7

    @app.post("/organizations/{organization_id}/invoices", status_code=201)
    async def invoice(organization_id: str) -> dict[str, int]:
        belvedere.bind(organization_id=organization_id, user_id="u-1")
        with seconds.labels("invoices", "create").time():
            created.labels("invoice", organization_id).inc()
            belvedere.get_logger("app.features.invoices").info("invoice_created")
        return {"number": number()}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        with sockets.track_inprogress():
            await websocket.receive_text()

    belvedere.observe(app, check("database"), check("redis"), settings=Settings(**SETTINGS))
    return app
