"""What says who somebody is: names, ways to reach them, birth, numbers of the state and of banks, special categories.

Logs show it, as whoever runs a service looks for a customer there; what is kept for long in a database does not.
What counts as personal follows the General Data Protection Regulation, articles 4(1) and 9(1)
(https://eur-lex.europa.eu/eli/reg/2016/679/oj).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from belvedere.conventions import REDACTED
from belvedere.redaction.keys import ABOUT, QUESTIONS, meant, names

_WORDS: Final = names(
    """
    firstname lastname middlename fullname surname surnames forename forenames maidenname givenname familyname fname
    lname nickname username usernames cardholder phone phones phonenumber telephone telephones cellphone msisdn fax
    whatsapp address addresses street postcode zipcode birth birthdate birthday birthplace dob passport passports
    latitude longitude geolocation gender ethnicity religion disability disabilities diagnosis biometric biometrics
    fingerprint
    """
)
"""A key with one of these among its words is personal."""

_PAIRS: Final = names(
    """
    first-name last-name middle-name full-name maiden-name given-name family-name real-name legal-name preferred-name
    display-name nick-name user-name person-name contact-name student-name applicant-name customer-name client-name
    patient-name employee-name guest-name recipient-name holder-name parent-name mother-name father-name card-holder
    account-holder emergency-contact mobile-number cell-number contact-number zip-code postal-code post-code national-id
    national-number identity-card identity-number id-number id-card tax-id tax-number tax-payer insurance-number
    drivers-license driver-license driving-licence license-plate account-number bank-account routing-number sort-code
    medical-record health-record sexual-orientation
    """
)
"""And so is a key with one of these pairs among its words."""

_WHOLE: Final = names("mail tel mobile cell zip race sex lat lon lng plz")
"""These say too little as a part of a name, but enough as all of it."""

_DESCRIBES: Final = ABOUT - {"name"}
"""A `phone_type` is nobody's, a `street_name` is."""


def is_personal(key: tuple[str, ...]) -> bool:
    """Whether a key made of these words holds what says who somebody is."""
    if not key or key[-1] in _DESCRIBES or key[0] in QUESTIONS:
        return False
    if len(key) == 1 and key[0] in _WHOLE:
        return True
    if any(word in _WORDS for word in meant(key)):
        return True
    return any(f"{first}-{second}" in _PAIRS for first, second in pairwise(key))


_FEWEST: Final = re.compile(r"[0-9](?:[^0-9]{0,3}[0-9]){7}")
"""Digits that the shortest of these numbers has."""

_NUMBER: Final = re.compile(
    r"(?<![\w+])\+(?P<international>[1-9](?:[ ().-]{0,2}[0-9]){6,14})(?![0-9])"  # ITU-T E.164: 15 digits at most
    r"|(?<![\w+.-])(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])"  # NANP
    r"[2-9][0-9]{2}[ .-][0-9]{4}(?![\w-]|\.[0-9])"
    r"|(?<![\w-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-])"  # a Social Security number
    r"|(?<!\w)(?P<iban>[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)(?!\w)"  # ISO 13616
)


def without_numbers(text: str) -> str:
    """Return `text` without numbers of telephones, of Social Security and of bank accounts, where they look like it."""
    return text if _FEWEST.search(text) is None else _NUMBER.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    iban = found["iban"]
    if iban is None:
        return REDACTED
    groups = iban.split(" ")
    # Written in groups, it may go on with a word that looks like one of them.
    for end in range(len(groups), 0, -1):
        if _is_iban("".join(groups[:end])):
            return " ".join([REDACTED, *groups[end:]])
    return iban


_IBANS: Final = names(
    """
    AD24 AE23 AL28 AO25 AT20 AZ28 BA20 BE16 BF28 BG22 BH22 BI27 BJ28 BR29 BY28 CF27 CG27 CH21 CI28 CM27 CR22 CV25 CY28
    CZ24 DE22 DJ27 DK18 DO28 DZ26 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GA27 GB22 GE22 GI23 GL18 GQ27 GR27 GT28 GW25 HN28
    HR21 HU28 IE22 IL23 IQ23 IR26 IS26 IT27 JO30 KM27 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MA28 MC27 MD24 ME22
    MG27 MK19 ML28 MN20 MR27 MT31 MU30 MZ25 NE28 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31
    SD18 SE24 SI19 SK24 SM27 SN28 SO23 ST25 SV28 TD27 TG28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
    """
)
"""Countries, and how long their numbers are: the IBAN registry (https://www.swift.com/standards/data-standards/iban),
and those of Africa and Iran that are in use without being in it."""


def _is_iban(text: str) -> bool:
    """Whether a country has such numbers, and the check digits are right (ISO 7064, MOD 97-10)."""
    if f"{text[:2]}{len(text)}" not in _IBANS:
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1
