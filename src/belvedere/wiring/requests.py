"""What the pass does with each request, after the settings."""

from __future__ import annotations

from collections.abc import Iterable

from belvedere.asgi import Binder, Plan
from belvedere.asgi.plan import exact_and_beginnings
from belvedere.headers import response_headers
from belvedere.settings import Settings


def plan_requests(plan: Plan, settings: Settings, served: Iterable[str]) -> None:
    """Have the plan say whose ids and addresses are believed, what is bound, sent along, and left out.

    Args:
        plan: of the application.
        settings: of the application.
        served: the paths of probes and metrics, which are left out unless the settings name others.
    """
    requests = settings.requests
    plan.hex = requests.format == "hex"
    plan.trust = requests.trust
    plan.trusted_proxies = requests.trusted_proxies
    plan.service = {"service": settings.service, "environment": settings.environment}
    plan.set_headers(*response_headers(settings))
    if requests.bind:
        binder = Binder(requests.bind)
        plan.binder = binder.begin
        plan.on_route = binder.from_path if binder.reads_path else None
    exclude = served if requests.exclude is None else requests.exclude
    plan.excluded, plan.excluded_prefixes = exact_and_beginnings(exclude)
