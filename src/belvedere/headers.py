"""Security headers, as pairs that the pass appends to every response.

Names and defaults follow the OWASP HTTP Headers Cheat Sheet; what each one says is a setting.
"""

from __future__ import annotations

from belvedere.settings import Settings

HeaderList = list[tuple[bytes, bytes]]

HSTS = b"strict-transport-security"
NAMES = {
    "content_type_options": b"x-content-type-options",
    "frame_options": b"x-frame-options",
    "referrer_policy": b"referrer-policy",
    "cross_origin_opener_policy": b"cross-origin-opener-policy",
    "content_security_policy": b"content-security-policy",
    "permissions_policy": b"permissions-policy",
}
"""Setting to header, in the order in which they are sent."""


def response_headers(settings: Settings) -> tuple[HeaderList, HeaderList]:
    """Return what responses carry over HTTP, and what they carry over HTTPS; both are empty when headers are off.

    Only the latter has `Strict-Transport-Security`, which browsers must ignore over plain HTTP (RFC 6797, section 8.1).
    """
    chosen = settings.headers
    if chosen is None:
        return [], []
    plain = [
        (name, value.encode("ascii")) for field, name in NAMES.items() if (value := getattr(chosen, field)) is not None
    ]
    if chosen.hsts is None:
        return plain, plain
    return plain, [*plain, (HSTS, chosen.hsts.encode("ascii"))]
