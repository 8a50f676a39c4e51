"""Which keys hold what must not be shown, by the words of their names."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_WORDS: Final = names(
    """
    password passwords passwd passphrase passphrases passcode pwd secret secrets token authorization credential
    credentials cookie cookies apikey apikeys privatekey accesskey secretkey session sessionid sessid phpsessid
    jsessionid csrf csrftoken xsrf jwt otp totp cvv cvc ssn email emails emailaddress ipaddress creditcard cardnumber
    iban
    """
)
"""A key with one of these among its words is redacted."""

_PAIRS: Final = names(
    """
    api-key api-keys private-key private-keys access-key access-keys secret-key signing-key encryption-key master-key
    access-tokens refresh-tokens auth-tokens bearer-tokens api-tokens id-tokens session-ids credit-card credit-cards
    card-number card-numbers card-no card-pin pin-code social-security e-mail e-mails ip-address ip-addresses ip-addr
    client-ip user-ip remote-ip remote-addr real-ip forwarded-for
    """
)
"""And so is a key with one of these pairs among its words."""

_WHOLE: Final = names("auth pass pin ip sid")
"""These say too little as a part of a name, but enough as all of it."""

_ENDS: Final = ("password", "passwd", "secret", "token", "apikey", "cookie", "privatekey", "accesskey", "secretkey")
"""Names are written without separators too: `accesstoken`."""

ABOUT: Final = names(
    """
    type types count counts counter length len size usage limit limits max min expiry expires expired expiration exp
    ttl age timeout duration valid validity verified required enabled disabled status state policy strength algorithm
    alg rate domain provider template subject attempts changed created updated rotated missing present provided exists
    error errors failed failure failures url uri endpoint class factory maker pool kind format field fields scheme
    backend service name path file version sent queued delivered bounced confirmed opened clicked notification
    notifications at on in after before until seconds minutes days
    """
)
"""A last word that makes the rest a description: `token_type`, `password_changed`, `session_started_at`."""

QUESTIONS: Final = names("is has have use uses needs requires allow allows no with without")
"""A first word that makes it a yes or no: `has_password`."""

_SPLIT: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")

LONGEST: Final = 256
"""Characters of a key that are looked at."""


_PIECES: Final = 8
_PIECE: Final = 3
"""Random letters and digits fall into many words, of two characters on average; names into few, of five."""
_CHANCE: Final = 3
"""Letters that make a word by chance."""


def words(key: str) -> tuple[str, ...]:
    """Return the words of a key in lower case: `X-API-Key`, `x_api_key` and `xApiKey` have the same ones."""
    return tuple(word.lower() for word in _SPLIT.findall(key[:LONGEST]))


def meant(key: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that somebody chose: not the `cvv`, `pwd` or `ssn` that one in 2,000 random ids holds."""
    random = len(key) >= _PIECES and sum(map(len, key)) < _PIECE * len(key)
    return tuple(word for word in key if len(word) > _CHANCE) if random else key


def is_sensitive(key: tuple[str, ...]) -> bool:
    """Whether a key made of these words holds what must not be shown."""
    if not key or key[-1] in ABOUT or key[0] in QUESTIONS:
        return False
    if len(key) == 1 and key[0] in _WHOLE:
        return True
    if any(word in _WORDS or word.endswith(_ENDS) for word in meant(key)):
        return True
    return any(f"{first}-{second}" in _PAIRS for first, second in pairwise(key))
