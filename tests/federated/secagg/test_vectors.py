"""Published vectors of the standards, through the functions that the masks, keys and boxes are made by."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.poly1305 import Poly1305

from bluetusk._random import Stream
from bluetusk.errors import ProtocolAbort
from bluetusk.federated.secagg.boxes import open_box, sealed_box
from bluetusk.federated.secagg.masks import agree, derive

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "cryptography.json").read_text())


def vectors(name: str) -> list[dict[str, bytes]]:
    return [{key: bytes.fromhex(text) for key, text in each.items()} for each in VECTORS[name]["vectors"]]


def test_the_first_words_of_a_stream_are_zeros_under_aes_256() -> None:
    table = VECTORS["aes_256_var_key"]["ciphertexts"]
    assert len(table) == 256
    for i, expected in enumerate(table):
        key = (((1 << i + 1) - 1) << 255 - i).to_bytes(32, "big")
        assert Stream(key).bytes(16).hex() == expected
    for each in vectors("aes_256_key_sbox"):
        assert Stream(each["key"]).bytes(16) == each["ciphertext"]


def test_the_counter_mode_under_the_stream() -> None:
    """The streams begin at counter 0, RFC 3686's at 1 behind a nonce: so these go to the cipher that we take."""
    for each in vectors("aes_256_ctr"):
        context = Cipher(algorithms.AES(each["key"]), modes.CTR(each["iv"])).encryptor()
        assert context.update(each["plaintext"]) == each["ciphertext"]


def test_key_agreement() -> None:
    for each in vectors("x25519"):
        mine = X25519PrivateKey.from_private_bytes(each["scalar"])
        assert agree(mine, each["u"], 0, None) == each["output"]
        with pytest.raises(ProtocolAbort, match="low order"):
            agree(mine, bytes(32), 0, "a")


def test_key_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """`derive` is HKDF-SHA256 with 32 bytes of output, which are the first 32 of any longer one."""
    seen: list[tuple[Any, ...]] = []

    def hkdf(algorithm: hashes.HashAlgorithm, length: int, salt: bytes, info: bytes) -> HKDF:
        seen.append((type(algorithm), length, salt, info))
        return HKDF(algorithm, length, wanted["salt"], wanted["info"])

    monkeypatch.setattr("bluetusk.storage.sealed.HKDF", hkdf)
    for wanted in vectors("hkdf_sha256"):
        assert derive(wanted["ikm"], b"salt", 258, b"purpose", b"one", b"two") == wanted["okm"][:32]
        assert (
            HKDF(hashes.SHA256(), len(wanted["okm"]), wanted["salt"], wanted["info"]).derive(wanted["ikm"])
            == (wanted["okm"])
        )
    info = b"bluetusk secagg purpose\0" + bytes([2, 1, 0, 0, 0, 0, 0, 0]) + b"onetwo"
    assert seen == [(hashes.SHA256, 32, b"salt", info)] * 3


def test_tags_of_messages_in_two_parts() -> None:
    """Poly1305 as a message is tagged: first its header, then its payload."""
    for each in vectors("poly1305"):
        for at in {0, 1, len(each["msg"]) // 2, len(each["msg"])}:
            for tag in (each["tag"], bytes([each["tag"][0] ^ 1]) + each["tag"][1:]):
                mac = Poly1305(each["key"])
                mac.update(each["msg"][:at])
                mac.update(memoryview(each["msg"])[at:])
                if tag == each["tag"]:
                    mac.verify(tag)
                else:
                    with pytest.raises(InvalidSignature):
                        mac.verify(tag)


def test_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in vectors("chacha20_poly1305"):
        box = each["nonce"] + each["ciphertext"] + each["tag"]
        assert open_box(each["key"], box, each["about"]) == each["plaintext"]
        with monkeypatch.context() as patch:
            patch.setattr(os, "urandom", lambda n, nonce=each["nonce"]: nonce)
            assert sealed_box(each["key"], each["plaintext"], each["about"]) == box
        for at in (0, 12, len(box) - 1):
            changed = bytearray(box)
            changed[at] ^= 1
            assert open_box(each["key"], changed, each["about"]) is None
        assert open_box(each["key"], box, each["about"] + b"x") is None
        assert open_box(each["key"], box[:20], each["about"]) is None
