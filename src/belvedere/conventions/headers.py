"""Header fields of rate limits, as ASGI has them (draft-ietf-httpapi-ratelimit-headers-11)."""

from __future__ import annotations

from typing import Final

RATELIMIT_FIELD: Final = b"ratelimit"
RATELIMIT_POLICY_FIELD: Final = b"ratelimit-policy"
RETRY_AFTER_FIELD: Final = b"retry-after"
"""RFC 9110, section 10.2.3."""
