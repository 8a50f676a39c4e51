"""What is counted together and for whom: names, templates, keys, costs, exemptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request

import belvedere
from belvedere import RateLimiter
from tests.drive import RawHeaders, ask, observed


def limited(limiter: RateLimiter, *limits: Any, **options: Any) -> FastAPI:
    """Return an application whose one route has these limits."""
    app = FastAPI(**options)
    app.api_route("/", methods=["GET", "POST"], dependencies=list(limits))(lambda: "a")
    return app


async def statuses(app: FastAPI, *headers: RawHeaders, path: str = "/", client: str = "192.0.2.1") -> list[int | None]:
    """Ask once with each of these headers."""
    return [(await ask(app, "GET", path, headers=each, client=(client, 1))).status for each in headers]


async def test_routes_are_apart_unless_a_name_makes_them_one() -> None:
    """By method and template, the values of its parameters notwithstanding; by name over routes and routers."""
    limiter = RateLimiter()
    app, router = FastAPI(), APIRouter(prefix="/v1", dependencies=[limiter.limit("3/minute", name="both")])
    each = [limiter.limit("1/minute")]
    app.get("/items/{x}", dependencies=each)(lambda: "a")
    app.post("/items/{x}", dependencies=each)(lambda: "a")
    router.get("/a")(lambda: "a")
    router.get("/b")(lambda: "a")
    app.include_router(router)

    async def status(method: str, path: str) -> int | None:
        return (await ask(app, method, path)).status

    with observed(app, limiter):
        assert await status("GET", "/items/1") == 200
        assert await status("GET", "/items/2") == 429
        assert await status("POST", "/items/1") == 200
        assert [await status("GET", path) for path in ("/v1/a", "/v1/b", "/v1/a", "/v1/b")] == [200, 200, 200, 429]


@pytest.mark.parametrize("observe", [True, False])
async def test_the_parameters_of_a_mount_tell_no_routes_apart(observe: bool) -> None:
    """Whoever makes up tenants gets no limit for each."""
    limiter = RateLimiter()
    app, tenant = FastAPI(), FastAPI()
    tenant.get("/items/{item}", dependencies=[limiter.limit("2/minute")])(lambda: "a")
    app.mount("/items/{tenant}/v1", tenant)
    with observed(app, limiter) if observe else nullcontext():
        paths = [f"/items/{name}/v1/items/{name}" for name in ("1", "2", "items", "x", "3")]
        assert [(await ask(app, path=path)).status for path in paths] == [200, 200, 429, 429, 429]


async def test_head_is_counted_with_get() -> None:
    """Asking by HEAD does not get around a limit."""
    limiter = RateLimiter()
    app = FastAPI()
    app.api_route("/", methods=["GET", "HEAD"], dependencies=[limiter.limit("1/minute")])(lambda: "a")
    with observed(app, limiter):
        assert (await ask(app, "HEAD")).status == 200
        assert (await ask(app, "GET")).status == 429


async def test_one_limit_in_two_places_of_a_route_counts_once() -> None:
    """FastAPI runs a dependency once for each request."""
    limiter = RateLimiter()
    limit = limiter.limit("2/minute")
    app = limited(limiter, limit, limit, dependencies=[limit])
    with observed(app, limiter):
        assert await statuses(app, [], [], []) == [200, 200, 429]


async def test_limits_of_the_same_text_are_two() -> None:
    """Two calls make two limits, which share nothing but what they count for one route."""
    limiter = RateLimiter()
    assert limiter.limit("2/minute") != limiter.limit("2/minute")
    app = limited(limiter, limiter.limit("2/minute", name="a"), limiter.limit("2/minute", name="b"))
    with observed(app, limiter):
        assert await statuses(app, [], [], []) == [200, 200, 429]


@pytest.mark.parametrize("strategy", ["fixed", "moving", "sliding"])
async def test_one_request_takes_one_of_a_count(strategy: str) -> None:
    """Limits of one amount, for one route or name and one client, are one: a request does not count twice for it."""
    limiter = RateLimiter(strategy=strategy)
    app = limited(limiter, limiter.limit("3/minute;3/minute"), dependencies=[limiter.limit("5/hour;3/minute")])
    with observed(app, limiter):
        first = await ask(app)
        assert first.all("ratelimit-policy") == ['"3-per-minute";q=3;w=60, "5-per-hour";q=5;w=3600']
        assert await statuses(app, [], [], [], []) == [200, 200, 200, 429]
    fallen_back = limited(
        limiter,
        limiter.limit("3/minute", key="address", name="x"),
        limiter.limit("3/minute", key="header:X-Key", name="x"),
    )
    with observed(fallen_back, limiter):
        assert await statuses(fallen_back, [], [], [], []) == [200, 200, 200, 429]
        assert await statuses(fallen_back, [(b"x-key", b"a")], client="192.0.2.2") == [200]


async def test_by_user_and_else_by_address() -> None:
    """Who is signed in is counted wherever they are; who is not, by address."""
    limiter = RateLimiter()

    async def sign_in(request: Request) -> None:
        if user := request.headers.get("x-user"):
            belvedere.bind(user_id=int(user))

    app = limited(limiter, Depends(sign_in), limiter.limit("1/minute"))
    with observed(app, limiter):
        assert await statuses(app, [(b"x-user", b"7")], client="192.0.2.1") == [200]
        assert await statuses(app, [(b"x-user", b"7")], client="192.0.2.2") == [429]
        assert await statuses(app, [(b"x-user", b"8")], client="192.0.2.2") == [200]
        assert await statuses(app, [], [], client="192.0.2.1") == [200, 429]
        assert await statuses(app, [], client="192.0.2.2") == [200]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("testclient", "testclient", True),
        ("not:an:address", "other", False),
        ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", False),
        ("64:ff9b::192.0.2.1", "192.0.2.1", True),
    ],
)
async def test_by_address(one: str, other: str, same: bool) -> None:
    """IPv6 addresses of one /64 are one client."""
    limiter = RateLimiter(key="address")
    app = limited(limiter, limiter.limit("1/minute"))
    with observed(app, limiter):
        assert await statuses(app, [], client=one) == [200]
        assert await statuses(app, [], client=other) == [429 if same else 200]


async def test_nobodys_address_is_one_client() -> None:
    """Without an address, as behind a Unix socket, everybody is the same."""
    limiter = RateLimiter()
    app = limited(limiter, limiter.limit("1/minute"))
    with observed(app, limiter):
        assert [(await ask(app, client=None)).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("observe", [True, False])
async def test_forwarded_addresses_count_behind_trusted_proxies_alone(observe: bool) -> None:
    """Who writes `X-Forwarded-For` to the service itself is counted by its own address."""
    forwarded = [[(b"x-forwarded-for", b"203.0.113.%d" % last)] for last in (1, 1, 2)]
    limiter = RateLimiter(trusted_proxies=None if observe else ["10.0.0.0/8"])
    app = limited(limiter, limiter.limit("1/minute"))
    behind: Callable[[], Any] = lambda: statuses(app, *forwarded, client="10.0.0.1")  # noqa: E731
    direct: Callable[[], Any] = lambda: statuses(app, *forwarded, client="192.0.2.1")  # noqa: E731
    if observe:
        with observed(app, limiter, requests={"trusted_proxies": ["10.0.0.0/8"]}):
            assert (await behind(), await direct()) == ([200, 429, 200], [200, 429, 429])
    else:
        assert (await behind(), await direct()) == ([200, 429, 200], [200, 429, 429])


async def test_by_header() -> None:
    """Each API key has its own count, and leaving the header out gets around nothing."""
    limiter = RateLimiter()
    app = limited(limiter, limiter.limit("1/minute", key="header:X-API-Key"))
    one, other = [(b"x-api-key", b"one")], [(b"x-api-key", b"other")]
    with observed(app, limiter):
        assert await statuses(app, one, other, one, [], []) == [200, 200, 429, 200, 429]


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_by_callable(asynchronous: bool) -> None:
    """A callable says who it is, sync or async; `None` leaves it to the default."""

    def tenant(request: Request) -> Any:
        return request.headers.get("x-tenant")

    async def tenant_async(request: Request) -> Any:
        return tenant(request)

    limiter = RateLimiter(key=tenant_async if asynchronous else tenant)
    app = limited(limiter, limiter.limit("1/minute"))
    with observed(app, limiter):
        assert await statuses(app, [(b"x-tenant", b"1")], [(b"x-tenant", b"1")], [], []) == [200, 429, 200, 429]


async def test_costs() -> None:
    """A request takes what it costs; what costs more than is left is refused and takes nothing; 0 is not counted."""
    limiter = RateLimiter()

    async def by_header(request: Request) -> int:
        return int(request.headers["x-cost"])

    app = limited(limiter, limiter.limit("10/minute", cost=by_header, name="search"))
    costs = [[(b"x-cost", cost)] for cost in (b"7", b"4", b"3", b"0", b"1", b"11")]
    with observed(app, limiter):
        assert await statuses(app, *costs) == [200, 429, 200, 200, 429, 429]
        scrape = (await ask(app, path="/metrics")).body.decode()
    assert 'belvedere_rate_limit_decisions_total{limit="search",outcome="exempt"} 1.0' in scrape


@pytest.mark.parametrize(
    ("exempt", "client", "headers", "expected"),
    [
        ("10.0.0.0/8", "10.1.2.3", [], [200, 200]),
        ("10.0.0.0/8", "192.0.2.1", [], [200, 429]),
        (["192.0.2.1", "::1"], "192.0.2.1", [], [200, 200]),
        ("partner", "192.0.2.1", [(b"x-api-key", b"partner")], [200, 200]),
        ("partner", "192.0.2.1", [(b"x-api-key", b"other")], [200, 429]),
        (lambda request: request.method == "GET", "192.0.2.1", [], [200, 200]),
    ],
)
@pytest.mark.parametrize("everywhere", [True, False])
async def test_exemptions(
    exempt: Any, client: str, headers: RawHeaders, expected: Sequence[int], everywhere: bool
) -> None:
    """By network, key and callable, on one limit or on all; who is exempt has no headers and is counted as such."""
    limiter = RateLimiter(key="header:X-API-Key", exempt=exempt if everywhere else None)
    app = limited(limiter, limiter.limit("1/minute", exempt=None if everywhere else exempt, name="x"))
    with observed(app, limiter):
        assert await statuses(app, headers, headers, client=client) == expected
        answer = await ask(app, headers=headers, client=(client, 1))
        scrape = (await ask(app, path="/metrics")).body.decode()
    assert bool(answer.all("ratelimit")) is (429 in expected)
    assert ('{limit="x",outcome="exempt"} 3.0' in scrape) is (429 not in expected)


@pytest.mark.parametrize("strategy", ["fixed", "moving", "sliding", "fixed-window", "sliding-window-counter"])
async def test_strategies(strategy: str) -> None:
    """Each of the library's, by its name or by a shorter one."""
    limiter = RateLimiter(strategy=strategy)
    app = limited(limiter, limiter.limit("2/minute"))
    with observed(app, limiter) as observability:
        assert await statuses(app, [], [], []) == [200, 200, 429]
        why = observability.report()["rate limits"]["why"]
    assert why == f"{strategy.partition('-')[0]} window, in memory, as no URL was given: each process counts for itself"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: RateLimiter(strategy="leaky"), "no strategy is called 'leaky': there are fixed, moving, sliding"),
        (lambda: RateLimiter(timeout=0), "a number of seconds above 0"),
        (lambda: RateLimiter(max_keys=0), "a number from 1"),
        (lambda: RateLimiter("http://user:s3cr3t@cache/"), "scheme 'http'"),
        (lambda: RateLimiter("redis://:s3cr3t@cache:port/"), "scheme 'redis'"),
        (lambda: RateLimiter().limit("often"), "'often' is no limit: write '30/minute'"),
        (lambda: RateLimiter().limit("3/minute", cost=-1), "a whole number from 0"),
        (lambda: RateLimiter().limit("3/minute", key="cookie"), "'cookie' is no key"),
        (lambda: RateLimiter().limit("3/minute", name="größer"), "printable ASCII"),
        (lambda: RateLimiter(exempt=[7]), "7 exempts nobody"),  # type: ignore[list-item]
        (lambda: RateLimiter().check(), "in memory, which is always there"),
    ],
)
def test_what_is_wrong_is_told_at_once(wrong: Callable[[], Any], says: str) -> None:
    """Where it is written, saying what it should be; a URL with its password is not repeated."""
    with pytest.raises((ValueError, TypeError), match=says) as raised:
        wrong()
    assert "s3cr3t" not in str(raised.value)


async def test_removed_limits_hold_and_count_no_more() -> None:
    """After `remove()` a limiter limits as if it had never been installed, and another application may have it."""
    limiter = RateLimiter()
    app = limited(limiter, limiter.limit("2/minute"))
    with observed(app, limiter):
        assert await statuses(app, []) == [200]
    assert await statuses(app, [], []) == [200, 429]
    other = limited(limiter, limiter.limit("1/minute", name="other"))
    with observed(other, limiter):
        assert await statuses(other, [], []) == [200, 429]
