"""Which kind of thing an application has given: an async client or not, a session, a client of S3 at all."""

from __future__ import annotations

import sys
from typing import Any

from botocore.client import BaseClient
from botocore.session import Session


def is_async(client: Any) -> bool:
    """Whether it is a client of aiobotocore."""
    module = sys.modules.get("aiobotocore.client")
    return module is not None and isinstance(client, module.AioBaseClient)


def session_of(given: Any) -> Any:
    """Return botocore's session, which boto3's is one around."""
    within = getattr(given, "_session", None)
    return next((one for one in (given, within) if isinstance(one, Session)), None)


def of_s3(client: Any) -> Any:
    """Return the client; raise `TypeError` if it is none, or of another service."""
    service = client.meta.service_model.service_name if isinstance(client, BaseClient) else type(client).__name__
    if service != "s3":
        raise TypeError(f"integrations.s3: a client of S3 is needed, not of {service}")
    return client
