"""The application of the process's environment, for servers: `uvicorn scholarships.main:app`."""

import sys

from belvedere import SettingsError
from scholarships.config import ConfigError
from scholarships.service import create_app

try:
    app = create_app()
except (ConfigError, SettingsError) as error:
    # The message says all; a traceback would only bury it. With 3, uvicorn and gunicorn do not try again.
    print(error, file=sys.stderr)
    sys.exit(3)
