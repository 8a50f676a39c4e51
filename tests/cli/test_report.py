"""`belvedere report`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Module, Run

PLAIN = """
    from fastapi import FastAPI

    app = FastAPI(title="Shop", version="1.2.0")
"""
OBSERVED = """
    import belvedere
    from fastapi import FastAPI

    app = FastAPI(title="Shop", version="1.2.0")
    belvedere.observe(app, settings=belvedere.Settings(headers=None))
"""
FEATURES = """\
requests  on   X-Request-ID, kept from callers
logs      on   json (stdout is no terminal)
metrics   on   at /metrics
health    on   live /healthz, ready /readyz
problems  on   errors as envelope
headers   on   hsts, content_type_options, frame_options, referrer_policy, cross_origin_opener_policy
tracing   off  no endpoint (OTEL_EXPORTER_OTLP_ENDPOINT or tracing.endpoint)
"""
NOT_OBSERVED = "Not observed by its module: observed for this report alone, with settings from the environment.\n"


def test_an_observed_application(run: Run, module: Module) -> None:
    """Every feature has a line with its state and the reason; all is well, so the status is 0."""
    name = module(OBSERVED)
    result = run("report", f"{name}:app")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{name}:app: shop 1.2.0, environment local\n\n" + FEATURES.replace(
        "on   hsts, content_type_options, frame_options, referrer_policy, cross_origin_opener_policy",
        "off  switched off by the settings",
    )


def test_an_application_that_is_not_observed(run: Run, module: Module) -> None:
    """It is observed for the report, with the environment's settings, which is said; afterwards it is as before."""
    name = module(PLAIN)
    result = run("report", f"{name}:app", BELVEDERE_ENVIRONMENT="staging")
    assert (result.exit_code, result.stderr) == (0, "")
    features = FEATURES.replace("/readyz", "/readyz; drains for 5 s on SIGTERM")
    assert result.stdout == f"{name}:app: shop 1.2.0, environment staging\n{NOT_OBSERVED}\n{features}"
    app = sys.modules[name].app
    assert not hasattr(app.state, "belvedere")
    assert app.middleware_stack is None
    assert "build_middleware_stack" not in vars(app)


def test_json(run: Run, module: Module) -> None:
    """`--json` is the same as data."""
    name = module(PLAIN)
    result = run("report", f"{name}:app", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "application": f"{name}:app",
        "service": "shop",
        "version": "1.2.0",
        "environment": "local",
        "observed": False,
        "features": {
            line[:8].strip(): {"state": line[10:13].strip(), "why": line[15:]} for line in FEATURES.splitlines()
        },
        "findings": [],
    }


