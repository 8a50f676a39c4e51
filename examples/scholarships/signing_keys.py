"""What a key for tokens must look like: a secret for HS256, or an Ed25519 key in PEM for EdDSA."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

_PEM = re.compile(r"-----BEGIN (PRIVATE|PUBLIC) KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END \1 KEY-----")
_ED25519 = bytes.fromhex("06032b6570")
"""The object identifier 1.3.101.112 in DER (RFC 8410, section 3)."""


def is_pem(key: str) -> bool:
    """Tell a key in PEM from a secret."""
    return "-----BEGIN " in key


def check_key(key: Any, *, signs: bool) -> str | None:
    """Return what is wrong with a key, or `None`; the one that signs cannot be a public key."""
    if hasattr(key, "get_secret_value"):
        key = key.get_secret_value()
    if not isinstance(key, str) or not key:
        return "neither a secret nor a PEM"
    if not is_pem(key):
        return None
    pem = _PEM.fullmatch(key.strip())
    if pem is None or not _is_ed25519(pem[2]):
        return "a PEM that is no Ed25519 key"
    if signs and pem[1] == "PUBLIC":
        return "a public key, but the first key signs"
    return None


def weak_secret(key: str) -> str | None:
    """Return why a secret must not sign tokens in production, or `None`."""
    # RFC 7518, section 3.2: a key of the hash's size or larger.
    if len(key.encode()) < 32:
        return "a secret shorter than 32 bytes"
    if len(set(key)) < 8:
        return "a secret of fewer than 8 different characters"
    return None


def _is_ed25519(text: str) -> bool:
    try:
        return _ED25519 in base64.b64decode("".join(text.split()), validate=True)[:16]
    except binascii.Error:
        return False
