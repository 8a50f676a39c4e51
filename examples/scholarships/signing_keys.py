"""The keys of tokens: a secret for HS256, or an Ed25519 key in PEM for EdDSA. Each has one algorithm and no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

Algorithm = Literal["HS256", "EdDSA"]

_PEM = re.compile(r"-----BEGIN (PRIVATE|PUBLIC) KEY-----\s+[A-Za-z0-9+/=\s]+?\s+-----END \1 KEY-----")


class KeyFormatError(ValueError):
    """A key that cannot be used; its text says why, and shows nothing of the key."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that verifies tokens of its one algorithm, and makes them unless it is a public one."""

    kid: str
    algorithm: Algorithm
    verifies: Any = field(repr=False)
    signs: Any = field(repr=False)
    """`None` for a public key."""


def read_key(kid: str, key: Any) -> SigningKey:
    """Return the key that a text holds.

    Raises:
        KeyFormatError: saying what is wrong with it.
    """
    if hasattr(key, "get_secret_value"):
        key = key.get_secret_value()
    if not isinstance(key, str) or not key:
        raise KeyFormatError("neither a secret nor a PEM")
    if not is_pem(key):
        return _secret(kid, key)
    pem = _PEM.fullmatch(key.strip())
    try:
        if pem is not None and pem[1] == "PRIVATE":
            private = load_pem_private_key(pem[0].encode(), password=None)
            if isinstance(private, Ed25519PrivateKey):
                return SigningKey(kid, "EdDSA", verifies=private.public_key(), signs=private)
        elif pem is not None:
            public = load_pem_public_key(pem[0].encode())
            if isinstance(public, Ed25519PublicKey):
                return SigningKey(kid, "EdDSA", verifies=public, signs=None)
    except (ValueError, UnsupportedAlgorithm):
        pass  # what cannot be read is no such key either; the error's own text may show a part of it
    raise KeyFormatError("a PEM that is no Ed25519 key")


def _secret(kid: str, text: str) -> SigningKey:
    # Zeros at the end change nothing (RFC 2104, section 2), and PyJWT warns with each token of shorter ones: whether a
    # secret is long enough, `weak_secret` says once.
    secret = text.encode().ljust(32, b"\0")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise KeyFormatError("neither a secret nor a PEM") from None
    return SigningKey(kid, "HS256", verifies=secret, signs=secret)


def check_key(key: Any, *, signs: bool) -> str | None:
    """Return what is wrong with a key, or `None`; the one that signs cannot be a public key."""
    try:
        read = read_key("", key)
    except KeyFormatError as error:
        return str(error)
    if signs and read.signs is None:
        return "a public key, but the first key signs"
    return None


def is_pem(key: str) -> bool:
    """Tell a key in PEM from a secret."""
    return "-----BEGIN " in key


def weak_secret(key: str) -> str | None:
    """Return why a secret must not sign tokens in production, or `None`."""
    # RFC 7518, section 3.2: a key of the hash's size or larger.
    if len(key.encode()) < 32:
        return "a secret shorter than 32 bytes"
    if len(set(key)) < 8:
        return "a secret of fewer than 8 different characters"
    return None
