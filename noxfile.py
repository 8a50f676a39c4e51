"""The suite on every Python and FastAPI that Belvedere supports: `make matrix`, which runs this.

`make matrix PYTHON=3.13 FASTAPI=0.128,newest` runs some of them. An interpreter that is absent is skipped and said to
be, or fails where REQUIRE_INTERPRETERS=1; none is downloaded. The last thing printed is one table, in Markdown.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import nox

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
"""What the classifiers of pyproject.toml name."""

LOCKS = {"0.115": "oldest", "0.128": "fastapi-0.128", "0.141": "fastapi-0.141", "newest": "dev"}
"""FastAPI, and the lock in requirements/ that has it, with a Starlette that fits; `make lock` makes them."""

PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


class Outcome(NamedTuple):
    """What one run of the suite came to."""

    python: str
    passed: int
    failed: int
    skipped: int
    seconds: float

    def __str__(self) -> str:
        failed = f"**{self.failed} failed**, " if self.failed else ""
        return f"{failed}{self.passed} passed, {self.skipped} skipped, {self.seconds:.0f} s"


def _chosen(variable: str, known: list[str]) -> list[str]:
    """Those of `known` that the variable names (`3.12`, or as `python3.12`), all where it names none."""
    words = [word.removeprefix("python") for word in re.split(r"[\s,]+", os.environ.get(variable, "")) if word]
    if unknown := set(words) - set(known):
        message = f"{variable} may be {', '.join(known)}, or some of them with commas; not {', '.join(sorted(unknown))}"
        raise SystemExit(message)
    return [each for each in known if each in words] or known


pythons, fastapis = _chosen("PYTHON", PYTHONS), _chosen("FASTAPI", list(LOCKS))
outcomes: dict[tuple[str, str], Outcome | str] = {}

# What pyenv has installed is behind shims, which fail unless that version is active: look there as well, last.
_installed = [str(path) for python in pythons for path in sorted(PYENV.glob(f"versions/{python}.*/bin"), reverse=True)]
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *_installed])

nox.options.sessions = ["package", "tests", "table"]
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"


@nox.session(python=pythons, reuse_venv=False)
def package(session: nox.Session) -> None:
    """Build the wheel, install it with what it declares and no more, and let its command report on an application."""
    place = Path(session.create_tmp()).resolve()
    locked = "requirements/dev.lock"
    session.run_install("uv", "build", "--quiet", "--clear", "--wheel", "-b", locked, "-o", str(place / "dist"))
    wheel = next((place / "dist").glob("*.whl"))
    session.run_install("uv", "pip", "install", "--quiet", "-c", locked, f"belvedere[cli] @ {wheel.as_uri()}")
    (place / "shop.py").write_text("import belvedere, fastapi\nbelvedere.observe(app := fastapi.FastAPI())\n")
    with session.chdir(place):
        session.run("python", "-W", "error", "-m", "belvedere", "report", "shop:app")


@nox.session(python=pythons)
@nox.parametrize("fastapi", [nox.param(each, id=f"fastapi-{each}") for each in fastapis])
def tests(session: nox.Session, fastapi: str) -> None:
    """Run the whole suite on one Python and one FastAPI."""
    outcomes[str(session.python), fastapi] = "**not installed**"
    session.run_install("uv", "pip", "sync", "--quiet", "--require-hashes", f"requirements/{LOCKS[fastapi]}.lock")
    session.install("--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    exact = session.run("python", "-c", "import platform; print(platform.python_version())", silent=True, log=False)
    report = Path(session.create_tmp()) / "report.xml"
    report.unlink(missing_ok=True)
    outcomes[str(session.python), fastapi] = "**broke off**"
    try:
        session.run("python", "-m", "pytest", "-q", f"--junitxml={report}", *(session.posargs or ["-n", "2"]))
    finally:
        if report.exists():
            outcomes[str(session.python), fastapi] = _outcome(str(exact).strip(), report)


@nox.session(python=pythons[0])
@nox.parametrize("sdk", [nox.param("==2.14.0", id="oldest"), nox.param(">=3.0.0a1", id="3")])
def sentry(session: nox.Session, sdk: str) -> None:
    """Run what uses Sentry on the oldest sentry-sdk, and on the newest 3, be it a pre-release: `nox -s sentry`."""
    session.run_install("uv", "pip", "sync", "--quiet", "--require-hashes", "requirements/dev.lock")
    session.run_install("uv", "pip", "install", "--quiet", "--prerelease=allow", f"sentry-sdk{sdk}")
    session.install("--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    tests = ["tests/integrations/test_sentry.py", "tests/processes/test_sentry.py"]
    session.run("python", "-m", "pytest", "-q", *tests, *session.posargs)


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Print what came of the runs before it."""
    heads = [f"{each} ({_locked(each)})" if each == "newest" else _locked(each) for each in fastapis]
    print(f"\n| Python | {' | '.join(f'FastAPI {head}' for head in heads)} |")
    print("|" + " --- |" * (len(fastapis) + 1))
    for python in pythons:
        cells = [outcomes.get((python, fastapi), "no interpreter") for fastapi in fastapis]
        exact = next((cell.python for cell in cells if isinstance(cell, Outcome)), python)
        print(f"| {exact} | {' | '.join(map(str, cells))} |")
    print(flush=True)


def _outcome(python: str, report: Path) -> Outcome:
    suite = next(ET.parse(report).iter("testsuite"))  # noqa: S314 (written by our own run)
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    return Outcome(python, passed, failed, count["skipped"], float(suite.get("time", 0)))


def _locked(fastapi: str) -> str:
    lock = Path("requirements", f"{LOCKS[fastapi]}.lock").read_text(encoding="utf-8")
    return re.findall(r"^fastapi==(\S+)", lock, re.MULTILINE)[0]
