"""`python -m scholarships demo`, `serve` or `migrate`."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shlex
import sys

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from belvedere import SettingsError
from scholarships.config import Config, ConfigError
from scholarships.database import Database
from scholarships.server import PortError, address, leave_cleanly, listen, serve
from scholarships.startup import migrate

WELCOME = """
  The Scholarship API, with 15 made-up scholarships: {url}  (documentation: {url}/docs)
  Its log follows, one JSON object a line. Ctrl-C stops it. Try, in another terminal:

  One request, its id in the header, and in its line here:
    curl -i {url}/scholarships/1 -H 'X-Request-ID: hello-1'
  A search, the best first:
    curl -s {url}/search -H 'Content-Type: application/json' -d '{{"query": "climate research"}}'
  Signing in, as admin, partner or student, each with the password {password}, and a change:
    TOKEN=$(curl -s {url}/auth/token -d username=admin --data-urlencode password={password} | cut -d '"' -f 4)
    curl -s -X PATCH {url}/scholarships/1 -H "Authorization: Bearer $TOKEN" \\
      -H 'Content-Type: application/json' -d '{{"amount": 33000}}'
  An error, in the shape that all have:
    curl -s {url}/scholarships/99
  The metrics, HTTP's and the database's:
    curl -s {url}/metrics | grep -E '^(http_requests_total|database_query_duration_seconds_count)'
  The probes:
    curl -s {url}/healthz {url}/readyz
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(prog="scholarships", description="The Scholarship API.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="serve sample data, and say what to try")
    commands.add_parser("serve", help="serve")
    commands.add_parser("migrate", help="bring the database up to date: in production, before `serve`")
    command = parser.parse_args(arguments).command
    try:
        config = Config()
        if command == "migrate":
            return _migrate(config)
        if command == "demo" and config.production:
            return _fail("The demo is for development; with ENVIRONMENT=prod there are `migrate` and `serve`.")
        with listen(config) as listener:
            leave_cleanly()
            if command == "demo":
                password = config.demo_password or SecretStr(secrets.token_urlsafe(9))
                config = config.model_copy(update={"demo_password": password})
                # To stderr: stdout has the log alone, for `| jq`.
                welcome = WELCOME.format(url=address(listener), password=shlex.quote(password.get_secret_value()))
                print(welcome, file=sys.stderr, flush=True)
            serve(config, listener)
    except (ConfigError, SettingsError, PortError) as error:
        return _fail(str(error))
    return 0


def _migrate(config: Config) -> int:
    async def run() -> None:
        database = Database(config.database_url)
        try:
            await migrate(database, with_samples=False)
        finally:
            await database.close()

    try:
        asyncio.run(run())
    except (OSError, SQLAlchemyError) as error:
        return _fail(f"The database cannot be migrated: {error}", code=1)
    print("The database is up to date.")
    return 0


def _fail(text: str, *, code: int = 2) -> int:
    print(text, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