def test_what_the_application_prints_and_logs(run: Run, module: Module) -> None:
    """Prints and log lines of the application, Belvedere's pipeline included, go to stderr: stdout is JSON alone."""
    name = module(
        """
        import logging
        import belvedere
        from fastapi import FastAPI

        print("loading")
        app = FastAPI()
        belvedere.observe(app)
        logging.getLogger("shop").warning("careful")
        """
    )
    result = run("report", f"{name}:app", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["observed"] is True
    printed, logged = result.stderr.splitlines()
    assert printed == "loading"
    assert json.loads(logged)["event"] == "careful"


def test_several_ways_to_name_it(run: Run, module: Module) -> None:
    """Nested attributes and factories are taken as uvicorn takes them, and modules from elsewhere by `--app-dir`."""
    name = module(
        PLAIN
        + """
    class services:
        class shop:
            app = app

    def create():
        return FastAPI(title="Made")
    """
    )
    assert run("report", f"{name}:services.shop.app").stdout.startswith(f"{name}:services.shop.app: shop 1.2.0, ")
    assert run("report", f"{name}:create", "--factory").stdout.startswith(f"{name}:create: made 0.1.0, ")
    os.chdir("/")
    folder = sys.modules.pop(name).__file__
    assert folder is not None
    sys.path[:] = [entry for entry in sys.path if entry and entry != str(Path(folder).parent)]
    assert run("report", f"{name}:app").exit_code == 2
    assert run("report", f"{name}:app", "--app-dir", str(Path(folder).parent)).exit_code == 0


def finding(feature: str, what: str, remedy: str) -> dict[str, str]:
    return {"feature": feature, "finding": what, "remedy": remedy}


OUTSIDE = "what it answers by itself has no id, line or metric"
LAST = "add it by app.add_middleware, or call belvedere.observe last, on the application itself"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param(
            """
            from starlette.middleware.gzip import GZipMiddleware
            inner, app = app, GZipMiddleware(app)
            """,
            [finding("requests", f"GZipMiddleware wraps the application outside Belvedere: {OUTSIDE}", LAST)],
            id="wrapped in the module",
        ),
        pytest.param(
            """
            from starlette.middleware.gzip import GZipMiddleware
            def wrap(build=app.build_middleware_stack):
                return GZipMiddleware(build())
            belvedere.observe(app)
            wrap.__defaults__ = (app.build_middleware_stack,)
            app.build_middleware_stack = wrap
            """,
            [finding("requests", f"GZipMiddleware wraps the application outside Belvedere: {OUTSIDE}", LAST)],
            id="wrapped where the middleware is built",
        ),
        pytest.param(
            """
            @app.get("/readyz")
            def ready(): ...
            @app.get("/metrics")
            def metrics(): ...
            """,
            [
                finding(
                    "health",
                    "the application has a route of its own at /readyz: the ready probe is not served",
                    "remove that route, or choose another path by the setting health.ready",
                ),
                finding(
                    "metrics",
                    "the application has a route of its own at /metrics: metrics are not served",
                    "remove that route, or choose another path by the setting metrics.path",
                ),
            ],
            id="routes in the way",
        ),
        pytest.param(
            """
            from prometheus_client import CollectorRegistry, Counter
            registry = CollectorRegistry()
            Counter("http_requests", "Requests.", registry=registry)
            belvedere.observe(app, registry=registry)
            """,
            [
                finding(
                    "metrics",
                    "the application's own metric http_requests is not served: Belvedere's has that name",
                    "rename it; Belvedere's HTTP metrics can be renamed by the setting metrics.names",
                )
            ],
            id="a hidden metric",
        ),
    ],
)
def test_what_needs_attention(run: Run, module: Module, source: str, found: list[dict[str, str]]) -> None:
    """What does not work as the settings say ends with status 1, and says what to do."""
    name = module(f"import belvedere\n{textwrap.dedent(PLAIN)}{textwrap.dedent(source)}")
    result = run("report", f"{name}:app", "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    assert json.loads(result.stdout)["findings"] == found


def test_what_needs_attention_in_words(run: Run, module: Module) -> None:
    """In the table, findings come last, each with its remedy."""
    name = module(f'{textwrap.dedent(PLAIN)}app.get("/healthz")(lambda: None)')
    result = run("report", f"{name}:app")
    assert result.exit_code == 1
    assert result.stdout.partition("\nNeeds attention\n")[2] == (
        "health    the application has a route of its own at /healthz: the live probe is not served\n"
        "          → remove that route, or choose another path by the setting health.live\n"
    )


def test_metrics_off_hide_nothing(run: Run, module: Module) -> None:
    """A feature that is off has no findings."""
    name = module(PLAIN)
    result = run("report", f"{name}:app", "--json", BELVEDERE_METRICS="null", BELVEDERE_HEALTH="null")
    assert result.exit_code == 0
    features = json.loads(result.stdout)["features"]
    assert [feature for feature, row in features.items() if row["state"] == "off"] == ["metrics", "health", "tracing"]


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("", "{name}", "'{name}' names no application: write module:attribute, such as shop.main:app"),
        ("", "{name}:", "'{name}:' names no application: write module:attribute, such as shop.main:app"),
        (
            "",
            "absent_module:app",
            "there is no module absent_module in {folder} nor among the installed packages: "
            "run this where the server is started, or name the folder by --app-dir",
        ),
        (PLAIN, "{name}:ap", "{name} has no attribute ap: there is {name}:app"),
        ("", "{name}:app.api", "{name} has no attribute app.api: look there for the name of the application"),
        (
            "\nimport absent_library",
            "{name}:app",
            "importing {name} raised ModuleNotFoundError: No module named 'absent_library' ({name}.py, line 2)",
        ),
        (
            "import json\njson.loads('')",
            "{name}:app",
            "importing {name} raised JSONDecodeError: ... ({name}.py, line 2)",
        ),
        ("x = ", "{name}:app", "importing {name} raised SyntaxError: invalid syntax ({name}.py, line 1)"),
        ("assert False", "{name}:app", "importing {name} raised AssertionError ({name}.py, line 1)"),
        (
            "raise SystemExit('no DATABASE_URL')",
            "{name}:app",
            "importing {name} raised SystemExit: no DATABASE_URL (the application refuses to start)",
        ),
        ("app = {{}}", "{name}:app", "{name}:app is a dict, no FastAPI or Starlette application"),
        (
            "def create(): ...",
            "{name}:create",
            "{name}:create is a function, no FastAPI or Starlette application; if it makes one, add --factory",
        ),
        (
            "def create(): 1 / 0",
            "{name}:create --factory",
            "{name}:create() raised ZeroDivisionError: division by zero ({name}.py, line 1)",
        ),
        (
            "def create(): ...",
            "{name}:create --factory",
            "{name}:create() is a NoneType, no FastAPI or Starlette application",
        ),
        (PLAIN, "{name}:app --factory", "{name}:app is no factory, it is a FastAPI: leave --factory out"),
        ("app = 1", "{name}:app --factory", "{name}:app is no factory, it is an int: leave --factory out"),
        (
            f"{PLAIN}\n    app.add_middleware(str, 1, 2, 3, 4)",
            "{name}:app",
            "a middleware of {name}:app cannot be made: TypeError: ...",
        ),
    ],
)
def test_bad_use(run: Run, module: Module, tmp_path: Path, *, source: str, arguments: str, message: str) -> None:
    """What cannot be found, imported or made is told in one message that says what to do, without a traceback."""
    name = module(source.replace("{{}}", "{}"))
    result = run("report", *arguments.format(name=name).split())
    assert (result.exit_code, result.stdout) == (2, "")
    expected = f"Error: {message.format(name=name, folder=tmp_path)}"
    opening, _, ending = expected.partition("...")
    assert result.stderr.startswith(opening)
    assert result.stderr.rstrip("\n").endswith(ending)
    assert len(result.stderr.splitlines()) == 1
    assert "..." in message or result.stderr == f"{expected}\n"


