"""Frames: what a message costs beside its ciphertexts."""

from __future__ import annotations

from typing import Any

from bluetusk.wire import frame

HEADER = {"fingerprint": bytes(32), "shape": [1000], "suite": "djn", "scale": 20}
PAYLOAD = bytes(512_000)


def test_encode_1000_ciphertexts(benchmark: Any) -> None:
    benchmark(frame.encode, frame.Kind.CIPHER_ARRAY, HEADER, PAYLOAD)


def test_decode_1000_ciphertexts(benchmark: Any) -> None:
    data = frame.encode(frame.Kind.CIPHER_ARRAY, HEADER, PAYLOAD)
    got = benchmark(frame.decode, data, frame.Kind.CIPHER_ARRAY)
    assert got.header == HEADER
    assert got.payload == PAYLOAD
