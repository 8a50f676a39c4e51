"""The application of the process's environment, for servers: `uvicorn scholarships.main:app`."""

from scholarships.service import create_app

app = create_app()