@pytest.mark.parametrize("source", [PLAIN, OBSERVED])
def test_bad_settings(run: Run, module: Module, source: str) -> None:
    """Settings that cannot be used are named, whether the module observes its application or not."""
    name = module(source)
    result = run("report", f"{name}:app", BELVEDERE_METRICS__PATH="metrics", BELVEDERE_HEALTH__TIMEOUT="soon")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "Error: Belvedere cannot start, its settings are wrong:\n"
        "  metrics.path (BELVEDERE_METRICS__PATH): a path begins with / and has neither parameters nor a query\n"
        "  health.timeout (BELVEDERE_HEALTH__TIMEOUT): "
        "Input should be a valid number, unable to parse string as a number\n"
    )


def test_a_folder_that_does_not_exist(run: Run) -> None:
    """`--app-dir` has to be a folder."""
    result = run("report", "shop:app", "--app-dir", "/absent")
    assert result.exit_code == 2
    assert "Directory '/absent' does not exist." in result.stderr


def in_a_terminal(arguments: list[str], folder: Path, **environment: str) -> tuple[int, str]:
    """Run `belvedere` in a terminal of 60 columns; return its status and what the terminal got."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", **environment}
    command = [sys.executable, "-m", "belvedere", *arguments]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, close_fds=True
    ) as process:
        os.close(theirs)
        got = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not part:
                break
            got += part
        os.close(ours)
    return process.returncode, got.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_in_a_terminal(tmp_path: Path, no_color: str) -> None:
    """In a terminal, reasons are wrapped to its width, and states coloured unless NO_COLOR forbids it."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(PLAIN))
    status, text = in_a_terminal(["report", "shop:app"], tmp_path, NO_COLOR=no_color)
    on, off = ("on ", "off") if no_color else ("\x1b[32mon \x1b[0m", "\x1b[90moff\x1b[0m")
    assert status == 0
    assert text == (
        "shop:app: shop 1.2.0, environment local\n"
        f"{NOT_OBSERVED}\n"
        f"requests  {on}  X-Request-ID, kept from callers\n"
        f"logs      {on}  console (stdout is a terminal)\n"
        f"metrics   {on}  at /metrics\n"
        f"health    {on}  live /healthz, ready /readyz\n"
        f"problems  {on}  errors as envelope\n"
        f"headers   {on}  hsts, content_type_options, frame_options,\n"
        "               referrer_policy, cross_origin_opener_policy\n"
        f"tracing   {off}  no endpoint (OTEL_EXPORTER_OTLP_ENDPOINT or\n"
        "               tracing.endpoint)\n"
    )


def test_as_a_program(tmp_path: Path) -> None:
    """As a program of its own it finds the module in the current directory, and ends with the status of the finding."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(OBSERVED) + 'app.get("/metrics")(lambda: None)\n')
    done = subprocess.run(
        [Path(sys.executable).parent / "belvedere", "report", "shop:app", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    data: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert data["observed"] is True
    assert [one["feature"] for one in data["findings"]] == ["metrics"]
