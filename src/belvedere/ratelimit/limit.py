"""One limit on a route, a router or an application: what FastAPI is given as a dependency, and runs for each request.

FastAPI resolves the annotations of a dependency where it is defined, which a callable object hides: they are types
here, not texts.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import params
from fastapi.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection

from belvedere import failures
from belvedere.context import SCOPE_KEY, RequestContext
from belvedere.conventions import RATELIMIT_FIELD, RATELIMIT_POLICY_FIELD, RETRY_AFTER_FIELD
from belvedere.ratelimit.exemptions import Exemptions
from belvedere.ratelimit.keys import Subject, answer, finder
from belvedere.ratelimit.policy import Decision, Policy, policies

if TYPE_CHECKING:
    from belvedere.ratelimit.limiter import RateLimiter

TRY_AGAIN_LATER = 1013
"""The code with which a WebSocket is closed (IANA's registry of close codes)."""

COUNTED = "belvedere.limits"
"""Where the scope keeps what a request has been counted for."""

RESPONSES: Mapping[str, Any] = {
    "429": {
        "description": "Too Many Requests",
        "headers": {
            "Retry-After": {
                "description": "Seconds until there is room for a request again.",
                "schema": {"type": "integer", "minimum": 1},
            },
            "RateLimit": {
                "description": 'What is left of each limit, and for how many seconds: `"30-per-minute";r=0;t=12`.',
                "schema": {"type": "string"},
            },
            "RateLimit-Policy": {
                "description": 'The limits, as quota and window in seconds: `"30-per-minute";q=30;w=60`.',
                "schema": {"type": "string"},
            },
        },
    }
}
"""What the OpenAPI document says of a limited route."""


class Limit(params.Depends):
    """A dependency that counts each request against its limits, and refuses with 429 what is too much.

    It goes into `dependencies=[…]`, into `Depends(…)`, or stands as an argument's default or annotation.
    """

    belvedere_responses = RESPONSES

    def __init__(
        self,
        limiter: "RateLimiter",
        text: str,
        *,
        cost: int | Callable[[Any], Any] = 1,
        key: Any = None,
        name: str | None = None,
        exempt: Any = None,
    ) -> None:
        super().__init__(dependency=self.__call__)
        if name is not None and not (name and name.isascii() and name.isprintable()):
            raise ValueError(f"{name!r} is no name for a limit: header fields carry it, so use printable ASCII")
        if not callable(cost) and (type(cost) is not int or cost < 0):
            raise ValueError(f"a cost is a whole number from 0, or a callable that takes the request, not {cost!r}")
        # What FastAPI has as `Depends` is a frozen dataclass, or was none.
        for attribute, value in {
            "limiter": limiter,
            "text": text,
            "policies": tuple({policy.spec: policy for policy in policies(text, name)}.values()),
            "cost": cost,
            "name": name,
            "exemptions": Exemptions(exempt, limiter.addresses),
            "find": finder(limiter.key if key is None else key, limiter.addresses),
            "places": {},
        }.items():
            object.__setattr__(self, attribute, value)
        object.__setattr__(self, "specs", frozenset(policy.spec for policy in self.policies))
        object.__setattr__(self, "field", ", ".join(policy.field for policy in self.policies))

    limiter: "RateLimiter"
    text: str
    policies: tuple[Policy, ...]
    specs: frozenset[tuple[int, int]]
    field: str
    cost: int | Callable[[Any], Any]
    name: str | None
    exemptions: Exemptions
    find: Callable[[HTTPConnection], Any]
    places: dict[tuple[str, str], str]

    # As a dataclass, two limits of the same fields would be the same dependency.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<limit {self.text!r}{f' {self.name!r}' if self.name else ''}>"

    async def __call__(self, connection: HTTPConnection) -> None:
        """Count a request, and raise an `HTTPException` of status 429 if it is too much (or close the WebSocket)."""
        scope = connection.scope
        request: RequestContext | None = scope.get(SCOPE_KEY)
        where = self.name or self._place(scope, request)
        limiter = self.limiter
        subject: Subject = found if type(found := self.find(connection)) is Subject else await found
        if (limiter.exemptions.any and await limiter.exemptions.hold(connection, subject)) or (
            self.exemptions.any and await self.exemptions.hold(connection, subject)
        ):
            limiter.count(where, "exempt")
            return
        cost = self.cost if type(self.cost) is int else await self._cost(connection)
        if cost == 0:
            limiter.count(where, "exempt")
            return
        try:
            policies = self._uncounted(scope, where, subject.kept, cost)
            if not policies:
                return
            if limiter.shared is None:
                refused, state = self._decide_here(policies, f"{where}\n{subject.kept}", cost)
            else:
                refused, state = await self._decide(policies, where, subject.kept, cost)
            limiter.count(where, "allowed" if refused is None else "refused")
            headers = self._tell(request, policies, state, refused)
        except Exception as error:  # Ours: who cannot be counted is let through.
            failures.contain("limits", error)
            return
        if refused is not None:
            if scope["type"] == "websocket":
                # Closed before it is accepted, as older versions of Starlette answer no `HTTPException` there.
                raise WebSocketException(TRY_AGAIN_LATER, "Too Many Requests")
            raise HTTPException(429, "Too Many Requests", headers)

    def _uncounted(self, scope: Any, where: str, key: str, cost: int) -> tuple[Policy, ...]:
        """Return the policies that this request has not been counted for yet.

        A limit on the application and one of the same text on a route would otherwise take two of one count, and let
        half as many requests through; so would two whose keys both fall back to the address.
        """
        counts: list[tuple[Limit, str, str, int]] | None = scope.get(COUNTED)
        if counts is None:
            scope[COUNTED] = [(self, where, key, cost)]
            return self.policies
        counted: set[tuple[int, int]] = set()
        for limit, *rest in counts:
            if limit.limiter is self.limiter and rest == [where, key, cost]:
                counted |= limit.specs
        counts.append((self, where, key, cost))
        return tuple(policy for policy in self.policies if policy.spec not in counted)

    def _decide_here(self, policies: tuple[Policy, ...], key: str, cost: int) -> tuple[int | None, str]:
        """Return what `_decide` does, by what this process has counted alone."""
        states: list[str] = []
        for policy in policies:
            decision = self.limiter.local.take(policy, key, cost)
            states.append(policy.state(decision))
            if not decision.allowed:
                return policy.seconds(decision), ", ".join(states)
        return None, ", ".join(states)

    async def _decide(self, policies: tuple[Policy, ...], where: str, key: str, cost: int) -> tuple[int | None, str]:
        """Return after how many seconds to come back, if there is too little left, and what is left."""
        states: list[str] = []
        refused = None
        shared = True
        for policy in policies:
            decision: Decision | None = None
            if shared:
                decision = await self.limiter.take_shared(policy, where, key, cost)
                if decision is None:
                    shared = False
                    self.limiter.count(where, "local")
            if decision is None:
                decision = self.limiter.local.take(policy, f"{where}\n{key}", cost)
            states.append(policy.state(decision))
            if not decision.allowed:
                refused = policy.seconds(decision)
                break
        return refused, ", ".join(states)

    def _tell(
        self, request: RequestContext | None, policies: tuple[Policy, ...], state: str, refused: int | None
    ) -> dict[str, str] | None:
        """Have the answer carry what is left, of earlier limits on this request too; return the headers of a 429."""
        field = self.field if policies is self.policies else ", ".join(policy.field for policy in policies)
        if request is not None:
            told = request.answer_headers
            if told:
                # Of a limit before this one.
                state = f"{told[0][1].decode('ascii')}, {state}"
                field = f"{told[1][1].decode('ascii')}, {field}"
            request.answer_headers = [
                (RATELIMIT_FIELD, state.encode("ascii")),
                (RATELIMIT_POLICY_FIELD, field.encode("ascii")),
            ]
            if refused is not None:
                # A handler of the application may answer the 429, and leave out what the exception brought.
                request.answer_headers.append((RETRY_AFTER_FIELD, str(refused).encode("ascii")))
        if refused is None:
            return None
        return {"Retry-After": str(refused), "RateLimit": state, "RateLimit-Policy": field}

    async def _cost(self, connection: HTTPConnection) -> int:
        cost = await answer(self.cost, connection)  # type: ignore[arg-type]
        if not isinstance(cost, int) or cost < 0:
            raise TypeError(f"the cost of a request is a whole number from 0, not {cost!r}")
        return cost

    def _place(self, scope: Any, request: RequestContext | None) -> str:
        """Return what tells a limit's routes apart where it has no name: methods and template."""
        template = _template(scope) if request is None else request.endpoint
        method = scope.get("method", "WEBSOCKET")
        place = self.places.get((method, template))
        if place is None:
            methods = (getattr(scope.get("route"), "methods", None) or {method}) - {"HEAD"} or {method}
            place = self.places[method, template] = f"{','.join(sorted(methods))} {template}"
        return place


def _template(scope: Any) -> str:
    """Return a route's template where no pass of ours has noted it."""
    route = scope.get("route")
    effective = scope.get("fastapi", {}).get("effective_route_context")
    if effective is not None and effective.original_route is route:
        route = effective
    path = str(getattr(route, "path_format", ""))
    root = str(scope.get("root_path", ""))
    for name, value in scope.get("path_params", {}).items():
        # Of a mount, `/tenants/{tenant}`, the scope has the path as it was asked for: a limit for each would be none.
        before, found, after = f"{root}/".rpartition(f"/{value}/")
        if found and f"{{{name}}}" not in path:
            root = f"{before}/{{{name}}}/{after}".removesuffix("/")
    return root + path
