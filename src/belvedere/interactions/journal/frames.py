"""How an event lies in a file: magic, length, checksum, time, and then the event itself.

A reader finds the next whole frame behind whatever is torn or corrupt.
"""

from __future__ import annotations

import time
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

MAGIC: Final = b"\xb5\x1e\x0b\xa7"
_HEAD: Final = Struct("<4sIId")
HEAD: Final = _HEAD.size
"""Bytes before each event."""
LARGEST: Final = 16 << 20
"""Bytes of the largest event."""
_AT_ONCE: Final = 200
"""Frames after which other threads may run; each takes about half a microsecond."""

pack = _HEAD.pack
_unpack = _HEAD.unpack_from


class Found(NamedTuple):
    """What was found in some bytes.

    Attributes:
        payloads: the events.
        first: when the first of them was written, seconds since the epoch; 0.0 without one.
        end: up to where the bytes have been read.
        needed: bytes that the frame at `end` would have, if not all of them are there; else 0.
        lost: reasons, one for each stretch of bytes that are no frames.
        lost_now: whether the bytes before `end` are no frame, so that this stretch may go on.
    """

    payloads: list[bytes]
    first: float
    end: int
    needed: int
    lost: list[str]
    lost_now: bool


def frame(payload: bytes, salt: int, now: float) -> bytes:
    """Return an event as it lies in a file.

    Args:
        payload: the event.
        salt: of the file, so that no event can hold what would pass for a frame, and no file's bytes for another's.
        now: seconds since the epoch.
    """
    length = len(payload)
    return pack(MAGIC, length, crc32(payload, salt ^ length), now) + payload


def parse(data: bytes, salt: int, limit: int, *, last: bool, lost_before: bool = False) -> Found:
    """Return the events in bytes of a file.

    Args:
        data: the bytes.
        salt: of the file.
        limit: how many events at most.
        last: whether the file ends with these bytes.
        lost_before: `lost_now` of the bytes before these.
    """
    payloads: list[bytes] = []
    lost: list[str] = []
    first, at, needed, size = 0.0, 0, 0, len(data)
    while len(payloads) < limit and at < size:
        length, whole = 0, size - at >= HEAD
        if whole:
            magic, length, checksum, written = _unpack(data, at)
            if magic == MAGIC and length <= LARGEST:
                stop = at + HEAD + length
                payload = data[at + HEAD : stop]
                if stop <= size and crc32(payload, salt ^ length) == checksum:
                    if lost_before:
                        lost.append("corrupt")
                        lost_before = False
                    if not payloads:
                        first = written
                    payloads.append(payload)
                    at = stop
                    if len(payloads) % _AT_ONCE == 0:
                        time.sleep(0)
                    continue
                whole = stop <= size
            else:
                whole = True
        if not whole and not last and MAGIC.startswith(data[at : at + len(MAGIC)]):
            needed = HEAD + length
            break
        if payloads and not last:
            # What is lost begins the next bytes: it is counted once, wherever it ends.
            break
        lost_before = True
        at = _next(data, at + 1, last=last)
    if last and at == size and lost_before:
        lost.append("torn")
        lost_before = False
    return Found(payloads, first, at, needed, lost, lost_before)


def written_at(head: bytes) -> float | None:
    """Return when a frame was written; `None`: there is none at the beginning of the bytes."""
    if len(head) < HEAD:
        return None
    magic, _, _, written = _unpack(head)
    return written if magic == MAGIC else None


def _next(data: bytes, start: int, *, last: bool) -> int:
    """Return where the next frame may begin."""
    at = data.find(MAGIC, start)
    if at >= 0:
        return at
    if last:
        return len(data)
    # The beginning of one may be at the end.
    for length in range(len(MAGIC) - 1, 0, -1):
        if len(data) - length >= start and data.endswith(MAGIC[:length]):
            return len(data) - length
    return len(data)
