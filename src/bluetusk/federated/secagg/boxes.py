"""Authenticated encryption under a key that two parties share, or that one party keeps."""

from __future__ import annotations

import os
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

__all__ = ["Data", "open_box", "sealed_box"]

Data: TypeAlias = "bytes | bytearray | memoryview"

_NONCE = 12


def sealed_box(key: bytes, plain: bytes, about: bytes) -> bytes:
    """Encrypt for the one who shares `key`: nonce and ChaCha20-Poly1305 ciphertext."""
    nonce = os.urandom(_NONCE)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, plain, about)


def open_box(key: bytes, box: Data, about: bytes) -> bytes | None:
    """Decrypt what :func:`sealed_box` made; None if it was made or changed by anybody else."""
    data = bytes(box)
    try:
        return ChaCha20Poly1305(key).decrypt(data[:_NONCE], data[_NONCE:], about)
    except (InvalidTag, ValueError):
        return None
