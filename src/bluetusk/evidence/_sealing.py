"""From a passphrase to a key: scrypt with the parameters of key files, which travel in the header of what is sealed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidKey
from ..paillier import keyfile
from ..wire import frame

__all__ = ["SEALING_FIELDS", "check_sealing", "new_sealing", "passphrase_key"]

SEALING_FIELDS = ("cipher", "kdf", "log2_n", "p", "r", "salt")


def new_sealing() -> dict[str, Any]:
    """Return the fields of a header for something new, with a fresh salt."""
    return {
        "kdf": "scrypt",
        "log2_n": keyfile.LOG2_N,
        "r": 8,
        "p": 1,
        "salt": os.urandom(16),
        "cipher": "aes-256-gcm",
    }


def check_sealing(header: Mapping[str, Any]) -> None:
    """Refuse parameters that this release does not write: a file must not choose what opening it costs."""
    frame.field(header, "kdf", str, choices=("scrypt",))
    frame.field(header, "log2_n", int, low=keyfile.LOG2_N, high=20)
    frame.field(header, "r", int, choices=(8,))
    frame.field(header, "p", int, low=1, high=4)
    frame.field(header, "salt", bytes, length=16)
    frame.field(header, "cipher", str, choices=("aes-256-gcm",))


def passphrase_key(passphrase: str | bytes, header: Mapping[str, Any]) -> bytes:
    """Return the AES key of a passphrase; `header` has been checked."""
    secret = keyfile._passphrase(passphrase)
    try:
        return keyfile._derive(secret, header)
    except MemoryError:
        mib = (128 * 8 << header["log2_n"]) >> 20
        raise InvalidKey(f"opening this file needs {mib} MiB of memory, more than there is; free some") from None
