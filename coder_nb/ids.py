"""Ids: time-ordered, 26 characters of ``[a-z0-9]``, made by whoever creates the thing."""

from __future__ import annotations

import hashlib
import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def encode(ms: int, randomness: int) -> str:
    """48 bits of milliseconds and 80 bits of randomness in Crockford's base 32, lower case (ULID's layout)."""
    value = (ms & (1 << 48) - 1) << 80 | randomness & (1 << 80) - 1
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -5, -5))


def new_id() -> str:
    """A fresh id; ids of later milliseconds sort later."""
    return encode(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


def id_of(*parts: str) -> str:
    """The id that these parts always give, so that the same copy made twice is one."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).digest()
    return encode(int.from_bytes(digest[:6], "big"), int.from_bytes(digest[6:16], "big"))


def made_at(id: str) -> int:
    """When an id was made, in milliseconds since the epoch; 0 for one that was made otherwise."""
    try:
        digits = [_ALPHABET.index(letter) for letter in reversed(id)]
    except ValueError:
        return 0
    return sum(digit << 5 * place for place, digit in enumerate(digits)) >> 80


def is_id(text: str) -> bool:
    """Whether a string from outside has the shape of an id (so that it may be used in a path or a route)."""
    return len(text) == 26 and all(c in "abcdefghijklmnopqrstuvwxyz0123456789" for c in text)
